"""Ising spin glasses in a transverse field."""

import math
from typing import ClassVar, Literal

import numpy as np

from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.crystal import check_bytes
from nqs_core.operators import Terms
from nqs_core.registry import component, context, param
from nqs_core.types import Coupling


@component
class SpinGlass(Hamiltonian):
    """H = -J Σ_{ij} J_ij σᶻᵢσᶻⱼ - h Σᵢ σˣᵢ, Pauli matrices, J_ij random with mean 0 and variance 1, fixed by the seed.

    `edwards_anderson`: the sum runs over nearest neighbours. `sherrington_kirkpatrick`: over all pairs, divided by √N,
    whatever the lattice.
    Source: Edwards, Anderson, J. Phys. F 5, 965 (1975); Sherrington, Kirkpatrick, Phys. Rev. Lett. 35, 1792 (1975).
    """

    model: Literal["edwards_anderson", "sherrington_kirkpatrick"] = param(
        "edwards_anderson", title="Model", help="Nearest neighbours, or all pairs divided by √N."
    )
    disorder: Literal["binary", "gaussian"] = param("binary", title="Disorder", help="J_ij = ±1, or normal.")
    disorder_seed: int = param(0, title="Disorder seed", help="Seed of the couplings J_ij.", ge=0, lt=2**32)
    J: Coupling = param(1.0, help="Scale of the random couplings.", unit="energy", ge=-1e3, le=1e3)
    h: Coupling = param(1.0, help="Transverse field along x.", unit="energy", ge=-1e3, le=1e3)
    lattice: Lattice = context()

    formula: ClassVar[str] = r"H = -{J} \sum_{{ij}} J_{{ij}} \sigma^z_i \sigma^z_j - {h} \sum_i \sigma^x_i"
    conserves_sz: ClassVar[bool] = False

    def couplings(self) -> tuple[np.ndarray, np.ndarray]:
        """The pairs and their J_ij, the factor 1/√N of the Sherrington-Kirkpatrick model included."""
        n = self.lattice.n_sites
        scale = 1.0
        if self.model == "edwards_anderson":
            pairs = self.lattice.bonds()
        else:
            check_bytes(self.lattice, "pairs", 8.0 * n * n)
            pairs, scale = np.stack(np.triu_indices(n, 1), axis=-1), 1 / math.sqrt(n)
        rng = np.random.default_rng(self.disorder_seed)
        gaussian = self.disorder == "gaussian"
        values = rng.standard_normal(len(pairs)) if gaussian else 1.0 - 2.0 * rng.integers(0, 2, len(pairs))
        return pairs, scale * values

    def terms(self) -> tuple[Terms, ...]:
        pairs, values = self.couplings()
        return (
            Terms("ZZ", pairs, -self.J * values),
            Terms("X", np.arange(self.lattice.n_sites)[:, None], -self.h),
        )
