"""Residual convolutional networks."""

from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from nqs_core.ansatze.grid import CellNetwork, require_cells, require_odd
from nqs_core.ansatze.layers import Convolution, dense, dtype_of, gelu, layer_norm, log_cosh, log_sum, small
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.sector import Sector


class _Net(nn.Module):
    """x of (*extent, n_basis) to the outputs of the head."""

    periodicity: tuple[bool, ...]
    channels: int
    blocks: int
    kernel: int
    form: str
    head: str
    dtype: Any

    def setup(self) -> None:
        conv = partial(Convolution, self.channels, self.kernel, self.periodicity, self.dtype)
        self.embed = conv()
        self.convs = [conv() for _ in range(2 * self.blocks)]
        if self.form == "layernorm":
            self.norms = [layer_norm(self.dtype) for _ in range(2 * self.blocks + 1)]
            self.last = {
                "real": partial(dense, 1, self.dtype, use_bias=False, kernel_init=small()),
                "modulus_phase": partial(dense, 2, self.dtype, use_bias=False, kernel_init=small()),
                "complex": partial(dense, 2 * self.channels, self.dtype, kernel_init=small(0.1)),
            }[self.head]()

    def __call__(self, x: Float[Array, "*extent n_basis"]) -> Inexact[Array, ""]:
        return self._layernorm(x) if self.form == "layernorm" else self._prenorm(x)

    def _layernorm(self, x: Array) -> Inexact[Array, ""]:
        x = gelu(self.norms[0](self.embed(x)))
        for block in range(self.blocks):
            y = x
            for k in (2 * block, 2 * block + 1):
                y = gelu(self.norms[k + 1](self.convs[k](y)))
            x = x + y
        out = self.last(jnp.mean(x, axis=tuple(range(x.ndim - 1))))
        if self.head == "real":
            return out[0]
        if self.head == "modulus_phase":
            return jax.lax.complex(out[0], out[1])
        return jnp.sum(log_cosh(jax.lax.complex(out[: self.channels], out[self.channels :])))

    def _prenorm(self, x: Array) -> Inexact[Array, ""]:
        x = self.embed(x)
        for block in range(self.blocks):
            y = self.convs[2 * block](gelu(x / (block + 1) ** 0.5))
            x = x + self.convs[2 * block + 1](gelu(y))
        x = x / (self.blocks + 1) ** 0.5
        if self.head == "complex":
            x = jax.lax.complex(x[..., : self.channels // 2], x[..., self.channels // 2 :])
        return log_sum(x.reshape(-1), np.full(x.size, 1 / x.size), x.dtype)


@component
class ResCNN(CellNetwork):
    """log ψ(σ) = w · mean_r x_r, x ← x + F₂(F₁(x)) with F = GELU ∘ LayerNorm ∘ circular convolution.

    The first layer is F without skip. Head "real": ψ > 0; "modulus_phase": two outputs, log |ψ| and the phase in
    radians; "complex": Σ log cosh of a complex layer.
    Form "prenorm": x ← x + C₂(GELU(C₁(GELU(x / √(t+1))))), t = 0 ... T-1, and ψ = Σ exp(x / √(T+1)) over channels and
    cells, of complex channels with the head "complex".
    Invariant under translations along periodic axes. Beyond open ends the input is 0.
    Source: Ledinauskas and Anisimovas, neural importance resampling (2025); prenorm: Chen and Heyl, Nat. Phys. 20, 1476
    (2024), arXiv:2302.01941.

    Raises:
        ConfigError: a lattice without unit cells, an even kernel, or a head that the form does not have.
    """

    channels: int = param(8, ge=1, le=1024, title="Channels", help="Features per cell; prenorm complex: even.")
    blocks: int = param(2, ge=1, le=64, title="Blocks", help="Residual blocks of two convolutions.")
    kernel: int = param(3, ge=1, le=31, title="Kernel", help="Width of the filters, odd.", unit="cells")
    form: Literal["layernorm", "prenorm"] = param("layernorm", title="Form", help="Normalised after, or scaled before.")
    head: Literal["real", "complex", "modulus_phase"] = param(
        "real", title="Head", help="Real is positive; the others where the ground state has signs."
    )
    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context("float32")

    def __post_init__(self) -> None:
        require_cells("rescnn", self.lattice)
        require_odd("rescnn", self.kernel)
        if self.form == "prenorm" and self.head == "modulus_phase":
            raise ConfigError("ansatz 'rescnn': form 'prenorm' has the heads real and complex, not 'modulus_phase'")
        if self.form == "prenorm" and self.head == "complex" and self.channels % 2:
            raise ConfigError(f"ansatz 'rescnn': channels = {self.channels} must be even for a complex prenorm head")

    @property
    def signed(self) -> bool:
        return self.head != "real"

    @property
    def steps(self) -> tuple[int, ...] | None:
        return (1,) * len(self.lattice.extent)

    def module(self) -> _Net:
        dtype = dtype_of(self.precision)
        return _Net(self.lattice.periodicity, self.channels, self.blocks, self.kernel, self.form, self.head, dtype)
