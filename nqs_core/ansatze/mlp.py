"""The multilayer perceptron."""

from typing import Annotated, Any, Literal

import flax.linen as nn
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, PRNGKeyArray
from pydantic import Field

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.layers import dtype_of, start
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.sector import Sector
from nqs_core.types import Params, Sigma

Width = Annotated[int, Field(ge=1, le=8192)]


class _Net(nn.Module):
    hidden: tuple[int, ...]
    n_out: int
    dtype: Any

    @nn.compact
    def __call__(self, sigma: Sigma) -> Inexact[Array, " n_out"]:
        x = sigma.astype(self.dtype)
        for width in self.hidden:
            x = nn.Dense(width, dtype=self.dtype, param_dtype=self.dtype, precision="highest")(x)
            x = nn.LayerNorm(dtype=self.dtype, param_dtype=self.dtype, use_fast_variance=False)(x)
            x = nn.gelu(x)
        # Small, so that the first state is close to uniform; without a bias, which would only change the norm.
        last = nn.initializers.normal(0.01)
        return nn.Dense(
            self.n_out, use_bias=False, dtype=self.dtype, param_dtype=self.dtype, kernel_init=last, precision="highest"
        )(x)


@component
class MLP(Ansatz):
    """log ψ(σ) = wᵀ x_L, x_{l+1} = GELU(LayerNorm(W_l x_l + b_l)), x_0 = σ.

    Head "real": ψ > 0; "complex": a second output is the phase in radians.
    """

    hidden: tuple[Width, ...] = param(
        (64, 64), min_length=1, max_length=16, title="Hidden layers", help="Width of every hidden layer."
    )
    head: Literal["real", "complex"] = param("real", title="Head", help="Complex where the ground state has signs.")
    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context("float32")

    @property
    def signed(self) -> bool:
        return self.head == "complex"

    @property
    def receptive_field(self) -> tuple[int, ...]:
        return self.lattice.extent

    def _module(self) -> _Net:
        return _Net(self.hidden, 2 if self.signed else 1, dtype_of(self.precision))

    def init(self, key: PRNGKeyArray) -> Params:
        return start(self._module(), key, jnp.ones(self.lattice.n_sites, jnp.int8))

    def log_psi(self, params: Params, sigma: Sigma) -> Inexact[Array, ""]:
        out: Any = self._module().apply(params, sigma)
        return lax.complex(out[0], out[1]) if self.signed else out[0]
