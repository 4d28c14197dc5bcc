"""The chain."""

from typing import ClassVar

from nqs_core.lattices.crystal import Crystal
from nqs_core.registry import component, param


@component
class Chain(Crystal):
    """Chain: sites i = 0 ... L-1 on a line, a ring where periodic."""

    length: int = param(16, title="Length", help="Number of sites.", unit="sites", ge=2, le=1_000_000)
    periodic: bool = param(True, title="Periodic", help="Join the ends to a ring.")

    vectors: ClassVar = ((1.0,),)
    basis: ClassVar = ((0.0,),)
    points: ClassVar = {"Γ": (0.0,), "X": (0.5,)}

    @property
    def extent(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def periodicity(self) -> tuple[bool, ...]:
        return (self.periodic,)
