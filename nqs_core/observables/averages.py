"""Sums of observables over groups of chains, and from these their estimates with error bars."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from nqs_core import batching
from nqs_core.observables.base import HIDDEN, Draw, Numbers, Observable, Quantities, Weights
from nqs_core.samplers.base import Samples
from nqs_core.wavefunction import Psi

GROUPS = 32, 256  # fewest and most groups of chains; a spread of 32 numbers is known to 13 %
ROOM = 2**21  # numbers that the sums of all groups may take, if more than the fewest
NUMBERS = 2**23  # that observables may hold at once
WEIGHT = "weight"  # the name of the sum of weights among the quantities

Sums = dict[str, dict[str, Inexact[Array, "n_groups ..."]]]  # by the number of copies, in words: "1", "2"


def group_sums(observables: Sequence[Observable], psi: Psi, samples: Samples) -> Sums:
    """Every observable's Σ w O over the draws of each group of chains, and Σ w; pure, for a caller's `jax.jit`.

    The groups share no chain; those of two copies are groups of pairs of chains. Divided by the number of draws of the
    group: Σ w is 1 in the mean.
    """
    n_chains, _, n_sites = samples.sigma.shape
    sums: Sums = {}
    for copies in sorted({o.copies for o in observables}):
        n_units = n_chains // copies
        if n_units == 0:
            continue
        members = [o for o in observables if o.copies == copies]
        rows = [slice(k, copies * n_units, copies) for k in range(copies)]
        draws = [Draw(samples.sigma[row], samples.log_psi[row]) for row in rows]
        weight = jnp.exp(sum(samples.log_weight[row] for row in rows))
        entries = _entries(members, psi, n_sites)
        blocks = _Blocks(min(n_units, max(GROUPS[0], min(GROUPS[1], ROOM // entries))), weight, n_sites**2 + entries)
        sums[str(copies)] = blocks.sums(lambda w, *own, members=members: _of_block(members, psi, w, *own), *draws)
    return sums


def _of_block(observables: Sequence[Observable], psi: Psi, weights: Weights, *draws: Draw) -> Quantities:
    out: Quantities = {WEIGHT: jnp.sum(weights)}
    for o in observables:
        out |= o.sums(psi, weights, *draws)
    return out


def _entries(observables: Sequence[Observable], psi: Psi, n_sites: int) -> int:
    """How many numbers the sums of one group are."""
    draw = Draw(jnp.ones((1, n_sites), jnp.int8), jnp.zeros(1, jnp.complex128 if psi.signed else jnp.float64))
    block = jax.eval_shape(lambda psi: _of_block(observables, psi, jnp.ones(1), *[draw] * observables[0].copies), psi)
    return sum(int(np.prod(value.shape)) for value in block.values())


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

    def sums(self, function: Any, *draws: Any) -> Quantities:
        """function(weights, *draws) of each block, summed over the blocks of each group."""
        cut = jax.tree.map(lambda x: self._cut(x[self.index]), draws)
        arguments = (self.weight, *cut)
        found = batching.in_blocks(lambda own: function(*own), arguments, self.at_once)
        return {k: jnp.sum(v.reshape(self.n_groups, self.n_blocks, *v.shape[1:]), axis=1) for k, v in found.items()}


def estimates(
    observables: Sequence[Observable], sums: dict[str, dict[str, np.ndarray]]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean and standard error of every quantity from the sums of the groups, derived ones by the jackknife.

    Without a mean a quantity is left out; a single group has no error, NaN.
    """
    out: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for copies, own in sums.items():
        groups = _Groups(own)
        out |= groups.ratios
        for o in observables:
            if str(o.copies) == copies:
                out |= groups.derived(o)
    return {name: pair for name, pair in out.items() if not name.startswith(HIDDEN) and np.all(np.isfinite(pair[0]))}


class _Groups:
    """Sums over groups of chains that are independent of each other: their spread holds the autocorrelation."""

    def __init__(self, sums: dict[str, np.ndarray]) -> None:
        self._weight = np.asarray(sums[WEIGHT])
        self._sums = {name: np.asarray(value) for name, value in sums.items() if name != WEIGHT}
        self._totals = {name: value.sum(axis=0) for name, value in self._sums.items()}
        with np.errstate(divide="ignore", invalid="ignore"):  # weights of zero
            self.ratios = {name: self._ratio(name) for name in self._sums}

    def _ratio(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """R = Σ S / Σ W, and its error √(G / (G - 1) Σ |S - R W|²) / Σ W."""
        value, n_groups, weight = self._sums[name], len(self._weight), self._weight.sum()
        mean = np.asarray(self._totals[name] / weight)
        rest = value - mean * self._weight.reshape(-1, *[1] * mean.ndim)
        scale = np.sqrt(n_groups / (n_groups - 1)) if n_groups > 1 else np.nan
        return mean, np.asarray(scale * np.linalg.norm(rest, axis=0) / weight)

    def derived(self, observable: Observable) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """What the observable derives of the means, with errors from leaving out one group after the other."""
        means, errors = ({name: pair[k] for name, pair in self.ratios.items()} for k in (0, 1))
        values = observable.derived(means, errors)
        if not values:
            return {}
        n_groups = len(self._weight)
        replicas = [observable.derived(self._without(g), errors) for g in range(n_groups)] if n_groups > 1 else []
        out = {}
        for name, value in values.items():
            spread = [np.std([r[name] for r in replicas], axis=0) * np.sqrt(n_groups - 1)] if replicas else []
            out[name] = (value, np.asarray(spread[0] if spread else np.full(np.shape(value), np.nan)))
        return out

    def _without(self, group: int) -> Numbers:
        weight = self._weight.sum() - self._weight[group]
        return {name: np.asarray((self._totals[name] - value[group]) / weight) for name, value in self._sums.items()}
