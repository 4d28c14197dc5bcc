"""Metropolis: single flips, all sites of a group at once."""

from dataclasses import dataclass

import numpy as np

from nqs_core.classical.base import ASK, Counts, LocalUpdate, boltzmann
from nqs_core.classical.model import Ising, Spins
from nqs_core.classical.order import site_groups


@dataclass(frozen=True)
class Metropolis(LocalUpdate):
    """Flip sᵢ with probability min(1, exp(-ΔE / T)), ΔE = 2 sᵢ (Σⱼ sⱼ + h).

    Source: Metropolis et al., J. Chem. Phys. 21, 1087 (1953).
    """

    def sweep(self, model: Ising, sigma: Spins, rng: np.random.Generator) -> tuple[Spins, Counts]:
        local_field = np.arange(-4, 5) + model.field
        # flips[9 (s + 1) / 2 + Σ sⱼ + 4]
        flips = ASK * np.concatenate([boltzmann(2 * s * local_field, model.temperature) for s in (-1, 1)])
        flat, draw = sigma.flatten(), rng.random(model.n_sites)
        accepted = 0
        for sites, near in site_groups(model.size, self.order, rng):
            total = np.sum(flat.take(near), axis=0, dtype=np.int8)
            changed = sites[draw.take(sites) < flips.take(9 * (flat.take(sites) > 0) + total + 4)]
            flat[changed] *= -1
            accepted += changed.size
        return flat.reshape(sigma.shape), Counts(int(np.count_nonzero(draw < ASK)), accepted)
