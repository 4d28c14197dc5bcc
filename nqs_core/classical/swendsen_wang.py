"""Swendsen-Wang: all clusters of equal spins at once."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nqs_core.classical.base import Algorithm, Counts
from nqs_core.classical.heat_bath import up_probability
from nqs_core.classical.model import Ising, Spins


@dataclass(frozen=True)
class SwendsenWang(Algorithm):
    """Bind equal neighbours with probability 1 - exp(-2 / T), then draw the spin of every cluster anew.

    A cluster of n spins points up with probability 1 / (1 + exp(-2 h n / T)): given the bonds, nothing but the field
    (Fortuin and Kasteleyn's ghost spin) prefers a direction.
    Source: Swendsen and Wang, Phys. Rev. Lett. 58, 86 (1987); Edwards and Sokal, Phys. Rev. D 38, 2009 (1988).
    """

    def sweep(self, model: Ising, sigma: Spins, rng: np.random.Generator) -> tuple[Spins, Counts]:
        label = clusters(sigma, -math.expm1(-2 / model.temperature), rng)
        sizes = np.bincount(label)
        n_clusters = len(sizes)
        up = rng.random(n_clusters) < up_probability(model.field * sizes, model.temperature)
        was_up = np.empty(n_clusters, bool)
        was_up[label] = sigma.ravel() > 0  # every site of a cluster says the same
        drawn = np.where(up[label], 1, -1).astype(np.int8).reshape(sigma.shape)
        return drawn, Counts(n_clusters, int(np.count_nonzero(up != was_up)), n_clusters, model.n_sites)

    def tuned(self, model: Ising, counts: Counts) -> "SwendsenWang":
        return self


def clusters(sigma: Spins, bind: float, rng: np.random.Generator) -> Int[np.ndarray, " n_sites"]:
    """Bind equal neighbours with probability `bind`; for every site the number of its cluster, from 0."""
    size = len(sigma)
    site = np.arange(sigma.size).reshape(sigma.shape)
    ends = []
    for axis in (0, 1):
        bound = (sigma == np.roll(sigma, -1, axis)) & (rng.random(sigma.shape) < bind)
        if size == 2:
            np.moveaxis(bound, axis, 0)[1:] = False  # around the lattice is the same bond again
        ends.append(np.stack([site[bound], np.roll(site, -1, axis)[bound]]))
    bonds = np.concatenate(ends, axis=1)
    graph = coo_array((np.ones(bonds.shape[1], bool), bonds), shape=(sigma.size, sigma.size))
    return connected_components(graph, directed=False)[1]
