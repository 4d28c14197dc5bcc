"""Several states at once: the determinant of independent networks. Not registered: a run's `n_states` makes it."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Inexact, Int, Int8, PRNGKeyArray

from nqs_core.ansatze.base import Ansatz, Cache, Cost, LocalUpdates, Prepared, map_moves
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context
from nqs_core.sector import Sector
from nqs_core.types import Params, Sigma

PROBES = 64  # configurations whose amplitudes give the scale of a network

Matrix = Inexact[Array, "n_states n_states"]


class Scaled(NamedTuple):
    """M = exp(L - r - c) of log-amplitudes L[k, j] = log ψ_j(σ^k): every |M| ≤ 1, and one of every column is 1."""

    matrix: Matrix
    rows: Float[Array, " n_states"]
    columns: Float[Array, " n_states"]


class States(NamedTuple):
    """Parameters of every network with what its local updates make of them, stacked, and log scales of the networks."""

    each: Prepared
    scale: Float[Array, " n_states"]


class Table(NamedTuple):
    """Caches of network j at copy k, stacked as (k, j), and L[k, j] = log ψ_j(σ^k)."""

    each: Cache
    log_psi: Matrix


@component
class Determinant(Ansatz):
    """Ψ(σ¹ ... σᴷ) = det ψ_j(σᵏ) of K networks with parameters of their own: the ground state of K copies is K states.

    σ is flat, copy after copy. d log Ψ = Σ_kj C_kj d log ψ_j(σᵏ), C = (M⁻¹)ᵀ ∘ M. In log space, in double precision
    from the log-amplitudes on. Source: Pfau et al., Science 385, eadn0137 (2024); Ledinauskas and Anisimovas, Mach.
    Learn.: Sci. Technol. 7, 015020 (2026).
    """

    ansatz: Ansatz = context()
    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context("float32")

    @property
    def n_states(self) -> int:
        """K."""
        return self.sector.copies

    @property
    def signed(self) -> bool:
        return True

    @property
    def receptive_field(self) -> tuple[int, ...]:
        return (self.n_states, *self.ansatz.receptive_field)

    @property
    def layout(self) -> Any:
        return (self.n_states, self.ansatz.layout)

    def init(self, key: PRNGKeyArray) -> Params:
        return jax.vmap(self.ansatz.init)(jax.random.split(key, self.n_states))

    def copies(self, sigma: Sigma) -> Int8[Array, "n_states n_each"]:
        """The configurations of the copies."""
        return sigma.reshape(self.n_states, -1)

    def log_psi(self, params: Params, sigma: Sigma) -> Inexact[Array, ""]:
        def of_network(own: Params) -> Inexact[Array, " n_states"]:
            return jax.vmap(partial(self.ansatz.log_psi, own))(self.copies(sigma))

        table = widened(jax.vmap(of_network, out_axes=1)(params))
        fixed = jax.lax.stop_gradient(table)
        value, shares = log_det(fixed), responsibilities(fixed)
        return value + jnp.sum(shares * (table - fixed))

    def prepare(self, params: Params) -> States:
        updates = self.ansatz.local_updates()
        probes = jnp.asarray(_probes(Sector(self.sector.n_each, self.sector.sz)))

        def scale(own: Params) -> Float[Array, ""]:
            return jnp.max(widened(jax.vmap(partial(self.ansatz.log_psi, own))(probes)).real)

        return States(jax.vmap(updates.prepare)(params), jax.vmap(scale)(params))

    def evaluate(self, prepared: States, sigma: Sigma) -> Inexact[Array, ""]:
        return log_det(self.local_updates().cache(prepared, sigma).log_psi)

    def local_updates(self) -> "Rows":
        base = self.ansatz.local_updates()
        n, cost = self.n_states, base.cost
        return Rows(self, base, Cost(cost.cache, cost.ratio / n, cost.advance / n))


@dataclass(frozen=True)
class Rows(LocalUpdates):
    """A move in one copy changes one row of the matrix: K ratios of single networks, Ψ'/Ψ = Σ_j C_kj ψ_j(σ')/ψ_j(σ)."""

    words: ClassVar[str] = "one row of the determinant"
    ansatz: Determinant
    base: LocalUpdates
    cost: Cost

    def prepare(self, params: Params) -> States:
        return self.ansatz.prepare(params)

    def cache(self, prepared: States, sigma: Sigma) -> Table:
        def of_copy(s: Sigma) -> Cache:
            return jax.vmap(lambda own: self.base.cache(own, s))(prepared.each)

        each = jax.vmap(of_copy)(self.ansatz.copies(sigma))
        return Table(each, self._table(prepared, each))

    def log_psi(self, prepared: States, cache: Table) -> Inexact[Array, ""]:
        return log_det(cache.log_psi)

    def log_ratios(
        self,
        prepared: States,
        cache: Table,
        sigma: Sigma,
        moves: Int[Array, "n_moves move_size"],
        mask: Bool[Array, " n_moves"] | None = None,
    ) -> Inexact[Array, " n_moves"]:
        now, copies = log_det(cache.log_psi), self.ansatz.copies(sigma)

        def one(move: Int[Array, " move_size"]) -> Inexact[Array, ""]:
            table = cache.log_psi
            for own, k in self._parts(move):
                at_k = jax.tree.map(lambda x, k=k: x[k], cache.each)
                ratios = jax.vmap(lambda p, c, k=k, own=own: self.base.log_ratios(p, c, copies[k], own[None]))(
                    prepared.each, at_k
                )
                table = table.at[k].set(cache.log_psi[k] + ratios[:, 0])
            return log_det(table) - now

        return map_moves(one, moves)

    def advance(self, prepared: States, cache: Table, sigma: Sigma, move: Int[Array, " move_size"]) -> Table:
        each, copies = cache.each, self.ansatz.copies(sigma)
        for own, k in self._parts(move):
            at_k = jax.tree.map(lambda x, k=k: x[k], cache.each)
            new = jax.vmap(lambda p, c, k=k, own=own: self.base.advance(p, c, copies[k], own))(prepared.each, at_k)
            each = jax.tree.map(lambda x, y, k=k: x.at[k].set(y), each, new)
        return Table(each, self._table(prepared, each))

    def _table(self, prepared: States, each: Cache) -> Matrix:
        of_copy = jax.vmap(self.base.log_psi)
        return widened(jax.vmap(lambda c: of_copy(prepared.each, c))(each))

    def _parts(self, move: Int[Array, " move_size"]) -> list[tuple[Int[Array, " move_size"], Int[Array, ""]]]:
        """For every site of a move the part of the move in its copy, and this copy; several sites may give the same."""
        n = self.ansatz.sector.n_each
        copy = jnp.where(move < 0, -1, move // n)
        which = [jnp.where(copy[s] < 0, copy[0], copy[s]) for s in range(len(move))]
        return [(jnp.where((copy == k) & (move >= 0), move % n, -1), jnp.maximum(k, 0)) for k in which]


def widened(log_psi: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """In double precision: the determinant needs it."""
    return log_psi.astype(jnp.complex128 if jnp.iscomplexobj(log_psi) else jnp.float64)


def scaled(table: Matrix) -> Scaled:
    """Rows and columns scaled, which changes neither responsibilities nor what amplitudes of any size give."""
    rows = jnp.max(table.real, axis=1)
    columns = jnp.max(table.real - rows[:, None], axis=0)
    return Scaled(jnp.exp(table - rows[:, None] - columns[None]), rows, columns)


def log_det(table: Matrix) -> Inexact[Array, ""]:
    """log det exp(L), complex; -∞ where the matrix is singular."""
    matrix, rows, columns = scaled(table)
    sign, log_size = jnp.linalg.slogdet(matrix)
    phase = jnp.where(sign == 0, 0.0, jnp.angle(sign))
    return jax.lax.complex(log_size + jnp.sum(rows) + jnp.sum(columns), phase)


def responsibilities(table: Matrix) -> Matrix:
    """C = (M⁻¹)ᵀ ∘ M: rows and columns sum to 1. Zero where the matrix is singular."""
    matrix, _, _ = scaled(table)
    shares = jnp.linalg.inv(matrix).T * matrix
    return jnp.where(jnp.all(jnp.isfinite(shares)), shares, 0.0)


def _probes(sector: Sector) -> Int8[np.ndarray, "n n_each"]:
    random, n = np.random.default_rng(0), sector.n_each
    if sector.n_up is None:
        return random.choice(np.array([-1, 1], np.int8), (PROBES, n))
    ordered = np.where(np.arange(n) < sector.n_up, 1, -1).astype(np.int8)
    return np.stack([random.permutation(ordered) for _ in range(min(PROBES, math.comb(n, sector.n_up) + 1))])
