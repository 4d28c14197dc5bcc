"""An autoregressive network of masked dense layers."""

import itertools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Int8, PRNGKeyArray

from nqs_core.ansatze.base import AutoregressiveAnsatz
from nqs_core.ansatze.layers import dtype_of, start
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.sector import Sector
from nqs_core.types import Params, Sigma

FORBIDDEN = -1e30  # log of a probability 0: infinities would make gradients NaN


class _MaskedDense(nn.Module):
    """y_i = Σ_{j<i or j<=i} x_j K_ji + b_i: features of site i from those of earlier sites, in row-major order."""

    n_sites: int
    n_in: int
    n_out: int
    strict: bool
    dtype: Any

    def setup(self) -> None:
        # Site i sees about half of all inputs: the variance of its sum is that of the mean number of terms.
        scale = (2 / (self.n_in * (self.n_sites + 1))) ** 0.5
        shape = (self.n_sites, self.n_in, self.n_sites, self.n_out)
        self.kernel = self.param("kernel", nn.initializers.normal(scale), shape, self.dtype)
        self.bias = self.param("bias", nn.initializers.zeros, (self.n_sites, self.n_out), self.dtype)

    def __call__(self, x: Float[Array, "n_sites n_in"]) -> Float[Array, "n_sites n_out"]:
        sites = jnp.arange(self.n_sites)
        seen = sites[:, None] < sites[None] if self.strict else sites[:, None] <= sites[None]
        kernel = self.kernel * seen[:, None, :, None]
        return jnp.einsum("ja,jaib->ib", x, kernel, precision="highest") + self.bias

    def at(self, site: Array, x: Float[Array, "n_sites n_in"]) -> Float[Array, " n_out"]:
        """The row `site` alone; rows of `x` from there on (strict) or after it must be 0."""
        kernel = jax.lax.dynamic_index_in_dim(self.kernel, site, axis=2, keepdims=False)
        return jnp.einsum("ja,jab->b", x, kernel, precision="highest") + self.bias[site]


class _Net(nn.Module):
    n_sites: int
    features: int
    layers: int
    n_out: int
    dtype: Any

    def setup(self) -> None:
        widths = [1, *[self.features] * self.layers, self.n_out]
        self.dense = [
            _MaskedDense(self.n_sites, a, b, strict=k == 0, dtype=self.dtype)
            for k, (a, b) in enumerate(itertools.pairwise(widths))
        ]

    def __call__(self, sigma: Sigma) -> Float[Array, "n_sites n_out"]:
        x = sigma[:, None].astype(self.dtype)
        for layer in self.dense[:-1]:
            x = nn.gelu(layer(x))
        return self.dense[-1](x)

    def at(self, site: Array, tape: list[Array]) -> tuple[Float[Array, " n_out"], list[Array]]:
        """The output of one site; `tape` holds the inputs of every layer at earlier sites, 0 elsewhere."""
        tape = list(tape)
        for k, layer in enumerate(self.dense[:-1]):
            tape[k + 1] = tape[k + 1].at[site].set(nn.gelu(layer.at(site, tape[k])))
        return self.dense[-1].at(site, tape[-1]), tape


@component
class ARNN(AutoregressiveAnsatz):
    """log ψ(σ) = Σ_j [½ log p(σ_j | σ_<j) + i φ_j(σ_≤j)], p and φ by masked dense layers with GELU.

    Sites in row-major order. Exactly normalised, also in a sector of fixed S^z: a spin that is used up is masked.
    Without `phase` ψ > 0.
    Source: Germain et al., arXiv:1502.03509; Sharir et al., Phys. Rev. Lett. 124, 020503 (2020).
    """

    features: int = param(8, ge=1, le=1024, title="Features", help="Features per site and layer.")
    layers: int = param(2, ge=1, le=32, title="Layers", help="Hidden layers.")
    phase: bool = param(False, title="Phase", help="Adds a phase; needed where the ground state has signs.")
    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context("float32")

    @property
    def signed(self) -> bool:
        return self.phase

    @property
    def receptive_field(self) -> tuple[int, ...]:
        return self.lattice.extent

    def _module(self) -> _Net:
        n_out = 3 if self.phase else 1  # one logit, and a phase for spin up and one for spin down
        return _Net(self.lattice.n_sites, self.features, self.layers, n_out, dtype_of(self.precision))

    def init(self, key: PRNGKeyArray) -> Params:
        return start(self._module(), key, jnp.ones(self.lattice.n_sites, jnp.int8))

    def log_psi(self, params: Params, sigma: Sigma) -> Inexact[Array, ""]:
        out: Any = self._module().apply(params, sigma)
        return jnp.sum(_pick(self._log_psi_rows(out, self._n_up_before(sigma)), sigma), axis=0)

    def conditionals(self, params: Params, sigma: Sigma) -> Float[Array, "n_sites 2"]:
        out: Any = self._module().apply(params, sigma)
        return 2 * self._log_psi_rows(out, self._n_up_before(sigma)).real

    def sample(
        self, params: Params, key: PRNGKeyArray, n: int
    ) -> tuple[Int8[Array, "n n_sites"], Inexact[Array, " n"]]:
        n_sites, dtype = self.lattice.n_sites, dtype_of(self.precision)
        apply: Any = self._module().apply

        def one(u: Float[Array, " n_sites"]) -> tuple[Array, Array]:
            def step(carry: Any, inputs: tuple[Array, Array]) -> tuple[Any, Array]:
                tape, n_up, log_psi = carry
                site, u = inputs
                out, tape = apply(params, site, tape, method="at")
                row = self._log_psi_rows(out[None], n_up[None], site[None])[0]
                up = u < jnp.exp(2 * row[0].real)  # u in [0, 1): probabilities 0 and 1 are exact
                sigma = jnp.where(up, 1, -1).astype(jnp.int8)
                tape[0] = tape[0].at[site].set(sigma.astype(dtype))
                return (tape, n_up + up, log_psi + jnp.where(up, row[0], row[1])), sigma

            tape = [jnp.zeros((n_sites, w), dtype) for w in (1, *[self.features] * self.layers)]
            start = (tape, jnp.zeros((), jnp.int32), jnp.zeros((), dtype_of(self.precision, self.signed)))
            (_, _, log_psi), sigma = jax.lax.scan(step, start, (jnp.arange(n_sites), u))
            return sigma, log_psi

        return jax.vmap(one)(jax.random.uniform(key, (n, n_sites), dtype))

    def _n_up_before(self, sigma: Sigma) -> Array:
        up = (sigma > 0).astype(jnp.int32)
        return jnp.cumsum(up) - up

    def _log_psi_rows(self, out: Array, n_up: Array, sites: Array | None = None) -> Inexact[Array, "n 2"]:
        """log ψ_j for spin up and down at each site, from the network's output and the up spins before the site."""
        logits = jnp.concatenate([out[:, :1], -out[:, :1]], axis=1)
        if self.sector.n_up is not None:
            sites = jnp.arange(self.lattice.n_sites) if sites is None else sites
            n_down_left = self.lattice.n_sites - self.sector.n_up - (sites - n_up)
            left = jnp.stack([self.sector.n_up - n_up, n_down_left], axis=1)
            logits = jnp.where(left > 0, logits, FORBIDDEN)
        half = 0.5 * jax.nn.log_softmax(logits, axis=1)
        return jax.lax.complex(half, out[:, 1:]) if self.phase else half


def _pick(rows: Inexact[Array, "n_sites 2"], sigma: Sigma) -> Inexact[Array, " n_sites"]:
    return jnp.where(sigma > 0, rows[:, 0], rows[:, 1])
