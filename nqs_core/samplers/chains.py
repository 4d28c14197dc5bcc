"""What samplers of many Markov chains share."""

from typing import NamedTuple

from jaxtyping import Array, Int8

from nqs_core.errors import ConfigError
from nqs_core.sector import Sector


class Chains(NamedTuple):
    """Where every chain stands; parameters change between calls, so no cache of the network is kept."""

    sigma: Int8[Array, "n_chains n_sites"]


def require_whole_draws(name: str, n_samples: int, n_chains: int) -> None:
    """Raises:
    ConfigError: the chains do not divide the samples.
    """
    if n_samples % n_chains:
        raise ConfigError(f"sampler {name!r}: n_samples = {n_samples} is not a multiple of n_chains = {n_chains}")


def require_free_flips(name: str, sector: Sector) -> None:
    """Raises:
    ConfigError: the sector fixes the total S^z, which a flip changes.
    """
    if sector.sz is not None:
        raise ConfigError(
            f"sampler {name!r}: its move flips spins and leaves the sector sz = {sector.sz:g}; use 'metropolis'"
        )
