"""The Jastrow pair product."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Inexact, Int, PRNGKeyArray

from nqs_core.ansatze.base import Ansatz, Cost, LocalUpdates, map_moves
from nqs_core.ansatze.layers import dtype_of
from nqs_core.errors import TooLargeError
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.sector import Sector
from nqs_core.types import Params, Sigma

MAX_SITES = 10_000  # 5e7 pairs; their index table alone takes 0.8 GB


@component
class Jastrow(Ansatz):
    """log ψ(σ) = Σ_{i<j} W_ij σ_i σ_j (+ Σ_i a_i σ_i).

    Source: Jastrow, Phys. Rev. 98, 1479 (1955).

    Raises:
        TooLargeError: more than 10,000 sites.
    """

    field: bool = param(False, title="Field", help="Adds one parameter a_i per site; breaks the symmetry σ → -σ.")
    complex: bool = param(False, title="Complex parameters", help="Needed where the ground state has signs.")
    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context("float32")

    def __post_init__(self) -> None:
        n = self.lattice.n_sites
        if n > MAX_SITES:
            raise TooLargeError(
                f"ansatz 'jastrow': {n} sites have {n * (n - 1) // 2:.3g} pairs "
                f"({n * (n - 1) * 8e-9:.3g} GB of indices); the limit is {MAX_SITES} sites"
            )

    @property
    def signed(self) -> bool:
        return self.complex

    @property
    def receptive_field(self) -> tuple[int, ...]:
        return self.lattice.extent

    def init(self, key: PRNGKeyArray) -> Params:
        n, dtype = self.lattice.n_sites, dtype_of(self.precision, self.complex)
        params = {"pairs": 0.01 * jax.random.normal(key, (n * (n - 1) // 2,), dtype)}
        if self.field:
            params["field"] = jnp.zeros(n, dtype)
        return {"params": params}

    def log_psi(self, params: Params, sigma: Sigma) -> Inexact[Array, ""]:
        pairs = params["params"]["pairs"]
        i, j = np.triu_indices(self.lattice.n_sites, 1)
        out = jnp.sum(pairs * (sigma[i] * sigma[j]).astype(pairs.dtype))
        if self.field:
            out = out + jnp.sum(params["params"]["field"] * sigma.astype(pairs.dtype))
        return out

    def local_updates(self) -> LocalUpdates:
        return _FieldTable(Cost(1.0, 1 / self.lattice.n_sites**2, 2 / self.lattice.n_sites))


class _Couplings(NamedTuple):
    matrix: Inexact[Array, "n_sites n_sites"]  # W + Wᵀ, diagonal 0
    field: Inexact[Array, " n_sites"]


class _Fields(NamedTuple):
    h: Inexact[Array, " n_sites"]  # Σ_j W_ij σ_j + a_i: flipping site i changes log ψ by -2 σ_i h_i
    log_psi: Inexact[Array, ""]


@dataclass(frozen=True)
class _FieldTable(LocalUpdates):
    """The fields h = W σ + a are carried: a ratio is O(1), a flip O(n_sites), where log ψ is O(n_sites²)."""

    words: ClassVar[str] = "a table of the local fields"
    cost: Cost

    def prepare(self, params: Params) -> _Couplings:
        p = params["params"]
        n = round((1 + (1 + 8 * p["pairs"].size) ** 0.5) / 2)
        i, j = np.triu_indices(n, 1)
        upper = jnp.zeros((n, n), p["pairs"].dtype).at[i, j].set(p["pairs"])
        return _Couplings(upper + upper.T, p["field"] if "field" in p else jnp.zeros(n, upper.dtype))

    def cache(self, prepared: _Couplings, sigma: Sigma) -> _Fields:
        x = sigma.astype(prepared.field.dtype)
        pairs = jnp.matmul(prepared.matrix, x, precision="highest")
        return _Fields(pairs + prepared.field, jnp.sum(x * (0.5 * pairs + prepared.field)))

    def log_psi(self, prepared: _Couplings, cache: _Fields) -> Inexact[Array, ""]:
        return cache.log_psi

    def log_ratios(
        self,
        prepared: _Couplings,
        cache: _Fields,
        sigma: Sigma,
        moves: Int[Array, "n_moves move_size"],
        mask: Bool[Array, " n_moves"] | None = None,
    ) -> Inexact[Array, " n_moves"]:
        return map_moves(lambda move: _change(prepared, cache, sigma, move), moves)

    def advance(self, prepared: _Couplings, cache: _Fields, sigma: Sigma, move: Int[Array, " move_size"]) -> _Fields:
        h = cache.h
        for k in range(move.shape[0]):
            h = h + _step(sigma, move[k], h) * prepared.matrix[jnp.maximum(move[k], 0)]
        return _Fields(h, cache.log_psi + _change(prepared, cache, sigma, move))


def _step(sigma: Sigma, site: Int[Array, ""], like: Array) -> Inexact[Array, ""]:
    """What a flip adds to σ_site; 0 for padding."""
    return jnp.where(site < 0, 0, -2 * sigma[jnp.maximum(site, 0)]).astype(like.dtype)


def _change(couplings: _Couplings, cache: _Fields, sigma: Sigma, move: Int[Array, " move_size"]) -> Inexact[Array, ""]:
    """Δ log ψ = Σ_k δ_k h_k + Σ_{m<k} δ_k δ_m W_km with δ = -2σ on the sites of the move."""
    out = jnp.zeros((), cache.h.dtype)
    steps = [_step(sigma, move[k], out) for k in range(move.shape[0])]
    sites = [jnp.maximum(move[k], 0) for k in range(move.shape[0])]
    for k, site in enumerate(sites):
        out = out + steps[k] * cache.h[site]
        for m in range(k):
            out = out + steps[k] * steps[m] * couplings.matrix[site, sites[m]]
    return out
