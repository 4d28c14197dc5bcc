"""The entanglement entropy of one half of the system."""

from collections.abc import Callable
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from nqs_core.lattices.base import Lattice
from nqs_core.observables.base import Draw, Numbers, Observable, Quantities
from nqs_core.registry import component, context
from nqs_core.sector import Sector
from nqs_core.types import Sigma


@component
class Renyi2(Observable):
    """S₂ = -ln Tr ρ_A², A the first ⌊N/2⌋ sites in row-major order, by swapping A between two independent samples.

    Tr ρ_A² = ⟨ψ(σ'_A σ_B) ψ(σ_A σ'_B) / (ψ(σ) ψ(σ'))⟩ over |ψ(σ)|² |ψ(σ')|², streamed as `purity`; σ and σ' are from
    different chains, and every chain is in one pair. Left out where the purity is below two of its errors.
    Source: Hastings et al., Phys. Rev. Lett. 104, 157201 (2010).
    """

    lattice: Lattice = context()
    sector: Sector = context()
    default_sites: ClassVar[int] = 4096

    def replicas(self, first: Draw, second: Draw, log_psi: Callable[[Sigma], Inexact[Array, ""]]) -> Quantities:
        in_a = jnp.arange(self.lattice.n_sites) < self.lattice.n_sites // 2
        mixed = [jnp.where(in_a, b.sigma, a.sigma) for a, b in ((first, second), (second, first))]
        log_swap = log_psi(mixed[0]) + log_psi(mixed[1]) - first.log_psi - second.log_psi
        # ψ = 0 outside the sector, whatever the network says there; the mean of the swap is real.
        inside = self.sector.contains(mixed[0]) & self.sector.contains(mixed[1])
        return {"purity": jnp.where(inside, jnp.exp(jnp.where(inside, log_swap, 0.0)), 0.0).real}

    def derived(self, means: Numbers, errors: Numbers) -> Numbers:
        if "purity" not in means:  # a single chain has no partner
            return {}
        purity = means["purity"]
        return {"renyi2": np.asarray(-np.log(np.where(purity > 2 * errors["purity"], purity, np.nan)))}
