"""Residual convolutional networks."""

from collections.abc import Hashable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from nqs_core.ansatze.base import LocalUpdates
from nqs_core.ansatze.grid import CellNetwork, require_cells, require_odd
from nqs_core.ansatze.layers import Convolution, dense, dtype_of, gelu, layer_norm, log_cosh, log_sum, small
from nqs_core.ansatze.windows import StagedNet, field_of_stages, windows_where_they_pay
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.sector import Sector


class _Net(StagedNet):
    """The embedding, then two stages for every block."""

    channels: int
    blocks: int
    form: str
    head: str

    def setup(self) -> None:
        conv = partial(Convolution, self.channels, (2 * self.reaches[0] + 1,) * len(self.periodicity), self.dtype)
        self.embed = conv()
        self.convs = [conv() for _ in range(2 * self.blocks)]
        if self.form == "layernorm":
            self.norms = [layer_norm(self.dtype) for _ in range(2 * self.blocks + 1)]
            self.last = {
                "real": partial(dense, 1, self.dtype, use_bias=False, kernel_init=small()),
                "modulus_phase": partial(dense, 2, self.dtype, use_bias=False, kernel_init=small()),
                "complex": partial(dense, 2 * self.channels, self.dtype, kernel_init=small(0.1)),
            }[self.head]()

    def stage(self, k: int, x: Array, skip: Array | None) -> Array:
        conv = self.embed if k == 0 else self.convs[k - 1]
        if self.form == "layernorm":
            x = gelu(self.norms[k](conv(x)))
        elif k == 0:
            x = conv(x)
        else:
            x = conv(gelu(x / ((k + 1) // 2) ** 0.5 if k % 2 else x))
        return x if skip is None else x + skip

    def readout(self, x: Array) -> Inexact[Array, ""]:
        if self.form == "prenorm":
            x = x / (self.blocks + 1) ** 0.5
            if self.head == "complex":
                x = jax.lax.complex(x[..., : self.channels // 2], x[..., self.channels // 2 :])
            return log_sum(x.reshape(-1), np.full(x.size, 1 / x.size), x.dtype)
        out = self.last(jnp.mean(x, axis=tuple(range(x.ndim - 1))))
        if self.head == "real":
            return out[0]
        if self.head == "modulus_phase":
            return jax.lax.complex(out[0], out[1])
        return jnp.sum(log_cosh(jax.lax.complex(out[: self.channels], out[self.channels :])))


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
    def receptive_field(self) -> tuple[int, ...]:
        return field_of_stages(self)

    @property
    def steps(self) -> tuple[int, ...] | None:
        return (1,) * len(self.lattice.extent)

    @property
    def layout(self) -> Hashable:
        """A complex head without a layer of its own reads the same channels in another way."""
        return self.head if self.form == "prenorm" else None

    @property
    def filters(self) -> tuple[int, ...]:
        return (self.kernel,) * len(self.lattice.extent)

    def module(self) -> _Net:
        n_stages = 2 * self.blocks + 1
        return _Net(
            self.lattice.periodicity,
            (self.kernel // 2,) * n_stages,
            tuple(k - 1 if k and k % 2 == 0 else None for k in range(n_stages)),
            dtype_of(self.precision),
            self.channels,
            self.blocks,
            self.form,
            self.head,
        )

    def local_updates(self) -> LocalUpdates:
        return windows_where_they_pay(self)
