"""Hamiltonians by name."""

from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.hamiltonians.heisenberg import Heisenberg
from nqs_core.hamiltonians.tfim import TransverseFieldIsing
from nqs_core.registry import Registry

HAMILTONIANS = Registry[Hamiltonian]("hamiltonian", {"tfim": TransverseFieldIsing, "heisenberg": Heisenberg})
