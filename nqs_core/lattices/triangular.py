"""The triangular lattice."""

import math
from typing import ClassVar

from nqs_core.lattices.crystal import Crystal, Length, per_axis, require_sites
from nqs_core.registry import component, param


@component
class Triangular(Crystal):
    """Triangular lattice: one site a cell, a₁ = (1, 0), a₂ = (1/2, √3/2), six neighbours; not bipartite."""

    extent: tuple[Length, Length] = param(  # pyright: ignore[reportIncompatibleMethodOverride]
        (4, 4), title="Extent", help="Unit cells along each axis.", unit="cells"
    )
    periodic: bool | tuple[bool, bool] = param(True, title="Periodic", help="One flag for all axes, or one per axis.")

    vectors: ClassVar = ((1.0, 0.0), (0.5, math.sqrt(3) / 2))
    basis: ClassVar = ((0.0, 0.0),)
    points: ClassVar = {"Γ": (0.0, 0.0), "M": (0.5, 0.0), "K": (1 / 3, 2 / 3), "K'": (2 / 3, 1 / 3)}

    def __post_init__(self) -> None:
        require_sites(self)

    @property
    def periodicity(self) -> tuple[bool, ...]:
        return per_axis(self.periodic, 2)
