"""Exact sampling of small systems by enumeration."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Int, Int8, PRNGKeyArray

from nqs_core.ansatze.base import Cost
from nqs_core.ansatze.operations import Effort
from nqs_core.batching import MOST
from nqs_core.errors import TooLargeError
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.samplers.base import Sampler, Samples
from nqs_core.sector import Sector
from nqs_core.types import Info
from nqs_core.wavefunction import Psi

MAX_STATES = 2**20  # every draw evaluates the network on all of them


@component
class Exact(Sampler):
    """σ ~ |ψ(σ)|² / Σ_σ' |ψ(σ')|², independent, by the inverse of the cumulative distribution over the whole sector.

    Every call evaluates the network on every configuration.

    Raises:
        TooLargeError: the sector has more than 2^20 configurations.
    """

    independent: ClassVar[bool] = True

    n_samples: int = param(1024, ge=1, le=2**20, title="Samples", help="Configurations per optimisation step.")
    lattice: Lattice = context()
    sector: Sector = context()

    def __post_init__(self) -> None:
        if self.sector.log10_size > math.log10(MAX_STATES) + 1e-9:
            raise TooLargeError(
                f"sampler 'exact': {self.sector.n_sites} sites have {self.sector.amount()} configurations "
                f"({self.sector.amount(16 / 1e9)} GB of amplitudes); the limit is {MAX_STATES}; use 'metropolis'"
            )

    def init(self, key: PRNGKeyArray, psi: Psi) -> None:
        return None

    def sample(self, key: PRNGKeyArray, psi: Psi, state: None) -> tuple[Samples, None, Info]:
        codes = jnp.asarray(self.sector.indices())
        log_psi = log_amplitudes(psi, self.sector)
        cumulative = jnp.cumsum(probabilities(log_psi))
        u = jax.random.uniform(key, (self.n_samples,), jnp.float64) * cumulative[-1]
        # The last state with any probability: rounding may put u on the end of the table.
        index = jnp.minimum(jnp.searchsorted(cumulative, u, side="right"), jnp.argmax(cumulative))
        sigma = configurations(codes[index], self.sector.n_sites)
        samples = Samples(sigma[:, None], log_psi[index][:, None], jnp.zeros((self.n_samples, 1), jnp.float64))
        return samples, None, Info(jnp.asarray(True), {}, {})

    def effort(self, cost: Cost) -> Effort:
        """The network on the whole sector."""
        return Effort(forwards=self.sector.size, rounds=max(1, self.sector.size // MOST))


def configurations(codes: Int[Array, " n"], n_sites: int) -> Int8[Array, "n n_sites"]:
    """σ of basis indices: bit k of an index is (1 - σ_k) / 2."""
    return (1 - 2 * ((codes[:, None] >> jnp.arange(n_sites)[None]) & 1)).astype(jnp.int8)


def basis_index(sigma: Int8[Array, "n n_sites"], sector: Sector) -> Int[Array, " n"]:
    """The position of every configuration in `sector.enumerate()`; configurations outside the sector give nonsense."""
    codes = jnp.sum((sigma < 0) * (1 << jnp.arange(sector.n_sites))[None], axis=1)
    return codes if sector.sz is None else jnp.searchsorted(jnp.asarray(sector.indices()), codes)


def log_amplitudes(psi: Psi, sector: Sector) -> Inexact[Array, " size"]:
    """log ψ of every configuration in the order of `sector.indices()`.

    Raises:
        TooLargeError: more than 2^24 configurations.
    """
    return psi.log_psi(configurations(jnp.asarray(sector.indices()), sector.n_sites))


def probabilities(log_psi: Inexact[Array, " size"]) -> Float[Array, " size"]:
    """|ψ|² normalised over the enumerated configurations, float64."""
    return jax.nn.softmax(2 * log_psi.real.astype(jnp.float64))
