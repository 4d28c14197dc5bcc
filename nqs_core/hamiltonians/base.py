"""The contract of a Hamiltonian: its formula as Pauli strings, nothing else."""

from abc import ABC, abstractmethod
from typing import ClassVar

from nqs_core.lattices.base import Lattice
from nqs_core.operators import Terms


class Hamiltonian(ABC):
    """A Hermitian sum of Pauli strings; `@component` with couplings traced and the lattice static.

    `formula` is LaTeX in which {J}, {h}, ... stand for the couplings (other braces doubled, as in `str.format`).
    `conserves_sz`: [H, sum_i S^z_i] = 0, so that a sector of total S^z makes sense.
    """

    lattice: Lattice
    formula: ClassVar[str]
    conserves_sz: ClassVar[bool]

    @abstractmethod
    def terms(self) -> tuple[Terms, ...]:
        """H as Pauli strings."""
