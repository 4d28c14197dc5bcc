"""Energies of nearest-neighbour bonds."""

from collections.abc import Iterator
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.lattices.base import Lattice
from nqs_core.observables.base import Draw, Numbers, Observable, Quantities, Weights, of_rows, require_sites
from nqs_core.operators import Terms
from nqs_core.registry import component, context
from nqs_core.wavefunction import Psi


@component
class BondEnergy(Observable):
    """⟨h_ij⟩ of every nearest-neighbour bond, h_ij all terms of the run's H on exactly sites i and j; and their mean.

    With the couplings, anisotropy and Marshall rotation of the run; terms on one site or on more than two do not count.

    Raises:
        TooLargeError: more than 4096 sites.
    """

    lattice: Lattice = context()
    hamiltonian: Hamiltonian = context(traced=True)
    default_sites: ClassVar[int] = 1024
    max_sites: ClassVar[int] = 4096

    def __post_init__(self) -> None:
        require_sites(BondEnergy, "bond_energy", self.lattice)

    @classmethod
    def unavailable(cls, lattice: Lattice, hamiltonian: Hamiltonian) -> str:
        if any(True for _ in _on_bonds(lattice, hamiltonian)):
            return ""
        return "no term of the Hamiltonian acts on exactly two nearest neighbours"

    def sums(self, psi: Psi, weights: Weights, *draws: Draw) -> Quantities:
        return {"bond_energy": of_rows(psi, weights, self._terms(), *draws)}

    def _terms(self) -> tuple[Terms, ...]:
        bonds = self.lattice.bonds()
        sums: dict[str, Any] = {}
        for letters, bond, coefficient in _on_bonds(self.lattice, self.hamiltonian):
            sums[letters] = sums.get(letters, jnp.zeros(len(bonds))).at[bond].add(coefficient)
        return tuple(Terms(letters, bonds, sums[letters]) for letters in sorted(sums))

    def derived(self, means: Numbers, errors: Numbers) -> Numbers:
        return {"bond_energy_mean": np.asarray(np.mean(means["bond_energy"]))}

    def axes(self) -> Numbers:
        return {"bond_energy": self.lattice.bonds()}


def _on_bonds(lattice: Lattice, hamiltonian: Hamiltonian) -> Iterator[tuple[str, np.ndarray, Any]]:
    """Pauli letters for sites i < j, numbers of the bonds, coefficients: the parts of H on single bonds."""
    n, bonds = lattice.n_sites, lattice.bonds().astype(np.int64)
    codes = bonds[:, 0] * n + bonds[:, 1]  # rising, as bonds are sorted
    for letters, sites, coefficient in hamiltonian.terms():
        if len(letters) != 2 or len(codes) == 0:
            continue
        sites = np.asarray(sites, np.int64).reshape(-1, 2)
        code = sites.min(axis=1) * n + sites.max(axis=1)
        bond = np.minimum(np.searchsorted(codes, code), len(codes) - 1)
        for swapped in (False, True):
            rows = np.flatnonzero((codes[bond] == code) & ((sites[:, 0] > sites[:, 1]) == swapped))
            if len(rows):
                part = coefficient if np.ndim(coefficient) == 0 else coefficient[rows]
                yield letters[::-1] if swapped else letters, bond[rows], part
