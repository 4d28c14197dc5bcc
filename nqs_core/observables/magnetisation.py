"""Magnetisation."""

import jax.numpy as jnp
import numpy as np

from nqs_core.lattices.base import Lattice
from nqs_core.observables.base import Draw, Numbers, Observable, Quantities, Weights, of_function, of_terms
from nqs_core.operators import Terms
from nqs_core.registry import component, context
from nqs_core.types import Sigma
from nqs_core.wavefunction import Psi


@component
class Magnetisation(Observable):
    """m = Σᵢ σᶻᵢ / N: ⟨m⟩, ⟨|m|⟩, ⟨m²⟩, Binder cumulant 1 - ⟨m⁴⟩ / 3⟨m²⟩², staggered ⟨m_s²⟩, and ⟨Σᵢ σˣᵢ⟩ / N.

    Pauli matrices: every mean lies between -1 and 1. m_s takes the sublattices of a bipartite lattice with opposite
    signs. The Binder cumulant is 2/3 in a ferromagnet and goes to 0 in a paramagnet.
    Source: Binder, Z. Phys. B 43, 119 (1981).
    """

    lattice: Lattice = context()

    def sums(self, psi: Psi, weights: Weights, *draws: Draw) -> Quantities:
        n = self.lattice.n_sites
        transverse = (Terms("X", np.arange(n)[:, None], 1.0 / n),)
        return of_function(weights, self._moments, *draws) | {
            "transverse_magnetisation": of_terms(psi, weights, transverse, *draws)
        }

    def _moments(self, sigma: Sigma) -> Quantities:
        m = jnp.mean(sigma, dtype=jnp.float64)
        out = {
            "magnetisation": m,
            "abs_magnetisation": jnp.abs(m),
            "magnetisation_squared": m**2,
            "magnetisation_fourth": m**4,
        }
        sublattice = self.lattice.sublattice()
        if sublattice is not None:
            staggered = jnp.mean(sigma * (1 - 2 * sublattice.astype(np.int8)), dtype=jnp.float64)
            out["staggered_magnetisation_squared"] = staggered**2
        return out

    def derived(self, means: Numbers, errors: Numbers) -> Numbers:
        # At Sz = 0 the magnetisation vanishes identically and the ratio does not exist.
        second = np.where(means["magnetisation_squared"] > 0, means["magnetisation_squared"], np.nan)
        return {"binder_cumulant": np.asarray(1 - means["magnetisation_fourth"] / (3 * second**2))}
