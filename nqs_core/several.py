"""The parts of a run of several states, made from those of one."""

from nqs_core.ansatze import Ansatz
from nqs_core.ansatze.determinant import Determinant
from nqs_core.errors import ConfigError
from nqs_core.hamiltonians import Hamiltonian
from nqs_core.hamiltonians.replicated import Replicated
from nqs_core.lattices.replicas import Replicas
from nqs_core.observables import OBSERVABLES, Observable
from nqs_core.observables.levels import Levels
from nqs_core.sector import Sector


def several_states(
    n_states: int, hamiltonian: Hamiltonian, ansatz: Ansatz, observables: tuple[Observable, ...]
) -> tuple[Hamiltonian, Ansatz, tuple[Observable, ...]]:
    """K copies of the system with the determinant of K networks, which samplers and optimizers take as any other.

    Raises:
        ConfigError: the sector has fewer states, or an observable has no value of several.
    """
    each = ansatz.sector
    if each.size < n_states:
        raise ConfigError(f"n_states = {n_states}: the sector of the run has {each.size} configurations")
    for name, cls in OBSERVABLES.items():
        if cls.copies > 1 and any(isinstance(o, cls) for o in observables):
            raise ConfigError(f"observable {name!r} is not available for several states: n_states = {n_states}")
    lattice = Replicas(single=hamiltonian.lattice, copies=n_states)
    copies = Replicated(single=hamiltonian, lattice=lattice)
    sector = Sector(lattice.n_sites, each.sz, n_states)
    network = Determinant(ansatz=ansatz, lattice=lattice, sector=sector, precision=ansatz.precision)
    return copies, network, (Levels(hamiltonian=copies, lattice=lattice, each=observables),)
