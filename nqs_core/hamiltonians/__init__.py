"""Hamiltonians by name."""

from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.hamiltonians.custom import Custom
from nqs_core.hamiltonians.heisenberg import Heisenberg
from nqs_core.hamiltonians.j1j2 import J1J2
from nqs_core.hamiltonians.long_range_tfim import LongRangeIsing
from nqs_core.hamiltonians.spin_glass import SpinGlass
from nqs_core.hamiltonians.tfim import TransverseFieldIsing
from nqs_core.hamiltonians.xxz import XXZ
from nqs_core.registry import Registry

__all__ = [
    "HAMILTONIANS",
    "J1J2",
    "XXZ",
    "Custom",
    "Hamiltonian",
    "Heisenberg",
    "LongRangeIsing",
    "SpinGlass",
    "TransverseFieldIsing",
]

HAMILTONIANS = Registry[Hamiltonian](
    "hamiltonian",
    {
        "tfim": TransverseFieldIsing,
        "heisenberg": Heisenberg,
        "xxz": XXZ,
        "j1j2": J1J2,
        "long_range_tfim": LongRangeIsing,
        "spin_glass": SpinGlass,
        "custom": Custom,
    },
)
