"""The restricted Boltzmann machine."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Inexact, Int, PRNGKeyArray

from nqs_core.ansatze.base import Ansatz, Cost, LocalUpdates, map_moves
from nqs_core.ansatze.layers import dtype_of, log_cosh
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.sector import Sector
from nqs_core.types import Params, Sigma


class _Net(nn.Module):
    n_hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, sigma: Sigma) -> Inexact[Array, ""]:
        x = sigma.astype(self.dtype)
        small = nn.initializers.normal(0.01)
        theta = nn.Dense(
            self.n_hidden,
            dtype=self.dtype,
            param_dtype=self.dtype,
            kernel_init=small,
            precision="highest",
            name="hidden",
        )(x)
        visible = self.param("visible", nn.initializers.zeros, x.shape, self.dtype)
        return jnp.sum(log_cosh(theta)) + self.n_hidden * math.log(2) + jnp.sum(visible * x)


@component
class RBM(Ansatz):
    """log ψ(σ) = Σ_j a_j σ_j + Σ_m log 2cosh(b_m + Σ_j W_mj σ_j), m = 1 ... α n_sites.

    With real parameters ψ > 0; with complex ones ψ has signs and phases.
    Source: Carleo and Troyer, Science 355, 602 (2017), arXiv:1606.02318.
    """

    alpha: int = param(2, ge=1, le=64, title="Density α", help="Hidden units per site.")
    complex: bool = param(False, title="Complex parameters", help="Needed where the ground state has signs.")
    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context("float32")

    @property
    def signed(self) -> bool:
        return self.complex

    def _module(self) -> _Net:
        return _Net(self.alpha * self.lattice.n_sites, dtype_of(self.precision, self.complex))

    def init(self, key: PRNGKeyArray) -> Params:
        return self._module().init(key, jnp.ones(self.lattice.n_sites, jnp.int8))

    def log_psi(self, params: Params, sigma: Sigma) -> Inexact[Array, ""]:
        return self._module().apply(params, sigma)  # type: ignore[return-value]

    def local_updates(self) -> LocalUpdates:
        n = self.lattice.n_sites
        return _AngleTable(self.alpha * n, Cost(1.0, 2 / n, 2 / n))


class _Weights(NamedTuple):
    kernel: Inexact[Array, "n_sites n_hidden"]
    bias: Inexact[Array, " n_hidden"]
    visible: Inexact[Array, " n_sites"]


class _Angles(NamedTuple):
    theta: Inexact[Array, " n_hidden"]  # b + W σ
    hidden: Inexact[Array, ""]  # Σ log cosh θ
    visible: Inexact[Array, ""]  # a·σ


@dataclass(frozen=True)
class _AngleTable(LocalUpdates):
    """θ = b + W σ is carried: flipping site j takes 2 σ_j W_j from it, O(n_hidden) instead of O(n_hidden n_sites)."""

    n_hidden: int
    cost: Cost

    def prepare(self, params: Params) -> _Weights:
        p = params["params"]
        return _Weights(p["hidden"]["kernel"], p["hidden"]["bias"], p["visible"])

    def cache(self, prepared: _Weights, sigma: Sigma) -> _Angles:
        x = sigma.astype(prepared.kernel.dtype)
        theta = prepared.bias + jnp.matmul(x, prepared.kernel, precision="highest")
        return _Angles(theta, jnp.sum(log_cosh(theta)), jnp.sum(prepared.visible * x))

    def log_psi(self, prepared: _Weights, cache: _Angles) -> Inexact[Array, ""]:
        return cache.hidden + cache.visible + self.n_hidden * math.log(2)

    def log_ratios(
        self,
        prepared: _Weights,
        cache: _Angles,
        sigma: Sigma,
        moves: Int[Array, "n_moves move_size"],
        mask: Bool[Array, " n_moves"] | None = None,
    ) -> Inexact[Array, " n_moves"]:
        def one(move: Int[Array, " move_size"]) -> Inexact[Array, ""]:
            d_theta, d_visible = _change(prepared, sigma, move)
            return jnp.sum(log_cosh(cache.theta + d_theta)) - cache.hidden + d_visible

        return map_moves(one, moves)

    def advance(self, prepared: _Weights, cache: _Angles, sigma: Sigma, move: Int[Array, " move_size"]) -> _Angles:
        d_theta, d_visible = _change(prepared, sigma, move)
        theta = cache.theta + d_theta
        return _Angles(theta, jnp.sum(log_cosh(theta)), cache.visible + d_visible)


def _change(weights: _Weights, sigma: Sigma, move: Int[Array, " move_size"]) -> tuple[Array, Array]:
    """What a move adds to θ and to a·σ; a loop over the few sites of a move, since rows are cheaper than a product."""
    d_theta, d_visible = 0.0, 0.0
    for k in range(move.shape[0]):
        site = jnp.maximum(move[k], 0)
        step = jnp.where(move[k] < 0, 0, -2 * sigma[site]).astype(weights.kernel.dtype)
        d_theta = d_theta + step * weights.kernel[site]
        d_visible = d_visible + step * weights.visible[site]
    return jnp.asarray(d_theta), jnp.asarray(d_visible)
