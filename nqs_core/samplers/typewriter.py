"""Many flips from one base, one after the other, where what far flips change adds up."""

import math
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact, Int, Int8, PRNGKeyArray

from nqs_core.ansatze.base import AdditiveUpdates, Ansatz, Cost
from nqs_core.ansatze.operations import Effort
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.samplers.base import Sampler, Samples
from nqs_core.samplers.chains import require_free_flips, require_whole_draws
from nqs_core.sector import Sector
from nqs_core.types import Info
from nqs_core.wavefunction import Psi

UNKNOWN, LEAST, MOST = 0.1, 5e-3, 0.25  # error bounds: before any was seen, and the limits of all
FORGET = 0.95  # an error that was seen counts so much less with every call


class Typed(NamedTuple):
    """Where every chain stands, and the largest error of an acceptance seen after k accepted flips; -1: none yet."""

    sigma: Int8[Array, "n_chains n_sites"]
    errors: Float[Array, " n_flips"]


class Line(NamedTuple):
    """One chain within a pass over its proposals.

    at: the next proposal; after: flips accepted from the present base; guess: acceptance that the sum of displacements
    gave where the last base was left, -1 where it was not; audited: whether it was left without being in doubt.
    """

    sigma: Int8[Array, " n_sites"]
    at: Int[Array, ""]
    after: Int[Array, ""]
    guess: Float[Array, ""]
    audited: Bool[Array, ""]


class Proposals(NamedTuple):
    """Of one chain in a pass: the sites in turn, a random number for each, and which decision is checked."""

    sites: Int[Array, " n_places"]
    uniform: Float[Array, " n_places"]
    checked: Int[Array, ""]


class Tally(NamedTuple):
    """Sums over chains and rounds, and the errors seen."""

    accepted: Float[Array, ""]
    bases: Float[Array, ""]
    doubted: Float[Array, ""]
    audits: Float[Array, ""]
    wrong: Float[Array, ""]
    errors: Float[Array, " n_flips"]


