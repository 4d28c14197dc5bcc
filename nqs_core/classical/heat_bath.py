"""Heat bath: every spin is drawn anew, given its neighbours."""

from dataclasses import dataclass

import numpy as np

from nqs_core.classical.base import Counts, LocalUpdate
from nqs_core.classical.model import Ising, Spins
from nqs_core.classical.order import site_groups


@dataclass(frozen=True)
class HeatBath(LocalUpdate):
    """Set sᵢ = +1 with probability 1 / (1 + exp(-2 (Σⱼ sⱼ + h) / T)), else -1; also called Gibbs or Glauber.

    Source: Glauber, J. Math. Phys. 4, 294 (1963); Creutz, Phys. Rev. D 21, 2308 (1980).
    """

    def sweep(self, model: Ising, sigma: Spins, rng: np.random.Generator) -> tuple[Spins, Counts]:
        up = up_probability(np.arange(-4, 5) + model.field, model.temperature)
        flat, draw = sigma.flatten(), rng.random(model.n_sites)
        for sites, near in site_groups(model.size, self.order, rng):
            total = np.sum(flat.take(near), axis=0, dtype=np.int8)
            flat[sites] = np.where(draw.take(sites) < up.take(total + 4), 1, -1)
        return flat.reshape(sigma.shape), Counts(model.n_sites, int(np.count_nonzero(flat != sigma.ravel())))


def up_probability(local_field: np.ndarray, temperature: float) -> np.ndarray:
    """1 / (1 + exp(-2 b / T)) for the local field b in J, without overflow."""
    return 0.5 * (1 + np.tanh(local_field / temperature))
