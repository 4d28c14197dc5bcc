"""The restricted Boltzmann machine."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Inexact, Int, PRNGKeyArray

from nqs_core.ansatze.base import AdditiveUpdates, Ansatz, Cost, LocalUpdates, map_moves
from nqs_core.ansatze.layers import dense, dtype_of, log_cosh, small, start
from nqs_core.errors import ConfigError
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
        theta = dense(self.n_hidden, self.dtype, kernel_init=small(), name="hidden")(x)
        visible = self.param("visible", nn.initializers.zeros, x.shape, self.dtype)
        return _log_psi(theta, jnp.sum(visible * x))


@component
class RBM(Ansatz):
    """log ψ(σ) = Σ_j a_j σ_j + Σ_m log 2cosh(b_m + Σ_j W_mj σ_j), m = 1 ... α n_sites.

    With real parameters ψ > 0; with complex ones ψ has signs and phases. With `symmetric` the hidden units are the
    translations of α filters for every site of the cell: W_(f,t)j = w_f,t⁻¹j, b_f and a equal on translated sites.
    Source: Carleo and Troyer, Science 355, 602 (2017), arXiv:1606.02318.

    Raises:
        ConfigError: `symmetric` on a lattice without translations.
    """

    alpha: int = param(2, ge=1, le=64, title="Density α", help="Hidden units per site.")
    complex: bool = param(False, title="Complex parameters", help="Needed where the ground state has signs.")
    symmetric: bool = param(
        False, title="Symmetric", help="Filters shared over all translations: momentum 0, far fewer parameters."
    )
    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context("float32")

    def __post_init__(self) -> None:
        if self.symmetric and not any(self.lattice.periodicity):
            raise ConfigError(
                f"ansatz 'rbm': symmetric = true shares filters over translations, and {self.lattice!r} has none; "
                "set it to false"
            )

    @property
    def signed(self) -> bool:
        return self.complex

    @property
    def receptive_field(self) -> tuple[int, ...]:
        return self.lattice.extent

    @property
    def steps(self) -> tuple[int, ...] | None:
        return (1,) * len(self.lattice.extent) if self.symmetric else None

    @property
    def layout(self) -> Hashable:
        return (self.lattice.extent, self.lattice.periodicity) if self.symmetric else None

    def _dtype(self) -> Any:
        return dtype_of(self.precision, self.complex)

    def init(self, key: PRNGKeyArray) -> Params:
        if not self.symmetric:
            net = _Net(self.alpha * self.lattice.n_sites, self._dtype())
            return start(net, key, jnp.ones(self.lattice.n_sites, jnp.int8))
        n, dtype = self.lattice.n_sites, self._dtype()
        orbits = n // len(self.lattice.translations())
        return {
            "params": {
                "filters": 0.01 * jax.random.normal(key, (self.alpha * orbits, n), dtype),
                "bias": jnp.zeros(self.alpha * orbits, dtype),
                "visible": jnp.zeros(orbits, dtype),
            }
        }

    def log_psi(self, params: Params, sigma: Sigma) -> Inexact[Array, ""]:
        if not self.symmetric:
            out: Any = _Net(self.alpha * self.lattice.n_sites, self._dtype()).apply(params, sigma)
            return out
        weights = self._shared(params)
        x = sigma.astype(self._dtype())
        theta = weights.bias + jnp.matmul(x, weights.kernel, precision="highest")
        return _log_psi(theta, jnp.sum(weights.visible * x))

    def local_updates(self) -> LocalUpdates:
        n = self.lattice.n_sites
        return _AngleTable(self, self.alpha * n, Cost(1.0, 2 / n, 2 / n))

    def weights(self, params: Params) -> "_Weights":
        """The weights of every hidden unit, written out where they are shared."""
        p = params["params"]
        return (
            self._shared(params)
            if self.symmetric
            else _Weights(p["hidden"]["kernel"], p["hidden"]["bias"], p["visible"])
        )

    def _shared(self, params: Params) -> "_Weights":
        """θ_(f,t) = b_f + Σ_j w_fj (t⁻¹ σ)_j, and (t⁻¹ σ)[perm_t[i]] = σ[i]."""
        p, translations = params["params"], self.lattice.translations()
        kernel = p["filters"][:, translations].transpose(2, 0, 1).reshape(self.lattice.n_sites, -1)
        orbit = np.unique(translations.min(axis=0), return_inverse=True)[1]
        return _Weights(kernel, jnp.repeat(p["bias"], len(translations)), p["visible"][orbit])


def _log_psi(theta: Inexact[Array, " n_hidden"], visible: Inexact[Array, ""]) -> Inexact[Array, ""]:
    return jnp.sum(log_cosh(theta)) + theta.size * math.log(2) + visible


class _Weights(NamedTuple):
    kernel: Inexact[Array, "n_sites n_hidden"]
    bias: Inexact[Array, " n_hidden"]
    visible: Inexact[Array, " n_sites"]


class _Angles(NamedTuple):
    theta: Inexact[Array, " n_hidden"]  # b + W σ
    hidden: Inexact[Array, ""]  # Σ log cosh θ
    visible: Inexact[Array, ""]  # a·σ


@dataclass(frozen=True)
class _AngleTable(AdditiveUpdates):
    """θ = b + W σ is carried: flipping site j takes 2 σ_j W_j from it, O(n_hidden) instead of O(n_hidden n_sites)."""

    words: ClassVar[str] = "a table of the hidden units' angles"
    ansatz: RBM
    n_hidden: int
    cost: Cost

    def prepare(self, params: Params) -> _Weights:
        return self.ansatz.weights(params)

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

    def coordinates(self, prepared: _Weights, cache: _Angles) -> Inexact[Array, " m"]:
        return jnp.append(cache.theta, cache.visible)

    def displacements(
        self, prepared: _Weights, cache: _Angles, sigma: Sigma, moves: Int[Array, "n_moves move_size"]
    ) -> Inexact[Array, "n_moves m"]:
        return jax.vmap(lambda move: jnp.append(*_change(prepared, sigma, move)))(moves)

    def read(self, prepared: _Weights, coordinates: Inexact[Array, " m"]) -> Inexact[Array, ""]:
        return jnp.sum(log_cosh(coordinates[:-1])) + coordinates[-1] + self.n_hidden * math.log(2)


def _change(weights: _Weights, sigma: Sigma, move: Int[Array, " move_size"]) -> tuple[Array, Array]:
    """What a move adds to θ and to a·σ; a loop over the few sites of a move, since rows are cheaper than a product."""
    d_theta, d_visible = 0.0, 0.0
    for k in range(move.shape[0]):
        site = jnp.maximum(move[k], 0)
        step = jnp.where(move[k] < 0, 0, -2 * sigma[site]).astype(weights.kernel.dtype)
        d_theta = d_theta + step * weights.kernel[site]
        d_visible = d_visible + step * weights.visible[site]
    return jnp.asarray(d_theta), jnp.asarray(d_visible)
