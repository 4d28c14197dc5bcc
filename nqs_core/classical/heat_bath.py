"""Heat bath: every spin is drawn anew, given its neighbours."""

from dataclasses import dataclass

import numpy as np

from nqs_core.classical.base import Algorithm, Counts
from nqs_core.classical.model import Ising, Spins, neighbour_sum, sublattices


@dataclass(frozen=True)
class HeatBath(Algorithm):
    """Set sᵢ = +1 with probability 1 / (1 + exp(-2 (Σⱼ sⱼ + h) / T)), else -1; also called Gibbs or Glauber.

    Source: Glauber, J. Math. Phys. 4, 294 (1963); Creutz, Phys. Rev. D 21, 2308 (1980).
    """

    def sweep(self, model: Ising, sigma: Spins, rng: np.random.Generator) -> tuple[Spins, Counts]:
        up = up_probability(np.arange(-4, 5) + model.field, model.temperature)
        changed = 0
        for sites in sublattices(model.size):
            drawn = np.where(rng.random(sigma.shape) < up[neighbour_sum(sigma) + 4], 1, -1).astype(np.int8)
            drawn = np.where(sites, drawn, sigma)
            changed += np.count_nonzero(drawn != sigma)
            sigma = drawn
        return sigma, Counts(model.n_sites, int(changed))

    def tuned(self, model: Ising, counts: Counts) -> "HeatBath":
        return self


def up_probability(local_field: np.ndarray, temperature: float) -> np.ndarray:
    """1 / (1 + exp(-2 b / T)) for the local field b in J, without overflow."""
    return 0.5 * (1 + np.tanh(local_field / temperature))
