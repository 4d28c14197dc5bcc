"""The entanglement entropy of one half of the system."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from nqs_core.lattices.base import Lattice
from nqs_core.observables.base import Draw, Numbers, Observable, Quantities, Weights, weighted
from nqs_core.registry import component, context
from nqs_core.sector import Sector
from nqs_core.wavefunction import Psi


@component
class Renyi2(Observable):
    """S₂ = -ln Tr ρ_A², A the first ⌊N/2⌋ sites in row-major order, by swapping A between two independent samples.

    Tr ρ_A² = ⟨ψ(σ'_A σ_B) ψ(σ_A σ'_B) / (ψ(σ) ψ(σ'))⟩ over |ψ(σ)|² |ψ(σ')|², streamed as `purity`; σ and σ' are from
    different chains, and every chain is in one pair. Left out where the purity is below two of its errors.
    Source: Hastings et al., Phys. Rev. Lett. 104, 157201 (2010).
    """

    lattice: Lattice = context()
    sector: Sector = context()
    copies: ClassVar[int] = 2
    default_sites: ClassVar[int] = 4096

    def sums(self, psi: Psi, weights: Weights, *draws: Draw) -> Quantities:
        first, second = draws
        in_a = jnp.arange(self.lattice.n_sites) < self.lattice.n_sites // 2
        mixed = [jnp.where(in_a[None], b.sigma, a.sigma) for a, b in ((first, second), (second, first))]
        log_swap = psi.log_psi(mixed[0]) + psi.log_psi(mixed[1]) - first.log_psi - second.log_psi
        # ψ = 0 outside the sector, whatever the network says there; the mean of the swap is real.
        contains = jax.vmap(self.sector.contains)
        inside = contains(mixed[0]) & contains(mixed[1])
        swap = jnp.where(inside, jnp.exp(jnp.where(inside, log_swap, 0.0)), 0.0).real
        return {"purity": weighted(weights, swap)}

    def derived(self, means: Numbers, errors: Numbers) -> Numbers:
        purity = means["purity"]
        return {"renyi2": np.asarray(-np.log(np.where(purity > 2 * errors["purity"], purity, np.nan)))}
