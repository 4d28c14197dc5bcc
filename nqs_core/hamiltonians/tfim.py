"""The transverse-field Ising model."""

from typing import ClassVar

import numpy as np

from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.lattices.base import Lattice
from nqs_core.operators import Terms
from nqs_core.registry import component, context, param
from nqs_core.types import Coupling


@component
class TransverseFieldIsing(Hamiltonian):
    """H = -J Σ_⟨ij⟩ σᶻᵢσᶻⱼ - h Σᵢ σˣᵢ - h_z Σᵢ σᶻᵢ, Pauli matrices.

    Ferromagnetic for J > 0; critical at h/J = 1 on the chain, 3.04438 on the square lattice.
    Source: Pfeuty, Ann. Phys. 57, 79 (1970); Blöte and Deng, Phys. Rev. E 66, 066110 (2002).
    """

    J: Coupling = param(1.0, help="Coupling; ferromagnetic for J > 0.", unit="energy", ge=-1e3, le=1e3)
    h: Coupling = param(1.0, help="Transverse field along x.", unit="energy", ge=-1e3, le=1e3)
    h_z: Coupling = param(0.0, help="Longitudinal field along z.", unit="energy", ge=-1e3, le=1e3)
    lattice: Lattice = context()

    formula: ClassVar[str] = (
        r"H = -{J} \sum_{{\langle ij \rangle}} \sigma^z_i \sigma^z_j - {h} \sum_i \sigma^x_i - {h_z} \sum_i \sigma^z_i"
    )
    conserves_sz: ClassVar[bool] = False

    def terms(self) -> tuple[Terms, ...]:
        sites = np.arange(self.lattice.n_sites)[:, None]
        return (
            Terms("ZZ", self.lattice.bonds(), -self.J),
            Terms("X", sites, -self.h),
            Terms("Z", sites, -self.h_z),
        )
