"""Several copies of one system, for several states at once. Not registered: a run's `n_states` makes it."""

from typing import ClassVar

import numpy as np

from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.replicas import Replicas
from nqs_core.operators import Terms
from nqs_core.registry import component, context


@component
class Replicated(Hamiltonian):
    """Σ_k H^(k): H on each of K uncoupled copies; its ground state among determinants is the sum of K levels of H."""

    single: Hamiltonian = context(traced=True)
    lattice: Lattice = context()

    formula: ClassVar[str] = r"H = \sum_k H^{(k)}"
    conserves_sz: ClassVar[bool] = False  # whether a sector makes sense is asked of `single`

    def terms(self) -> tuple[Terms, ...]:
        assert isinstance(self.lattice, Replicas)
        n, copies = self.lattice.single.n_sites, self.lattice.copies
        return tuple(
            Terms(letters, np.asarray(sites) + k * n, coefficient)
            for k in range(copies)
            for letters, sites, coefficient in self.single.terms()
        )
