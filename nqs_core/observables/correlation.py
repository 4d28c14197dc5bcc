"""Spin-spin correlations against distance, and as a map of all pairs."""

from functools import lru_cache
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from nqs_core.lattices.base import Lattice
from nqs_core.observables.base import Draw, Numbers, Observable, Quantities, Weights, of_pairs, require_sites
from nqs_core.registry import component, context
from nqs_core.wavefunction import Psi


@lru_cache(maxsize=32)
def shells(lattice: Lattice) -> tuple[np.ndarray, np.ndarray]:
    """Distinct distances r in rising order, and for every pair (i, j), row-major, the index of its distance."""
    rounded = np.round(lattice.distances().reshape(-1), 6)
    r, index = np.unique(rounded, return_inverse=True)
    return r, index


@component
class Correlation(Observable):
    """C(r) = ⟨σᶻᵢ σᶻⱼ⟩ averaged over all pairs of sites at distance r, not connected; C(0) = 1.

    r in units of the nearest-neighbour distance, shortest over the periodic images.

    Raises:
        TooLargeError: more than 10,000 sites.
    """

    lattice: Lattice = context()
    default_sites: ClassVar[int] = 1024
    max_sites: ClassVar[int] = 10_000  # the table of distances takes 0.8 GB

    def __post_init__(self) -> None:
        require_sites(Correlation, "correlation", self.lattice, 8.0)

    def sums(self, psi: Psi, weights: Weights, *draws: Draw) -> Quantities:
        r, index = shells(self.lattice)
        correlations = of_pairs(weights, *draws)
        counts = np.bincount(index, minlength=len(r))
        return {"correlation": jnp.zeros(len(r), correlations.dtype).at[index].add(correlations.reshape(-1)) / counts}

    def axes(self) -> Numbers:
        return {"correlation": shells(self.lattice)[0]}


@component
class CorrelationMap(Observable):
    """C(i, j) = ⟨σᶻᵢ σᶻⱼ⟩ of every pair of sites, not connected; C(i, i) = 1.

    Raises:
        TooLargeError: more than 256 sites.
    """

    lattice: Lattice = context()
    default_sites: ClassVar[int] = 64
    max_sites: ClassVar[int] = 256  # a map is stored with every look at it

    def __post_init__(self) -> None:
        require_sites(CorrelationMap, "correlation_map", self.lattice)

    def sums(self, psi: Psi, weights: Weights, *draws: Draw) -> Quantities:
        return {"correlation_map": of_pairs(weights, *draws)}
