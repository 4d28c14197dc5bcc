"""Metropolis sampling with many short chains."""

from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Inexact, Int, Int8, Int32, PRNGKeyArray, UInt32

from nqs_core.ansatze.base import Cost, LocalUpdates, Prepared, flip
from nqs_core.ansatze.operations import Effort
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.samplers.base import Sampler, Samples
from nqs_core.samplers.chains import Chains, require_whole_draws
from nqs_core.sector import Sector
from nqs_core.types import Info
from nqs_core.wavefunction import Psi

FLIP_WORDS, EXCHANGE_WORDS = 1, 4  # random words that a proposal takes


class Walk(NamedTuple):
    """One chain within a call."""

    sigma: Int8[Array, " n_sites"]
    cache: Any


@component
class Metropolis(Sampler):
    """Accept σ → σ' with probability min(1, |ψ(σ')/ψ(σ)|²); n_sites proposals are a sweep.

    Flips pick a site uniformly. Exchanges pick a pair, three times in four a bond of nearest neighbours, else any two
    sites, and stay where its spins are parallel; they keep the total S^z. Both are symmetric. Draws are n_sweeps sweeps
    apart, and chains go on from call to call; the cache is rebuilt at every draw, so that rounding does not pile up.
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
        require_whole_draws("metropolis", self.n_samples, self.n_chains)
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
        if n_up in (0, self.sector.n_each):
            raise ConfigError(
                f"sampler 'metropolis': the sector sz = {sz:g} holds one configuration, there is nothing to exchange"
            )

    def init(self, key: PRNGKeyArray, psi: Psi) -> Chains:
        key_start, key_walk = jax.random.split(key)
        sigma = self.sector.random(key_start, self.n_chains)
        if self.n_burn == 0:
            return Chains(sigma)
        return Chains(self._run(key_walk, psi, sigma, self.n_burn)[0])

    def sample(self, key: PRNGKeyArray, psi: Psi, state: Chains) -> tuple[Samples, Chains, Info]:
        def draw(sigma: Array, key: PRNGKeyArray) -> tuple[Array, tuple[Array, Array, Array]]:
            sigma, log_psi, acceptance = self._run(key, psi, sigma, self.n_sweeps)
            return sigma, (sigma, log_psi, acceptance)

        keys = jax.random.split(key, self.n_samples // self.n_chains)
        sigma, (draws, log_psi, acceptance) = jax.lax.scan(draw, state.sigma, keys)
        draws, log_psi = jnp.swapaxes(draws, 0, 1), jnp.swapaxes(log_psi, 0, 1)
        samples = Samples(draws, log_psi, jnp.zeros(log_psi.shape, jnp.float64))
        return samples, Chains(sigma), Info(jnp.asarray(True), {"acceptance": jnp.mean(acceptance)}, {})

    def effort(self, cost: Cost) -> Effort:
        """A cache for every draw, and an update for every proposal that changes the configuration."""
        n_sites, n_each, n_up = self.sector.n_sites, self.sector.n_each, self.sector.n_up
        share = 1.0
        if n_up is not None and cost.skips:  # a pair of random spins is antiparallel
            share = 2 * n_up * (n_each - n_up) / (n_each * (n_each - 1))
        proposals = self.n_samples * self.n_sweeps * n_sites
        return Effort(caches=self.n_samples, advances=proposals * share, rounds=proposals / self.n_chains)

    def _run(
        self, key: PRNGKeyArray, psi: Psi, sigma: Int8[Array, "n_chains n_sites"], n_sweeps: int
    ) -> tuple[Array, Array, Float[Array, ""]]:
        """`n_sweeps` sweeps of every chain: the last configurations, their log ψ, and the fraction accepted."""
        updates, prepared = psi.updates, psi.prepared
        n_chains, n_sites = sigma.shape
        bonds = None if self.sector.sz is None else self.lattice.bonds()

        def step(carry: tuple[Walk, Array], key: PRNGKeyArray) -> tuple[tuple[Walk, Array], None]:
            walk, accepted = carry
            words = random_words(key, 1 + (FLIP_WORDS if bonds is None else EXCHANGE_WORDS), n_chains)
            moves = propose(words[1:], n_sites, bonds, self.sector.n_each)
            # log1p(-u) with u in [0, 1) is finite: what should never be accepted never is.
            log_u = jnp.log1p(-(words[0] >> 8).astype(jnp.float32) * jnp.float32(2**-24))
            walk, accept = jax.vmap(partial(transition, updates, prepared))(walk, moves, log_u)
            return (walk, accepted + jnp.sum(accept, dtype=jnp.int32)), None

        def sweep(carry: tuple[Walk, Array], key: PRNGKeyArray) -> tuple[tuple[Walk, Array], None]:
            # Keys of one sweep at a time: those of a long warm-up on a large lattice would fill the memory.
            return jax.lax.scan(step, carry, jax.random.split(key, n_sites))[0], None

        begin = Walk(sigma, jax.vmap(partial(updates.cache, prepared))(sigma))
        (walk, accepted), _ = jax.lax.scan(sweep, (begin, jnp.zeros(())), jax.random.split(key, n_sweeps))
        log_psi = jax.vmap(partial(updates.log_psi, prepared))(walk.cache)
        return walk.sigma, log_psi, accepted / (n_sweeps * n_sites * n_chains)


def random_words(key: PRNGKeyArray, n_words: int, n_chains: int) -> UInt32[Array, "n_words n_chains"]:
    """Random bits for every chain; 64 of them cost no more than 32, so both halves of a draw serve."""
    pairs = jax.random.bits(key, (-(-n_words // 2), n_chains), jnp.uint64)
    return jnp.concatenate([pairs >> 32, pairs & jnp.uint64(2**32 - 1)]).astype(jnp.uint32)[:n_words]


def propose(
    words: UInt32[Array, "n_words n_chains"],
    n_sites: int,
    bonds: Int32[np.ndarray, "n_bonds 2"] | None,
    n_each: int | None = None,
) -> Int[Array, "n_chains move_size"]:
    """One move for every chain: a site from one random word, or with `bonds` a pair of sites from four.

    Both sites are of one copy, of `n_each` sites, where there are several.
    """
    n_each = n_each or n_sites
    if bonds is None:
        return _below(n_sites, words[0])[:, None]
    # Bonds alone let magnetisation diffuse: slow on large lattices. Pairs at any distance alone are rarely accepted.
    # Slowest mode of the Heisenberg ring of 16: 2.95, 8.5 and, mixed, 2.67 sweeps.
    first = _below(n_sites, words[0])
    gap = 1 + _below(n_each - 1, words[1])
    distant = jnp.stack([first, first // n_each * n_each + (first + gap) % n_each], axis=1)
    if len(bonds) == 0:
        return distant
    near = jnp.asarray(bonds)[_below(len(bonds), words[2])]
    return jnp.where((_below(4, words[3]) > 0)[:, None], near, distant)


def _below(n: int, words: UInt32[Array, " n_chains"]) -> Int[Array, " n_chains"]:
    """Integers 0 ... n - 1, uniform to n / 2^32, which cannot harm a proposal that does not look at the spins."""
    return ((words.astype(jnp.uint64) * n) >> 32).astype(jnp.int32)


def log_acceptance(log_ratio: Inexact[Array, ""]) -> Float[Array, ""]:
    """log |ψ(σ')/ψ(σ)|²: both proposals are symmetric."""
    return 2 * log_ratio.real


def transition(
    updates: LocalUpdates, prepared: Prepared, walk: Walk, move: Int[Array, " move_size"], log_u: Float[Array, ""]
) -> tuple[Walk, Bool[Array, ""]]:
    """Accept `move` or stay; a pair of parallel spins stays. log_u: logarithm of a uniform number."""
    is_pair = move.shape[0] == 2
    differ = walk.sigma[move[0]] != walk.sigma[move[1]] if is_pair else jnp.asarray(True)
    if is_pair:
        move = jnp.where(differ, move, -1)  # no move: networks need not be evaluated for it
    new = updates.advance(prepared, walk.cache, walk.sigma, move)
    log_ratio = updates.log_psi(prepared, new) - updates.log_psi(prepared, walk.cache)
    accept = log_u < log_acceptance(log_ratio)
    accept &= differ
    moved = Walk(flip(walk.sigma, move), new)
    return jax.tree.map(partial(jnp.where, accept), moved, walk), accept
