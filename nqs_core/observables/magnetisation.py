"""Magnetisation."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nqs_core.lattices.base import Lattice
from nqs_core.observables.base import Observable
from nqs_core.operators import Terms
from nqs_core.registry import component, context
from nqs_core.types import Sigma


@component
class Magnetisation(Observable):
    """m = Σᵢ σᶻᵢ / N: its mean, |m|, m², the staggered m_s² on bipartite lattices, and ⟨σˣ⟩ = ⟨Σᵢ σˣᵢ⟩ / N.

    Pauli matrices: every value lies between -1 and 1.
    """

    lattice: Lattice = context()

    def diagonal(self, sigma: Sigma) -> dict[str, Float[Array, ""]]:
        m = jnp.mean(sigma, dtype=jnp.float64)
        out = {"magnetisation": m, "abs_magnetisation": jnp.abs(m), "magnetisation_squared": m**2}
        sublattice = self.lattice.sublattice()
        if sublattice is not None:
            staggered = jnp.mean(sigma * (1 - 2 * sublattice.astype(np.int8)), dtype=jnp.float64)
            out["staggered_magnetisation_squared"] = staggered**2
        return out

    def axes(self) -> dict[str, Float[np.ndarray, " n"]]:
        return {}

    def terms(self) -> dict[str, tuple[Terms, ...]]:
        n = self.lattice.n_sites
        return {"transverse_magnetisation": (Terms("X", np.arange(n)[:, None], 1.0 / n),)}
