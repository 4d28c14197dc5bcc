"""The anisotropic Heisenberg model."""

from typing import ClassVar

from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.hamiltonians.exchange import exchange, require_bipartite
from nqs_core.lattices.base import Lattice
from nqs_core.operators import Terms
from nqs_core.registry import component, context, param
from nqs_core.types import Coupling


@component
class XXZ(Hamiltonian):
    """H = J Σ_⟨ij⟩ (SˣᵢSˣⱼ + SʸᵢSʸⱼ + Δ SᶻᵢSᶻⱼ), spin operators S = σ/2.

    Δ = 1 is the Heisenberg model, Δ = 0 the XX model; on the chain with J > 0 critical for -1 < Δ ≤ 1.
    Source: Yang and Yang, Phys. Rev. 150, 321 (1966).
    """

    J: Coupling = param(1.0, help="Exchange; antiferromagnetic for J > 0.", unit="energy", ge=-1e3, le=1e3)
    Delta: Coupling = param(1.0, title="Δ", help="Anisotropy: the Ising part in units of J.", ge=-1e3, le=1e3)
    marshall: bool = param(
        False, title="Marshall sign", help="Rotate one sublattice about z, which removes the sign problem for J > 0."
    )
    lattice: Lattice = context()

    formula: ClassVar[str] = (
        r"H = {J} \sum_{{\langle ij \rangle}} \left( S^x_i S^x_j + S^y_i S^y_j + {Delta}\, S^z_i S^z_j \right)"
    )
    conserves_sz: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_bipartite(self.lattice, self.marshall)

    def terms(self) -> tuple[Terms, ...]:
        return exchange(self.lattice, self.lattice.bonds(), self.J, self.Delta, self.marshall)
