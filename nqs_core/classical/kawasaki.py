"""Kawasaki: neighbours exchange their spins, so that the magnetisation stays."""

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nqs_core.classical.base import ASK, Algorithm, Counts, boltzmann
from nqs_core.classical.model import Ising, Spins


@dataclass(frozen=True)
class Kawasaki(Algorithm):
    """Exchange neighbours sᵢ ≠ sⱼ with probability min(1, exp(-ΔE / T)), ΔE = (sᵢ - sⱼ)(Σ_{k∼i} sₖ - Σ_{k∼j} sₖ).

    The sums leave out the pair itself. The magnetisation is conserved and the field has no effect. A sweep asks every
    bond once, in groups of bonds of which none touches a neighbour of another, so that all their exchanges are
    independent. The groups come in random order: in a fixed one they would carry a lone spin along, sweep after sweep.
    Source: Kawasaki, Phys. Rev. 145, 224 (1966).
    """

    def sweep(self, model: Ising, sigma: Spins, rng: np.random.Generator) -> tuple[Spins, Counts]:
        sigma = sigma.copy()
        proposed = accepted = 0
        starts = (np.array([0]),) if model.size == 2 else spaced(model.size, 3)
        # Bonds along rows, and along columns.
        groups = list(itertools.product((sigma, sigma.T), spaced(model.size, 2), starts))
        for k in rng.permutation(len(groups)):
            view, rows, first = groups[k]
            asked, done = _exchange(view, rows, first, model.temperature, rng)
            proposed, accepted = proposed + asked, accepted + done
        return sigma, Counts(proposed, accepted)

    def tuned(self, model: Ising, counts: Counts) -> "Kawasaki":
        return self


def _exchange(
    view: np.ndarray, rows: np.ndarray, first: np.ndarray, temperature: float, rng: np.random.Generator
) -> tuple[int, int]:
    """Offer the pairs (row, first), (row, first + 1) an exchange, in place; how many were asked and did."""
    size = len(view)
    rows, second = rows[:, None], (first + 1) % size
    a, b = view[rows, first], view[rows, second]
    above = (rows - 1) % size
    difference = view[above, first] - view[above, second]
    if size > 2:
        below = (rows + 1) % size
        difference += view[below, first] - view[below, second]
        difference += view[rows, (first - 1) % size] - view[rows, (second + 1) % size]
    draw = rng.random(a.shape)
    proposed = (a != b) & (draw < ASK)
    accepted = proposed & (draw < ASK * boltzmann((a - b) * difference, temperature))
    view[rows, first], view[rows, second] = np.where(accepted, b, a), np.where(accepted, a, b)
    return int(np.count_nonzero(proposed)), int(np.count_nonzero(accepted))


@lru_cache(maxsize=8)
def spaced(size: int, gap: int) -> tuple[np.ndarray, ...]:
    """The positions of a ring in groups whose members are at least `gap` apart."""
    groups: list[list[int]] = []
    for x in range(size):
        for group in groups:
            if x - group[-1] >= gap and group[0] + size - x >= gap:
                group.append(x)
                break
        else:
            groups.append([x])
    return tuple(np.array(group) for group in groups)