@component
class Typewriter(Sampler):
    """Flip n_sites / (2 spacing) sites in turn from one base: m ← m + a_j with min(1, |ψ(m + a_j) / ψ(m)|²).

    Approximate: the displacements a_j of the numbers m that give ψ are those of the base, and far flips are taken to
    add up. Where the random number lies within τ(k) of the acceptance after k accepted flips, a new base decides
    exactly; τ is 1.5 times the largest error seen, between 0.005 and 0.25. One decision of every pass is checked by a
    new base: typewriter/wrong_decisions is the share of those that would have been wrong, the measured bias. Exact for
    the rbm, whose angles add up. Every sweep ends with a flip of all spins, accepted exactly.
    Source: the screened sampler of DysonNet, arXiv:2603.11189.

    Raises:
        ConfigError: the chains do not divide the samples, the sector fixes the total S^z, or spacings that do not fit.
    """

    independent: ClassVar[bool] = False
    n_samples: int = param(1024, ge=1, le=2**20, title="Samples", help="Configurations per optimisation step.")
    n_chains: int = param(256, ge=1, le=2**17, title="Chains", help="Independent Markov chains; must divide samples.")
    spacing: int = param(
        4, ge=1, le=1024, title="Spacing", help="Sites between flips that share a base; wider is truer.", unit="sites"
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
        require_whole_draws("typewriter", self.n_samples, self.n_chains)
        require_free_flips("typewriter", self.sector)
        if 2 * self.spacing > self.sector.n_sites:
            raise ConfigError(
                f"sampler 'typewriter': spacing = {self.spacing} leaves no two places on {self.sector.n_sites} sites; "
                f"allowed: up to {self.sector.n_sites // 2}"
            )

    @property
    def n_places(self) -> int:
        """Proposals of a pass."""
        return self.sector.n_sites // (2 * self.spacing)

    def refuses(self, ansatz: Ansatz) -> str:
        if isinstance(ansatz.local_updates(), AdditiveUpdates):
            return ""
        return (
            f"sampler 'typewriter' adds up what far flips change, and {type(ansatz).__name__} has no such sums here; "
            "networks that have: rbm, and dysonnet of up to two blocks; others take 'metropolis'"
        )

    def init(self, key: PRNGKeyArray, psi: Psi) -> Typed:
        key_start, key_walk = jax.random.split(key)
        start = Typed(self.sector.random(key_start, self.n_chains), jnp.full(self.n_places + 1, -1.0, jnp.float64))
        return self._sweeps(key_walk, psi, start, self.n_burn)[0] if self.n_burn else start

    def sample(self, key: PRNGKeyArray, psi: Psi, state: Typed) -> tuple[Samples, Typed, Info]:
        def draw(state: Typed, key: PRNGKeyArray) -> tuple[Typed, tuple[Array, Tally]]:
            state, tally = self._sweeps(key, psi, state, self.n_sweeps)
            return state, (state.sigma, tally)

        state = state._replace(errors=jnp.where(state.errors < 0, -1.0, FORGET * state.errors))
        keys = jax.random.split(key, self.n_samples // self.n_chains)
        state, (draws, tally) = jax.lax.scan(draw, state, keys)
        draws = jnp.swapaxes(draws, 0, 1)
        flat = draws.reshape(-1, draws.shape[-1])
        log_psi = psi.map(lambda u, p, s: u.log_psi(p, u.cache(p, s)), flat).reshape(draws.shape[:2])
        samples = Samples(draws, log_psi, jnp.zeros(log_psi.shape, jnp.float64))
        return samples, state, Info(jnp.asarray(True), self._report(tally), {})

    def _report(self, tally: Tally) -> dict[str, Float[Array, ""]]:
        sums = jax.tree.map(jnp.sum, tally._replace(errors=jnp.zeros(1)))
        proposals = self.n_samples * self.n_sweeps * self._passes() * self.n_places
        return {
            "acceptance": sums.accepted / proposals,
            "typewriter/proposals_per_base": proposals / sums.bases,
            "typewriter/doubted": sums.doubted / proposals,
            "typewriter/wrong_decisions": sums.wrong / jnp.maximum(sums.audits, 1),
        }

    def _passes(self) -> int:
        return math.ceil(self.sector.n_sites / self.n_places)

    def effort(self, cost: Cost) -> Effort:
        """Two bases a pass: one to begin with, one for the check."""
        bases = 2 * self.n_samples * self.n_sweeps * self._passes()
        return Effort(caches=bases, ratios=bases * self.sector.n_sites, rounds=bases / self.n_chains)

    def _sweeps(self, key: PRNGKeyArray, psi: Psi, state: Typed, n_sweeps: int) -> tuple[Typed, Tally]:
        zero = jnp.zeros((), jnp.float64)
        empty = Tally(zero, zero, zero, zero, zero, jnp.full(self.n_places + 1, -1.0, jnp.float64))
        bound = bounds(state.errors)

        def one_pass(carry: tuple[Array, Tally], key: PRNGKeyArray) -> tuple[tuple[Array, Tally], None]:
            return self._pass(key, psi, *carry, bound), None

        def sweep(carry: tuple[Array, Tally], key: PRNGKeyArray) -> tuple[tuple[Array, Tally], None]:
            key, last = jax.random.split(key)
            sigma, tally = jax.lax.scan(one_pass, carry, jax.random.split(key, self._passes()))[0]
            return (flip_all(last, psi, sigma), tally), None

        (sigma, tally), _ = jax.lax.scan(sweep, (state.sigma, empty), jax.random.split(key, n_sweeps))
        return Typed(sigma, jnp.maximum(state.errors, tally.errors)), tally

    def _pass(self, key: PRNGKeyArray, psi: Psi, sigma: Array, tally: Tally, bound: Array) -> tuple[Array, Tally]:
        """Every chain through its proposals, from as many bases as it takes."""
        n_chains, n_sites = sigma.shape
        keys, shape = jax.random.split(key, 4), (n_chains, self.n_places)
        start = jax.random.randint(keys[0], (n_chains, 1), 0, n_sites)
        places = 2 * self.spacing * jnp.arange(self.n_places)[None] + jax.random.randint(
            keys[1], shape, 0, self.spacing
        )
        sites = (start + places) % n_sites
        uniform = jax.random.uniform(keys[2], shape, jnp.float64)
        proposals = Proposals(sites, uniform, jax.random.randint(keys[3], (n_chains,), 0, self.n_places))
        with jax.ensure_compile_time_eval():  # local updates may look at the moves themselves
            flips = jnp.arange(n_sites)[:, None]

        def one(updates: Any, prepared: Any, sigma: Array, line: Line, proposals: Proposals) -> tuple[Line, Tally]:
            cache = updates.cache(prepared, sigma)
            moved = updates.displacements(prepared, cache, sigma, flips)
            read = partial(updates.read, prepared)
            return type_on(read, updates.coordinates(prepared, cache), moved, line, proposals, bound)

        def body(carry: tuple[Line, Tally]) -> tuple[Line, Tally]:
            line, tally = carry
            line, one_round = psi.map(one, line.sigma, line, proposals, bytes_each=64 * n_sites)
            sums = jax.tree.map(lambda total, x: total + jnp.sum(x, axis=0), tally, one_round)
            return line, sums._replace(errors=jnp.maximum(tally.errors, jnp.max(one_round.errors, axis=0)))

        nowhere = jnp.zeros(n_chains, jnp.int32)
        begin = Line(sigma, nowhere, nowhere, jnp.full(n_chains, -1.0, jnp.float64), jnp.zeros(n_chains, bool))
        line, tally = jax.lax.while_loop(lambda carry: jnp.any(carry[0].at < self.n_places), body, (begin, tally))
        return line.sigma, tally


def bounds(errors: Float[Array, " n_flips"]) -> Float[Array, " n_flips"]:
    """τ(k): grows with k; where no error was seen for any k, a cautious guess."""
    seen = jax.lax.cummax(errors)
    return jnp.where(seen < 0, UNKNOWN, jnp.clip(1.5 * seen, LEAST, MOST))


def type_on(
    read: Any,
    m: Inexact[Array, " m"],
    moved: Inexact[Array, "n_sites m"],
    line: Line,
    proposals: Proposals,
    bound: Float[Array, " n_flips"],
) -> tuple[Line, Tally]:
    """One chain from where it stands to the first proposal that only a new base decides, or to the end."""
    sites, uniform, checked = proposals
    first, n_places = line.at, len(sites)

    def acceptance(m: Array, j: Array) -> tuple[Array, Float[Array, ""]]:
        new = m + moved[sites[j]]
        ratio = 2 * (read(new) - read(m)).real.astype(jnp.float64)
        return new, jnp.exp(jnp.minimum(ratio, 0.0))

    # The first proposal is decided exactly; where the last base left it open, that says how wrong it would have been.
    exact = acceptance(m, jnp.minimum(first, n_places - 1))[1]
    error = jnp.where((line.guess >= 0) & (first < n_places), jnp.abs(exact - line.guess), -1.0)
    u_first = uniform[jnp.minimum(first, n_places - 1)]
    wrong = line.audited & ((u_first < exact) != (u_first < line.guess))

    def step(carry: tuple[Any, ...], j: Array) -> tuple[tuple[Any, ...], tuple[Array, Array]]:
        m, k, at, guess, doubt = carry
        new, a = acceptance(m, j)
        live = at == j
        doubtful = live & (k > 0) & (jnp.abs(uniform[j] - a) < bound[k])
        stop = doubtful | (live & (k > 0) & (checked == j))
        accept = live & ~stop & (uniform[j] < a)
        carry = (
            jnp.where(accept, new, m), k + accept, at + (live & ~stop),
            jnp.where(stop, a, guess), jnp.where(stop, doubtful, doubt),
        )  # fmt: skip
        return carry, (accept, doubtful)

    begin = (m, jnp.zeros((), jnp.int32), line.at, jnp.asarray(-1.0, jnp.float64), jnp.asarray(False))
    (_, k, at, guess, doubt), (accept, doubted) = jax.lax.scan(step, begin, jnp.arange(n_places, dtype=jnp.int32))
    flips = jnp.zeros(line.sigma.shape, bool).at[sites].set(accept)
    count = partial(jnp.sum, dtype=jnp.float64)
    errors = jnp.where(jnp.arange(len(bound)) == line.after, error, -1.0)
    base = (first < n_places).astype(jnp.float64)
    tally = Tally(count(accept), base, count(doubted), count(line.audited), count(wrong), errors)
    return Line(jnp.where(flips, -line.sigma, line.sigma), at, k, guess, (guess >= 0) & ~doubt), tally


def flip_all(key: PRNGKeyArray, psi: Psi, sigma: Int8[Array, "n_chains n_sites"]) -> Int8[Array, "n_chains n_sites"]:
    """A flip of all spins of every chain, accepted with min(1, |ψ(-σ)/ψ(σ)|²)."""
    both = psi.map(lambda u, p, s: u.log_psi(p, u.cache(p, s)), jnp.concatenate([sigma, -sigma]))
    ratio = 2 * (both[len(sigma) :] - both[: len(sigma)]).real.astype(jnp.float64)
    accept = jnp.log1p(-jax.random.uniform(key, (len(sigma),), jnp.float64)) < ratio
    return jnp.where(accept[:, None], -sigma, sigma)
