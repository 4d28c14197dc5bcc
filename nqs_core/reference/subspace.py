"""The Hamiltonian of a configuration as a reference sees it, and its sector."""

from nqs_core.config import Spec, System
from nqs_core.hamiltonians import HAMILTONIANS, Hamiltonian
from nqs_core.lattices import LATTICES, momenta, symmetry
from nqs_core.reference import exact
from nqs_core.sector import Sector


def system(config: System) -> tuple[Hamiltonian, exact.Labels]:
    """The Hamiltonian of a run, never Marshall-rotated (the spectrum is the same), and the labels of its sector.

    Raises:
        ConfigError: an unknown name, a parameter out of range, an impossible S^z, or a momentum or irrep that the
            lattice does not have.
    """
    lattice = LATTICES.build(config.lattice)
    HAMILTONIANS.build(config.hamiltonian, lattice=lattice)  # refuses what the run would be refused for
    params = {k: v for k, v in config.hamiltonian.params.items() if k != "marshall"}
    hamiltonian = HAMILTONIANS.build(Spec(name=config.hamiltonian.name, params=params), lattice=lattice)
    if (sector := config.sector) is None:
        return hamiltonian, exact.WHOLE
    wave = None if sector.momentum is None else momenta.resolve(lattice, sector.momentum)
    irrep = None
    if sector.point_group is not None:
        irrep = symmetry.resolve(symmetry.point_group(lattice, wave), sector.point_group)
    return hamiltonian, exact.Labels(Sector(lattice.n_sites, sector.sz).sz, wave, sector.spin_flip, irrep)
