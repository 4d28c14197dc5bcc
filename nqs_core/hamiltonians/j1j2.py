"""The frustrated Heisenberg model."""

from typing import ClassVar

from nqs_core.errors import ConfigError
from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.hamiltonians.exchange import exchange, require_bipartite
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.crystal import Crystal
from nqs_core.operators import Terms
from nqs_core.registry import component, context, param
from nqs_core.types import Coupling


@component
class J1J2(Hamiltonian):
    """H = J₁ Σ_⟨ij⟩ Sᵢ·Sⱼ + J₂ Σ_⟨⟨ij⟩⟩ Sᵢ·Sⱼ, spin operators S = σ/2, first and second shell of neighbours.

    On the chain dimerised beyond J₂/J₁ = 0.2411 and a product of dimers at 0.5; most frustrated near 0.5 on the square.
    With `marshall` the exchange between sublattices becomes -J₁/2 and the second shell keeps its sign.
    Source: Majumdar and Ghosh, J. Math. Phys. 10, 1388 (1969); Okamoto and Nomura, Phys. Lett. A 169, 433 (1992).
    """

    J1: Coupling = param(1.0, help="Exchange of the first shell of neighbours.", unit="energy", ge=-1e3, le=1e3)
    J2: Coupling = param(0.5, help="Exchange of the second shell of neighbours.", unit="energy", ge=-1e3, le=1e3)
    marshall: bool = param(
        False, title="Marshall sign", help="Rotate one sublattice about z: the sign of the ground state at J2 = 0."
    )
    lattice: Lattice = context()

    formula: ClassVar[str] = (
        r"H = {J1} \sum_{{\langle ij \rangle}} \mathbf{{S}}_i \cdot \mathbf{{S}}_j"
        r" + {J2} \sum_{{\langle\langle ij \rangle\rangle}} \mathbf{{S}}_i \cdot \mathbf{{S}}_j"
    )
    conserves_sz: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.lattice, Crystal):
            raise ConfigError(f"j1j2 needs a lattice with a second shell of neighbours; {self.lattice!r} has none")
        require_bipartite(self.lattice, self.marshall)

    def terms(self) -> tuple[Terms, ...]:
        first = exchange(self.lattice, self.lattice.bonds(1), self.J1, marshall=self.marshall)
        return first + exchange(self.lattice, self.lattice.bonds(2), self.J2, marshall=self.marshall)
