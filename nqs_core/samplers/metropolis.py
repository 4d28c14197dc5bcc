"""Metropolis sampling with many short chains."""

from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int8, PRNGKeyArray

from nqs_core.ansatze.base import Ansatz, flip
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.samplers.base import Sampler, SamplerInfo, Samples
from nqs_core.sector import Sector
from nqs_core.types import Params


class Chains(NamedTuple):
    """Where every chain stands; parameters change between calls, so no cache of the network is kept."""

    sigma: Int8[Array, "n_chains n_sites"]


class _Walk(NamedTuple):
    sigma: Int8[Array, " n_sites"]
    cache: Any
    # Exchange moves: the sites with spin up first, so that an antiparallel pair is two entries. Flips: empty.
    order: Int[Array, " n_ordered"]


@component
class Metropolis(Sampler):
    """Accept σ → σ' with probability min(1, |ψ(σ')/ψ(σ)|²); n_sites proposals are a sweep.

    Flips pick a site uniformly; exchanges pick an up and a down spin uniformly, at any distance. Both are symmetric,
    and exchanges keep the total S^z. Draws are n_sweeps sweeps apart, and chains go on from call to call.
    The cache of the network is rebuilt at every draw, so that rounding does not pile up.
    Source: Metropolis et al., J. Chem. Phys. 21, 1087 (1953).

    Raises:
        ConfigError: the chains do not divide the samples, or the move does not fit the sector.
    """

    independent: ClassVar[bool] = False
    n_samples: int = param(1024, ge=1, le=2**20, title="Samples", help="Configurations per optimisation step.")
    n_chains: int = param(256, ge=1, le=2**17, title="Chains", help="Independent Markov chains; must divide samples.")
    move: Literal["auto", "flip", "exchange"] = param(
        "auto",
        title="Move",
        help="Auto exchanges antiparallel spins where the sector fixes S^z, and flips one otherwise.",
    )
    n_sweeps: int = param(
        1, ge=1, le=10_000, title="Sweeps per draw", help="Sweeps between draws of a chain.", unit="sweeps"
    )
    n_burn: int = param(
        16, ge=0, le=100_000, title="Warm-up", help="Sweeps before the first draw of a run.", unit="sweeps"
    )
    lattice: Lattice = context()
    sector: Sector = context()

    def __post_init__(self) -> None:
        if self.n_samples % self.n_chains:
            raise ConfigError(
                f"sampler 'metropolis': n_samples = {self.n_samples} is not a multiple of n_chains = {self.n_chains}"
            )
        sz, n_up = self.sector.sz, self.sector.n_up
        if self.move == "flip" and sz is not None:
            raise ConfigError(
                f"sampler 'metropolis': move 'flip' leaves the sector sz = {sz:g}; use 'exchange' or 'auto'"
            )
        if self.move == "exchange" and sz is None:
            raise ConfigError(
                "sampler 'metropolis': move 'exchange' never changes the total S^z, so it needs sector.sz; "
                "set it, or use 'flip' or 'auto'"
            )
        if n_up in (0, self.sector.n_sites):
            raise ConfigError(
                f"sampler 'metropolis': the sector sz = {sz:g} holds one configuration, there is nothing to exchange"
            )

    def init(self, key: PRNGKeyArray, ansatz: Ansatz, params: Params) -> Chains:
        key_start, key_walk = jax.random.split(key)
        sigma = self.sector.random(key_start, self.n_chains)
        if self.n_burn == 0:
            return Chains(sigma)
        return Chains(_run(key_walk, self.sector, ansatz, params, sigma, self.n_burn * self.sector.n_sites)[0])

    def sample(
        self, key: PRNGKeyArray, ansatz: Ansatz, params: Params, state: Chains
    ) -> tuple[Samples, Chains, SamplerInfo]:
        n_draws = self.n_samples // self.n_chains
        n_proposals = self.n_sweeps * self.sector.n_sites

        def draw(sigma: Array, key: PRNGKeyArray) -> tuple[Array, tuple[Array, Array, Array]]:
            sigma, log_psi, acceptance = _run(key, self.sector, ansatz, params, sigma, n_proposals)
            return sigma, (sigma, log_psi, acceptance)

        sigma, (draws, log_psi, acceptance) = jax.lax.scan(draw, state.sigma, jax.random.split(key, n_draws))
        draws, log_psi = jnp.swapaxes(draws, 0, 1), jnp.swapaxes(log_psi, 0, 1)
        samples = Samples(draws, log_psi, jnp.zeros(log_psi.shape, jnp.float64))
        return samples, Chains(sigma), SamplerInfo(jnp.asarray(True), {"acceptance": jnp.mean(acceptance)})


def _run(
    key: PRNGKeyArray, sector: Sector, ansatz: Ansatz, params: Params, sigma: Int8[Array, "n_chains n_sites"], n: int
) -> tuple[Array, Array, Float[Array, ""]]:
    """`n` proposals on every chain: the last configurations, their log ψ, and the fraction accepted."""
    updates = ansatz.local_updates()
    prepared = updates.prepare(params)

    def start(sigma: Array) -> _Walk:
        order = jnp.zeros(0, jnp.int32) if sector.sz is None else jnp.argsort(sigma, descending=True).astype(jnp.int32)
        return _Walk(sigma, updates.cache(prepared, sigma), order)

    def one(walk: _Walk, picks: Int[Array, " n_picks"], log_u: Float[Array, ""]) -> tuple[_Walk, Bool[Array, ""]]:
        move = picks if sector.sz is None else walk.order[picks]
        new = updates.advance(prepared, walk.cache, walk.sigma, move)
        log_ratio = updates.log_psi(prepared, new) - updates.log_psi(prepared, walk.cache)
        accept = log_u < 2 * log_ratio.real
        order = walk.order if sector.sz is None else walk.order.at[picks].set(move[::-1])
        proposed = _Walk(flip(walk.sigma, move), new, order)
        return jax.tree.map(partial(jnp.where, accept), proposed, walk), accept

    def step(carry: tuple[_Walk, Array], key: PRNGKeyArray) -> tuple[tuple[_Walk, Array], None]:
        walk, accepted = carry
        key_site, key_accept = jax.random.split(key)
        picks = _picks(key_site, sector, len(sigma))
        # log1p(-u) with u in [0, 1) is finite: what should never be accepted never is.
        log_u = jnp.log1p(-jax.random.uniform(key_accept, (len(sigma),), jnp.float32))
        walk, accept = jax.vmap(one)(walk, picks, log_u)
        return (walk, accepted + jnp.sum(accept, dtype=jnp.int32)), None

    begin = (jax.vmap(start)(sigma), jnp.zeros((), jnp.int32))
    (walk, accepted), _ = jax.lax.scan(step, begin, jax.random.split(key, n))
    log_psi = jax.vmap(partial(updates.log_psi, prepared))(walk.cache)
    return walk.sigma, log_psi, accepted / (n * len(sigma))


def _picks(key: PRNGKeyArray, sector: Sector, n_chains: int) -> Int[Array, "n_chains n_picks"]:
    """A site for every chain, or the positions of an up and of a down spin in the order of `_Walk`."""
    if sector.n_up is None:
        return jax.random.randint(key, (n_chains, 1), 0, sector.n_sites, jnp.int32)
    low = jnp.array([[0, sector.n_up]], jnp.int32)
    high = jnp.array([[sector.n_up, sector.n_sites]], jnp.int32)
    return jax.random.randint(key, (n_chains, 2), low, high, jnp.int32)
