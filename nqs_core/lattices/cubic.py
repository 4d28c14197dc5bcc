"""The simple cubic lattice."""

from typing import ClassVar

from nqs_core.lattices.crystal import Crystal, Length, per_axis, require_sites
from nqs_core.registry import component, param


@component
class Cubic(Crystal):
    """Simple cubic lattice: sites (x, y, z), six neighbours at distance 1; shells 2 and 3 at √2 and √3."""

    extent: tuple[Length, Length, Length] = param(  # pyright: ignore[reportIncompatibleMethodOverride]
        (2, 2, 2), title="Extent", help="Unit cells along each axis.", unit="cells"
    )
    periodic: bool | tuple[bool, bool, bool] = param(
        True, title="Periodic", help="One flag for all axes, or one per axis."
    )

    vectors: ClassVar = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    basis: ClassVar = ((0.0, 0.0, 0.0),)
    points: ClassVar = {"Γ": (0.0, 0.0, 0.0), "X": (0.5, 0.0, 0.0), "M": (0.5, 0.5, 0.0), "R": (0.5, 0.5, 0.5)}

    def __post_init__(self) -> None:
        require_sites(self)

    @property
    def periodicity(self) -> tuple[bool, ...]:
        return per_axis(self.periodic, 3)
