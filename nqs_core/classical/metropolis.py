"""Metropolis: single flips, all sites of a sublattice at once."""

from dataclasses import dataclass

import numpy as np

from nqs_core.classical.base import ASK, Algorithm, Counts, boltzmann
from nqs_core.classical.model import Ising, Spins, neighbour_sum, sublattices


@dataclass(frozen=True)
class Metropolis(Algorithm):
    """Flip sᵢ with probability min(1, exp(-ΔE / T)), ΔE = 2 sᵢ (Σⱼ sⱼ + h).

    The sublattices take turns: their sites are not neighbours, so that all their flips are independent.
    Source: Metropolis et al., J. Chem. Phys. 21, 1087 (1953).
    """

    def sweep(self, model: Ising, sigma: Spins, rng: np.random.Generator) -> tuple[Spins, Counts]:
        sums = np.arange(-4, 5)
        # flips[(s + 1) / 2, Σ sⱼ + 4]
        flips = ASK * np.stack([boltzmann(2 * s * (sums + model.field), model.temperature) for s in (-1, 1)])
        proposed = accepted = 0
        for sites in sublattices(model.size):
            draw = rng.random(sigma.shape)
            flip = sites & (draw < flips[(sigma + 1) // 2, neighbour_sum(sigma) + 4])
            proposed += np.count_nonzero(sites & (draw < ASK))
            accepted += np.count_nonzero(flip)
            sigma = np.where(flip, -sigma, sigma)
        return sigma, Counts(int(proposed), int(accepted))

    def tuned(self, model: Ising, counts: Counts) -> "Metropolis":
        return self
