"""Means of observables over groups of chains, and from these their estimates with error bars."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from nqs_core import batching, estimators
from nqs_core.observables.base import Draw, Observable, Quantities
from nqs_core.operators import compile
from nqs_core.samplers.base import Samples
from nqs_core.types import Sigma
from nqs_core.wavefunction import Psi

GROUPS = 32, 256  # fewest and most groups of chains; a spread of 32 numbers is known to 13 %
ROOM = 2**21  # numbers that the means of all groups may take, if more than the fewest
NUMBERS = 2**23  # that observables may hold at once

Means = dict[str, Float[Array, "n_groups ..."]]
Shapes = dict[str, tuple[int, ...]]


def single(observables: Sequence[Observable], n_sites: int) -> Shapes:
    """Names and shapes of the means over one copy of the system."""
    sigma = jax.ShapeDtypeStruct((n_sites,), jnp.int8)
    matrix = jax.ShapeDtypeStruct((n_sites, n_sites), jnp.float64)
    found: Shapes = {}
    for o in observables:
        for part in (jax.eval_shape(o.diagonal, sigma), jax.eval_shape(o.pairs, matrix)):
            found |= {name: value.shape for name, value in part.items()}
        found |= dict.fromkeys(o.terms(), ()) | {name: (len(t[0].sites),) for name, t in o.resolved().items()}
    return found


def double(observables: Sequence[Observable], n_sites: int) -> Shapes:
    """Names and shapes of the means over two copies of the system."""
    draw = Draw(jnp.ones(n_sites, jnp.int8), jnp.zeros(()))
    parts = [jax.eval_shape(lambda o=o: o.replicas(draw, draw, lambda s: jnp.zeros(()))) for o in observables]
    return {name: value.shape for part in parts for name, value in part.items()}


def shapes(observables: Sequence[Observable], n_sites: int, n_chains: int) -> Shapes:
    """Names and shapes of what `group_means` gives."""
    one, two = single(observables, n_sites), double(observables, n_sites)
    n_groups = _n_groups(one, n_chains)
    found = {name: (n_groups, *shape) for name, shape in one.items()}
    if n_chains > 1:
        found |= {name: (min(n_groups, n_chains // 2), *shape) for name, shape in two.items()}
    return found


def _n_groups(one: Shapes, n_chains: int) -> int:
    entries = sum(int(np.prod(shape)) for shape in one.values())
    return min(n_chains, max(GROUPS[0], min(GROUPS[1], ROOM // max(entries, 1))))


def group_means(observables: Sequence[Observable], psi: Psi, samples: Samples) -> Means:
    """Every observable's mean over the draws of each group of chains; pure, for a caller's `jax.jit`.

    The groups share no chain; those of two copies are groups of pairs of chains.
    """
    n_chains, _, n_sites = samples.sigma.shape
    one, two = single(observables, n_sites), double(observables, n_sites)
    n_groups, weight = _n_groups(one, n_chains), jnp.exp(samples.log_weight)
    means: Means = {}
    if one:
        entries = sum(int(np.prod(shape)) for shape in one.values())
        blocks = _Blocks(n_groups, weight, n_sites**2 + entries)
        means = blocks.sums(lambda w, sigma: _of_one(observables, psi, w, sigma), samples.sigma)
    if two and n_chains > 1:
        halves = [slice(k, n_chains - 1 + k, 2) for k in (0, 1)]
        first, second = (Draw(samples.sigma[half], samples.log_psi[half]) for half in halves)
        product = weight[halves[0]] * weight[halves[1]]
        blocks = _Blocks(min(n_groups, len(product)), product, n_sites)
        means |= blocks.sums(lambda w, a, b: _of_two(observables, psi, w, a, b), first, second)
    return means


class _Blocks:
    """Samples of (n_chains, n_draws), dealt out to groups of whole chains and cut into blocks that are done at once."""

    def __init__(self, n_groups: int, weight: Float[Array, "n_chains n_draws"], numbers: int) -> None:
        n_chains, n_draws = weight.shape
        members = np.array_split(np.arange(n_chains), n_groups)
        width = len(members[0])
        self.index = np.array([np.pad(m, (0, width - len(m)), mode="edge") for m in members])
        share = np.array([np.pad(np.full(len(m), 1 / (len(m) * n_draws)), (0, width - len(m))) for m in members])
        self.n_groups, self.n_blocks = n_groups, -(-width * n_draws // batching.MOST)
        self.at_once = max(1, min(batching.MOST, NUMBERS // numbers) * self.n_blocks // (width * n_draws))
        self.weight = self._cut(weight[self.index] * share[:, :, None])

    def _cut(self, x: Array) -> Array:
        """(n_groups, chains of a group, n_draws, ...) to (n_groups · n_blocks, size of a block, ...), 0 as padding."""
        x = x.reshape(self.n_groups, x.shape[1] * x.shape[2], *x.shape[3:])
        short = -x.shape[1] % self.n_blocks
        x = jnp.pad(x, ((0, 0), (0, short), *[(0, 0)] * (x.ndim - 2)))
        return x.reshape(self.n_groups * self.n_blocks, -1, *x.shape[2:])

    def sums(self, function: Any, *draws: Any) -> Means:
        """function(weights, *draws) of each block, summed over the blocks of each group."""
        cut = jax.tree.map(lambda x: self._cut(x[self.index]), draws)
        arguments = (self.weight, *cut)
        found = batching.in_blocks(lambda own: function(*own), arguments, self.at_once)
        return {k: jnp.sum(v.reshape(self.n_groups, self.n_blocks, *v.shape[1:]), axis=1) for k, v in found.items()}


def _of_one(observables: Sequence[Observable], psi: Psi, w: Float[Array, " n"], sigma: Array) -> Quantities:
    """Σ w · value of every quantity of one copy."""
    out: Quantities = {}
    for o in observables:
        values = dict(jax.vmap(o.diagonal)(sigma))
        for name, terms in o.terms().items():
            values[name] = estimators.local_values(psi, compile(terms, sigma.shape[1]), sigma).real
        for name, terms in o.resolved().items():
            values[name] = estimators.resolved_values(psi, compile(terms, sigma.shape[1]), sigma).real
        out |= {name: jnp.tensordot(w, value.astype(jnp.float64), 1) for name, value in values.items()}
    spins = sigma.astype(jnp.float64)
    matrix = jnp.matmul((w[:, None] * spins).T, spins, precision="highest")
    for o in observables:
        out |= o.pairs(matrix)
    return out


def _of_two(
    observables: Sequence[Observable], psi: Psi, w: Float[Array, " n"], first: Draw, second: Draw
) -> Quantities:
    """Σ w · value of every quantity of two copies."""

    def log_psi(sigma: Sigma) -> Inexact[Array, ""]:
        return psi.ansatz.log_psi(psi.params, sigma)

    values: Quantities = {}
    for o in observables:
        values |= jax.vmap(lambda a, b, o=o: o.replicas(a, b, log_psi))(first, second)
    return {name: jnp.tensordot(w, value.astype(jnp.float64), 1) for name, value in values.items()}


def estimates(
    observables: Sequence[Observable], values: dict[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean and standard error of every quantity from its group means, derived ones by the jackknife.

    Without a mean a quantity is left out; a single group has no error, NaN.
    """
    out = {name: _mean_and_error(value) for name, value in values.items()}
    means, errors = ({name: pair[k] for name, pair in out.items()} for k in (0, 1))
    flat = {name: value for name, value in values.items() if value.ndim <= 2 and len(value) > 1}
    left_out = {name: (value.sum(axis=0) - value) / (len(value) - 1) for name, value in flat.items()}
    for o in observables:
        replicas = o.derived(left_out, errors) if left_out else {}
        for name, value in o.derived(means, errors).items():
            error = np.full(value.shape, np.nan)
            if name in replicas:
                error = np.sqrt((len(replicas[name]) - 1) * np.var(replicas[name], axis=0))
            out[name] = (value, error)
    return {name: pair for name, pair in out.items() if np.all(np.isfinite(pair[0]))}


def _mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Groups are independent of each other: the spread of their means holds the autocorrelation within them."""
    spread = np.std(values, axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1:], np.nan)
    return np.asarray(np.mean(values, axis=0)), np.asarray(spread / np.sqrt(len(values)))
