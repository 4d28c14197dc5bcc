"""The kagome lattice."""

import math
from typing import ClassVar

from nqs_core.lattices.crystal import Crystal, Length, per_axis, require_sites
from nqs_core.registry import component, param


@component
class Kagome(Crystal):
    """Kagome lattice: three sites a cell, a₁ = (2, 0), a₂ = (1, √3), corner-sharing triangles; not bipartite."""

    extent: tuple[Length, Length] = param(  # pyright: ignore[reportIncompatibleMethodOverride]
        (2, 2), title="Extent", help="Unit cells along each axis.", unit="cells"
    )
    periodic: bool | tuple[bool, bool] = param(True, title="Periodic", help="One flag for all axes, or one per axis.")

    vectors: ClassVar = ((2.0, 0.0), (1.0, math.sqrt(3)))
    basis: ClassVar = ((0.0, 0.0), (1.0, 0.0), (0.5, math.sqrt(3) / 2))
    points: ClassVar = {"Γ": (0.0, 0.0), "M": (0.5, 0.0), "K": (1 / 3, 2 / 3), "K'": (2 / 3, 1 / 3)}

    def __post_init__(self) -> None:
        require_sites(self)

    @property
    def periodicity(self) -> tuple[bool, ...]:
        return per_axis(self.periodic, 2)
