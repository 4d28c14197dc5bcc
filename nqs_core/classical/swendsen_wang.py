"""Swendsen-Wang: all clusters of equal spins at once."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

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
        sizes = np.bincount(label, minlength=model.n_sites)
        n_clusters = np.count_nonzero(sizes)
        up = rng.random(model.n_sites) < up_probability(model.field * sizes, model.temperature)
        drawn = np.where(up[label], 1, -1).astype(np.int8).reshape(sigma.shape)
        changed = np.count_nonzero((drawn != sigma).ravel()[np.flatnonzero(sizes)])  # by the first site of each
        return drawn, Counts(int(n_clusters), int(changed), int(n_clusters), model.n_sites)

    def tuned(self, model: Ising, counts: Counts) -> "SwendsenWang":
        return self


def clusters(sigma: Spins, bind: float, rng: np.random.Generator) -> Int[np.ndarray, " n_sites"]:
    """Bind equal neighbours with probability `bind`; for every site the lowest index in its cluster."""
    size = len(sigma)
    site = np.arange(sigma.size).reshape(sigma.shape)
    ends = []
    for axis in (0, 1):
        bound = (sigma == np.roll(sigma, -1, axis)) & (rng.random(sigma.shape) < bind)
        if size == 2:
            np.moveaxis(bound, axis, 0)[1:] = False  # around the lattice is the same bond again
        ends.append(np.stack([site[bound], np.roll(site, -1, axis)[bound]]))
    return components(np.concatenate(ends, axis=1), sigma.size)


def components(bonds: Int[np.ndarray, "2 n_bonds"], n_sites: int) -> Int[np.ndarray, " n_sites"]:
    """Connected components: every root hooks to the lowest root it is bound to, then all paths are shortened.

    Source: after Shiloach and Vishkin, J. Algorithms 3, 57 (1982).
    """
    label = np.arange(n_sites)
    while True:
        roots = label[bonds]
        apart = roots[0] != roots[1]
        if not apart.any():
            return label
        bonds, roots = bonds[:, apart], roots[:, apart]
        np.minimum.at(label, roots.max(axis=0), roots.min(axis=0))
        while not np.array_equal(shorter := label[label], label):
            label = shorter
