"""The exchange of two spins, which the Heisenberg-type models share."""

import numpy as np

from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.operators import Terms
from nqs_core.types import Coupling


def exchange(
    lattice: Lattice, bonds: np.ndarray, J: Coupling, delta: Coupling = 1.0, marshall: bool = False
) -> tuple[Terms, ...]:
    """J Σ_bonds (SˣᵢSˣⱼ + SʸᵢSʸⱼ + Δ SᶻᵢSᶻⱼ), S = σ/2.

    With `marshall` one sublattice is turned by π about z: the first two terms change sign on bonds between sublattices.
    """
    sign = np.ones(len(bonds))
    if marshall and (colour := lattice.sublattice()) is not None:
        sign = np.where(colour[bonds[:, 0]] == colour[bonds[:, 1]], 1.0, -1.0)
    return (
        Terms("XX", bonds, J / 4 * sign),
        Terms("YY", bonds, J / 4 * sign),
        Terms("ZZ", bonds, J * delta / 4),
    )


def require_bipartite(lattice: Lattice, marshall: bool) -> None:
    """Raises:
    ConfigError: the Marshall sign is asked for on a lattice without two sublattices.
    """
    if marshall and lattice.sublattice() is None:
        raise ConfigError(f"marshall = true needs a bipartite lattice, and {lattice!r} is not; set marshall to false")
