"""The Heisenberg model."""

from typing import ClassVar

from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.hamiltonians.exchange import exchange, require_bipartite
from nqs_core.lattices.base import Lattice
from nqs_core.operators import Terms
from nqs_core.registry import component, context, param
from nqs_core.types import Coupling


@component
class Heisenberg(Hamiltonian):
    """H = J Σ_⟨ij⟩ Sᵢ·Sⱼ, spin operators S = σ/2.

    Antiferromagnetic for J > 0. `marshall` turns one sublattice by π about z: the exchange element becomes -J/2 and the
    spectrum stays.
    Source: Bethe, Z. Phys. 71, 205 (1931); Marshall, Proc. R. Soc. A 232, 48 (1955).
    """

    J: Coupling = param(1.0, help="Exchange; antiferromagnetic for J > 0.", unit="energy", ge=-1e3, le=1e3)
    marshall: bool = param(
        False,
        title="Marshall sign",
        help="Rotate one sublattice about z, which removes the sign problem for J > 0.",
    )
    lattice: Lattice = context()

    formula: ClassVar[str] = r"H = {J} \sum_{{\langle ij \rangle}} \mathbf{{S}}_i \cdot \mathbf{{S}}_j"
    conserves_sz: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_bipartite(self.lattice, self.marshall)

    def terms(self) -> tuple[Terms, ...]:
        return exchange(self.lattice, self.lattice.bonds(), self.J, marshall=self.marshall)
