"""The transverse-field Ising chain with algebraic couplings."""

from typing import ClassVar

import numpy as np

from nqs_core.errors import ConfigError
from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.chain import Chain
from nqs_core.operators import Terms
from nqs_core.registry import component, context, param
from nqs_core.types import Coupling


@component
class LongRangeIsing(Hamiltonian):
    """H = (J/K) Σ_{i<j} σᶻᵢσᶻⱼ / d_ij^α - h Σᵢ σˣᵢ, Pauli matrices, on the chain.

    Antiferromagnetic for J > 0. d = min(r, N - r) on a ring, r on an open chain; Kac factor K = 1 + Σ_r d(r)^-α with
    r = 1 ... N-1.
    Source: arXiv 2407.04773 and 2603.11189, there with a constant J/(2K) per site that is left out here.
    """

    J: Coupling = param(-1.0, help="Coupling; antiferromagnetic for J > 0.", unit="energy", ge=-1e3, le=1e3)
    h: Coupling = param(1.0, help="Transverse field along x.", unit="energy", ge=-1e3, le=1e3)
    alpha: Coupling = param(3.0, title="α", help="Exponent of the decay with distance.", ge=0.0, le=100.0)
    lattice: Lattice = context()

    formula: ClassVar[str] = (
        r"H = \frac{{{J}}}{{K}} \sum_{{i<j}} \frac{{\sigma^z_i \sigma^z_j}}{{d_{{ij}}^{{{alpha}}}}}"
        r" - {h} \sum_i \sigma^x_i"
    )
    conserves_sz: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.lattice, Chain):
            raise ConfigError(f"long_range_tfim is defined on the chain; got {self.lattice!r}")

    def terms(self) -> tuple[Terms, ...]:
        n, distances = self.lattice.n_sites, self.lattice.distances()
        pairs = np.stack(np.triu_indices(n, 1), axis=-1)
        kac = 1.0 + (distances[0, 1:] ** -self.alpha).sum()
        decay = distances[pairs[:, 0], pairs[:, 1]] ** -self.alpha
        return (
            Terms("ZZ", pairs, self.J / kac * decay),
            Terms("X", np.arange(n)[:, None], -self.h),
        )
