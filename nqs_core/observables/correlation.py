"""Spin-spin correlations against distance."""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nqs_core.errors import TooLargeError
from nqs_core.lattices.base import Lattice
from nqs_core.observables.base import Observable
from nqs_core.operators import Terms
from nqs_core.registry import component, context
from nqs_core.types import Sigma

MAX_SITES = 10_000  # the table of distances takes 0.8 GB


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

    def __post_init__(self) -> None:
        n = self.lattice.n_sites
        if n > MAX_SITES:
            raise TooLargeError(
                f"observable 'correlation': the distances of {n} sites take {8e-9 * n * n:.3g} GB; the limit is "
                f"{MAX_SITES} sites; name other observables"
            )

    def diagonal(self, sigma: Sigma) -> dict[str, Float[Array, " n_r"]]:
        r, index = shells(self.lattice)
        pairs = (sigma[:, None] * sigma[None, :]).reshape(-1).astype(jnp.float32)
        counts = np.bincount(index, minlength=len(r))
        return {"correlation": jnp.zeros(len(r), jnp.float32).at[index].add(pairs) / counts}

    def derived(self, means: dict[str, Float[np.ndarray, "..."]]) -> dict[str, Float[np.ndarray, "..."]]:
        return {}

    def axes(self) -> dict[str, Float[np.ndarray, "n ..."]]:
        return {"correlation": shells(self.lattice)[0]}

    def terms(self) -> dict[str, tuple[Terms, ...]]:
        return {}
