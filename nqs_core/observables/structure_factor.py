"""The structure factor."""

import itertools
import math
from functools import lru_cache
from typing import ClassVar, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.crystal import Crystal, freeze
from nqs_core.observables.base import Draw, Numbers, Observable, Quantities, Weights, of_function, require_sites
from nqs_core.registry import component, context
from nqs_core.types import Sigma
from nqs_core.wavefunction import Psi

ZONES = 3  # reciprocal lattice vectors up to this many along each axis are candidates


@component
class StructureFactor(Observable):
    """S(q) = 1/N Σ_ij exp(i q·(r_i - r_j)) ⟨σᶻᵢ σᶻⱼ⟩, not connected; the mean over a full period is 1.

    q = Σ_a (m_a / L_a) b_a, m_a = 0 ... L_a - 1, along open axes too, in units of 1 / (nearest-neighbour distance).
    Where a cell has several sites S(q) does not repeat with b_a: q are the shortest vectors of a whole period, 3 zones
    on the honeycomb lattice and 4 on the kagome lattice.

    Raises:
        TooLargeError: more than 4096 sites.
    """

    lattice: Lattice = context()
    default_sites: ClassVar[int] = 1024
    max_sites: ClassVar[int] = 4096

    def __post_init__(self) -> None:
        require_sites(StructureFactor, "structure_factor", self.lattice)

    @classmethod
    def unavailable(cls, lattice: Lattice, hamiltonian: Hamiltonian) -> str:
        return "" if isinstance(lattice, Crystal) else f"{lattice!r} has no reciprocal lattice"

    def sums(self, psi: Psi, weights: Weights, *draws: Draw) -> Quantities:
        return of_function(weights, self._of_one, *draws)

    def _of_one(self, sigma: Sigma) -> Quantities:
        waves = jnp.asarray(_waves(cast(Crystal, self.lattice)))
        amplitudes = jnp.matmul(waves, sigma.astype(jnp.float64), precision="highest")
        return {"structure_factor": jnp.sum(amplitudes**2, axis=0) / self.lattice.n_sites}

    def axes(self) -> Numbers:
        return {"structure_factor": wave_vectors(cast(Crystal, self.lattice))}


@lru_cache(maxsize=16)
def wave_vectors(lattice: Crystal) -> Float[np.ndarray, "n_q dim"]:
    """The q of one whole period of S(q), the shortest vector of each class, Γ first."""
    cells = np.stack(np.unravel_index(np.arange(math.prod(lattice.extent)), lattice.extent), axis=-1)
    images = np.array(list(itertools.product(range(-ZONES, ZONES + 1), repeat=len(lattice.extent))))
    # S(q + G) = S(q) for all configurations where G·r is a multiple of 2π for every site of the cell.
    places = np.array(lattice.basis) @ np.linalg.inv(np.array(lattice.vectors))
    phases = np.round(images @ places.T % 1.0, 6) % 1.0
    candidates = ((cells / lattice.extent)[:, None] + images[None]) @ lattice.reciprocal()
    zones = [_shortest(candidates[:, np.all(phases == phase, axis=1)]) for phase in np.unique(phases, axis=0)]
    return freeze(np.concatenate(zones))


def _shortest(candidates: np.ndarray) -> np.ndarray:
    """Of every row the shortest vector; of several, that with the largest x: (n_q, n_images, dim) to (n_q, dim)."""
    # Rounded, so that equivalent points of the boundary do not depend on the last digit.
    length = np.round(np.linalg.norm(candidates, axis=-1), 9)
    keys = [np.round(-candidates[..., axis], 9) for axis in reversed(range(candidates.shape[-1]))]
    return candidates[np.arange(len(candidates)), np.lexsort((*keys, length), axis=-1)[:, 0]]


@lru_cache(maxsize=16)
def _waves(lattice: Crystal) -> Float[np.ndarray, "2 n_q n_sites"]:
    """cos q·r and sin q·r."""
    angle = wave_vectors(lattice) @ lattice.positions().T
    return freeze(np.stack([np.cos(angle), np.sin(angle)]))
