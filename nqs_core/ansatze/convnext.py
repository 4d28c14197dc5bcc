"""ConvNeXt with an embedding of patches."""

from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from nqs_core.ansatze.grid import CellNetwork, patches, require_cells, require_odd, require_patch
from nqs_core.ansatze.layers import Convolution, LogCoshHead, ResponseNorm, dense, dtype_of, gelu, layer_norm
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.sector import Sector


class _Net(nn.Module):
    periodicity: tuple[bool, ...]
    patch: int
    channels: int
    blocks: int
    kernel: int
    expansion: int
    response_norm: bool
    head: Any
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "*extent n_basis"]) -> Inexact[Array, ""]:
        x = dense(self.channels, self.dtype, use_bias=False, name="embed")(patches(x, self.patch))
        for block in range(self.blocks):
            y = Convolution(self.channels, self.kernel, self.periodicity, self.dtype, depthwise=True)(x)
            y = layer_norm(self.dtype, name=f"norm_{block}")(y)
            y = gelu(dense(self.expansion * self.channels, self.dtype, name=f"expand_{block}")(y))
            if self.response_norm:
                y = ResponseNorm(self.dtype, name=f"response_{block}")(y)
            x = x + dense(self.channels, self.dtype, name=f"reduce_{block}")(y)
        return LogCoshHead(self.head, self.dtype, name="head")(jnp.sum(x, axis=tuple(range(x.ndim - 1))))


@component
class ConvNeXt(CellNetwork):
    """log ψ(σ) = Σ_a log 2cosh(LN(W_r z) + i LN(W_i z))_a, z = LN(Σ_r x_r), x ← x + D₂(GELU(D₁(LN(DW(x))))).

    x starts as a linear map of patches of patch^d cells; DW is a circular convolution of every channel with a filter of
    its own, D₁ and D₂ are dense in the channels. The head "real" leaves out the imaginary part: ψ > 0.
    Invariant under translations by a patch along periodic axes. Beyond open ends the input is 0.
    Source: Nutakki, Shokry and Vicentini, arXiv:2505.03466; the head: Viteritti, Rende and Becca, Phys. Rev. Lett. 130,
    236401 (2023).

    Raises:
        ConfigError: a lattice without unit cells, an even kernel, or a patch that does not divide the extent.
    """

    patch: int = param(2, ge=1, le=64, title="Patch", help="Width of a patch; must divide every length.", unit="cells")
    channels: int = param(16, ge=2, le=1024, title="Channels", help="Features per patch.")
    blocks: int = param(2, ge=1, le=64, title="Blocks", help="Residual blocks.")
    kernel: int = param(3, ge=1, le=31, title="Kernel", help="Width of the filters, odd.", unit="patches")
    expansion: int = param(2, ge=1, le=16, title="Expansion", help="Width between the dense layers of a block, in c.")
    response_norm: bool = param(
        False, title="Response norm", help="Global response normalisation inside the blocks; no longer local."
    )
    head: Literal["real", "complex"] = param("real", title="Head", help="Complex where the ground state has signs.")
    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context("float32")

    def __post_init__(self) -> None:
        require_cells("convnext", self.lattice)
        require_odd("convnext", self.kernel)
        require_patch("convnext", self.lattice, self.patch)

    @property
    def signed(self) -> bool:
        return self.head == "complex"

    @property
    def steps(self) -> tuple[int, ...] | None:
        return (self.patch,) * len(self.lattice.extent)

    def module(self) -> _Net:
        return _Net(
            self.lattice.periodicity,
            self.patch,
            self.channels,
            self.blocks,
            self.kernel,
            self.expansion,
            self.response_norm,
            self.head,
            dtype_of(self.precision),
        )
