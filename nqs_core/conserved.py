"""Whether the Hamiltonian of a run has what its sector asks for."""

from nqs_core.config import RunConfig
from nqs_core.errors import ConfigError
from nqs_core.hamiltonians import HAMILTONIANS, Hamiltonian
from nqs_core.lattices import momenta, symmetry
from nqs_core.operators import is_flip_invariant, is_invariant


def check_sz(config: RunConfig, hamiltonian: Hamiltonian) -> None:
    """Raises:
    ConfigError: S^z is fixed, and H does not conserve it.
    """
    if config.sector and config.sector.sz is not None and not hamiltonian.conserves_sz:
        conserving = ", ".join(n for n in HAMILTONIANS if HAMILTONIANS[n].conserves_sz)
        raise ConfigError(
            f"sector.sz = {config.sector.sz:g}: {config.hamiltonian.name!r} does not conserve S^z; "
            f"Hamiltonians that do: {conserving}"
        )


def check_labels(config: RunConfig, hamiltonian: Hamiltonian) -> None:
    """Raises:
    ConfigError: H does not have a symmetry whose label the sector names.
    """
    assert config.sector is not None
    lattice, terms, name = hamiltonian.lattice, hamiltonian.terms(), config.hamiltonian.name
    momentum = config.sector.momentum
    wave = None if momentum is None else momenta.resolve(lattice, momentum)
    shifts = [row for row in symmetry.translation_generators(lattice) if row is not None]
    if momentum is not None and not all(is_invariant(terms, row) for row in shifts):
        raise ConfigError(f"sector.momentum = {momentum!r}: {name!r} is not invariant under the translations")
    if (irrep := config.sector.point_group) is not None:
        group = symmetry.point_group(lattice, wave)
        if not all(is_invariant(terms, row) for row in group.permutations):
            raise ConfigError(f"sector.point_group = {irrep!r}: {name!r} is not invariant under {group.name}")
    if (flip := config.sector.spin_flip) is not None and not is_flip_invariant(terms):
        raise ConfigError(f"sector.spin_flip = {flip:+d}: {name!r} changes when every spin is flipped")
