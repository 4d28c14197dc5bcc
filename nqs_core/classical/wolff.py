"""Wolff: one cluster of equal spins at a time."""

import math
from dataclasses import dataclass

import numpy as np

from nqs_core.classical.base import Algorithm, Counts
from nqs_core.classical.model import Ising, Spins, neighbours

MAX_CLUSTERS = 100  # a sweep in the hot phase, where clusters are single spins, would take minutes


@dataclass(frozen=True)
class Wolff(Algorithm):
    """Grow a cluster from a random site over equal neighbours with probability 1 - exp(-2 / T), then flip it.

    A field takes the part of a ghost spin: a cluster of n spins s flips with probability min(1, exp(-2 h s n / T)),
    which is the probability that no spin of the cluster is bound to the ghost. The number of clusters of a sweep is
    fixed beforehand: to stop when enough spins have flipped would favour states that flip in large clusters.
    Source: Wolff, Phys. Rev. Lett. 62, 361 (1989); the ghost: Coniglio and Klein, J. Phys. A 13, 2775 (1980).
    """

    n_clusters: int = 1  # in a sweep

    def sweep(self, model: Ising, sigma: Spins, rng: np.random.Generator) -> tuple[Spins, Counts]:
        flat = sigma.ravel().copy()
        accepted = spins = 0
        for seed in rng.integers(model.n_sites, size=self.n_clusters):
            n_spins, flipped = flip_cluster(model, flat, int(seed), rng)
            spins += n_spins
            accepted += flipped
        return flat.reshape(sigma.shape), Counts(self.n_clusters, accepted, self.n_clusters, spins)

    def tuned(self, model: Ising, counts: Counts) -> "Wolff":
        if not counts.clusters:
            return self
        return Wolff(n_clusters=min(max(round(model.n_sites / counts.cluster_size), 1), MAX_CLUSTERS))


def flip_cluster(model: Ising, flat: np.ndarray, seed: int, rng: np.random.Generator) -> tuple[int, bool]:
    """Grow the cluster of site `seed` and flip it in place, or not; returns its size and whether it flipped."""
    join = -math.expm1(-2 / model.temperature)
    table = neighbours(model.size)
    spin = int(flat[seed])
    frontier = np.array([seed])
    flat[frontier] = -spin  # members are marked by being flipped already
    members = [frontier]
    while frontier.size:
        near = table[frontier].ravel()
        near = near[flat[near] == spin]
        frontier = np.unique(near[rng.random(near.size) < join])  # a site can be reached over several bonds
        flat[frontier] = -spin
        members.append(frontier)
    n_spins = sum(part.size for part in members)
    cost = 2 * model.field * spin * n_spins
    if cost <= 0 or rng.random() < math.exp(-cost / model.temperature):
        return n_spins, True
    flat[np.concatenate(members)] = spin
    return n_spins, False
