"""Energies and expectation values of several states. Not registered: a run's `n_states` makes it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex

from nqs_core import estimators
from nqs_core.ansatze.determinant import Determinant, States, scaled, widened
from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.hamiltonians.replicated import Replicated
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.replicas import Replicas
from nqs_core.observables.base import HIDDEN, Draw, Numbers, Observable, Quantities, Weights
from nqs_core.operators import compile
from nqs_core.registry import component, context
from nqs_core.wavefunction import Psi

ENERGY = HIDDEN + "energy"
LEVELS = "levels"


@component
class Levels(Observable):
    """The K lowest levels: eigenvalues of ⟨M⁻¹ (H M)⟩, M_kj = ψ_j(σᵏ); `gap` is the second less the first.

    Of every other operator ⟨M⁻¹ (O M)⟩ in the eigenvectors of these, its diagonal: `levels/NAME` for numbers, `NAME/0`,
    `NAME/1`, ... for arrays. Total energies.
    Source: Pfau et al., Science 385, eadn0137 (2024).
    """

    hamiltonian: Hamiltonian = context(traced=True)
    lattice: Lattice = context()
    each: tuple[Observable, ...] = context((), traced=True)

    def sums(self, psi: Psi, weights: Weights, *draws: Draw) -> Quantities:
        assert isinstance(self.hamiltonian, Replicated)
        ansatz, prepared = psi.ansatz, psi.prepared
        assert isinstance(ansatz, Determinant)
        assert isinstance(prepared, States)
        k, single = ansatz.n_states, self.hamiltonian.single
        sigma = draws[0].sigma.reshape(-1, ansatz.sector.n_each)  # copy after copy of every sample
        operator = compile(single.terms(), ansatz.sector.n_each)

        def network(params: Any, own: Any) -> Psi:
            return Psi(ansatz.ansatz, params, own)

        log_psi = jax.vmap(lambda p, own: network(p, own).log_psi(sigma), out_axes=1)(psi.params, prepared.each)
        shares = _shares(widened(log_psi).reshape(-1, k, k), prepared.scale)

        def column(params: Any, own: Any, log_psi: Array, share: Array) -> Quantities:
            """Of network j: every quantity with the share (n, i, k) of copy k in row i."""
            psi_j, draw = network(params, own), Draw(sigma, log_psi)
            e_loc = estimators.local_values(psi_j, operator, sigma).reshape(-1, 1, k)

            def row(weight: Complex[Array, "n k"]) -> Quantities:
                out: Quantities = {}
                for o in self.each:
                    out |= o.sums(psi_j, weight.reshape(-1), draw)
                return out

            weight = weights[:, None, None] * share
            values = {HIDDEN + name: value for name, value in jax.vmap(row, 1)(weight).items()} if self.each else {}
            return values | {ENERGY: jnp.sum(weight * e_loc, axis=(0, 2))}

        return jax.vmap(column, (0, 0, 1, 3), 1)(psi.params, prepared.each, log_psi, shares)

    def derived(self, means: Numbers, errors: Numbers) -> Numbers:
        found, vectors = np.linalg.eig(means[ENERGY])
        order = np.argsort(np.real(found))
        vectors, inverse = vectors[:, order], np.linalg.inv(vectors[:, order])
        levels = np.real(found)[order]
        out: Numbers = {LEVELS: levels, "gap": np.asarray(levels[1] - levels[0])}
        values = {
            name: np.einsum("ai,ij...,ja->a...", inverse, value, vectors).real
            for name, value in means.items()
            if name.startswith(HIDDEN) and name != ENERGY
        }
        of_level = [{name[1:]: np.asarray(value[a]) for name, value in values.items()} for a in range(len(levels))]
        for each in of_level:
            for o in self.each:
                each |= o.derived(each, {})
        for name, value in of_level[0].items():
            if np.ndim(value) == 0:
                out[f"{LEVELS}/{name}"] = np.asarray([each[name] for each in of_level])
            else:
                out |= {f"{name}/{a}": each[name] for a, each in enumerate(of_level)}
        return out

    def axes(self) -> Numbers:
        assert isinstance(self.lattice, Replicas)
        every = {name: axis for o in self.each for name, axis in o.axes().items()}
        return {f"{name}/{a}": axis for name, axis in every.items() for a in range(self.lattice.copies)}


def _shares(table: Array, scale: Array) -> Complex[Array, "n n_states n_states n_states"]:
    """(M⁻¹)_ik M_kj for every i, k, j, in the basis of networks of size 1, which is that of all samples."""

    def one(own: Array) -> Array:
        matrix, _, columns = scaled(own)
        size = columns - scale
        basis = jnp.exp(size[None, None, :] - size[:, None, None])
        share = jnp.linalg.inv(matrix)[:, :, None] * matrix[None] * basis
        return jnp.where(jnp.all(jnp.isfinite(share)), share, 0.0).astype(jnp.complex128)

    return jax.vmap(one)(table)
