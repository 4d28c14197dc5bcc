"""The square lattice, of any extent."""

from typing import ClassVar

from nqs_core.lattices.crystal import Crystal, Length, per_axis, require_sites
from nqs_core.registry import component, param


@component
class Square(Crystal):
    """Square lattice: sites (x, y), neighbours at distance 1; shells 2 and 3 at √2 and 2."""

    extent: tuple[Length, Length] = param(  # pyright: ignore[reportIncompatibleMethodOverride]
        (4, 4), title="Extent", help="Sites along x and y.", unit="sites"
    )
    periodic: bool | tuple[bool, bool] = param(True, title="Periodic", help="One flag for both axes, or one per axis.")

    vectors: ClassVar = ((1.0, 0.0), (0.0, 1.0))
    basis: ClassVar = ((0.0, 0.0),)
    points: ClassVar = {"Γ": (0.0, 0.0), "X": (0.5, 0.0), "Y": (0.0, 0.5), "M": (0.5, 0.5)}

    def __post_init__(self) -> None:
        require_sites(self)

    @property
    def periodicity(self) -> tuple[bool, ...]:
        return per_axis(self.periodic, 2)
