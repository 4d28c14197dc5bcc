"""The honeycomb lattice."""

import math
from typing import ClassVar

from nqs_core.lattices.crystal import Crystal, Length, per_axis, require_sites
from nqs_core.registry import component, param


@component
class Honeycomb(Crystal):
    """Honeycomb lattice: two sites a cell, a₁ = (√3, 0), a₂ = (√3/2, 3/2), three neighbours; bipartite."""

    extent: tuple[Length, Length] = param(  # pyright: ignore[reportIncompatibleMethodOverride]
        (3, 3), title="Extent", help="Unit cells along each axis.", unit="cells"
    )
    periodic: bool | tuple[bool, bool] = param(True, title="Periodic", help="One flag for all axes, or one per axis.")

    vectors: ClassVar = ((math.sqrt(3), 0.0), (math.sqrt(3) / 2, 1.5))
    basis: ClassVar = ((0.0, 0.0), (math.sqrt(3) / 2, 0.5))
    points: ClassVar = {"Γ": (0.0, 0.0), "M": (0.5, 0.0), "K": (1 / 3, 2 / 3), "K'": (2 / 3, 1 / 3)}

    def __post_init__(self) -> None:
        require_sites(self)

    @property
    def periodicity(self) -> tuple[bool, ...]:
        return per_axis(self.periodic, 2)
