"""ConvNeXt with an embedding of patches."""

from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Inexact

from nqs_core.ansatze.base import FullForward, LocalUpdates
from nqs_core.ansatze.grid import CellNetwork, require_cells, require_odd, require_patch, usual_patch
from nqs_core.ansatze.layers import DepthwiseConvolution, LogCoshHead, ResponseNorm, dense, dtype_of, gelu, layer_norm
from nqs_core.ansatze.windows import StagedNet, field_of_stages, windows_where_they_pay
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.sector import Sector


class _Net(StagedNet):
    """The embedding, then one stage for every block."""

    channels: int
    blocks: int
    kernel: int
    expansion: int
    response_norm: bool
    head: Any

    def setup(self) -> None:
        kernel, blocks = (self.kernel,) * len(self.periodicity), range(self.blocks)
        self.embed = dense(self.channels, self.dtype, use_bias=False)
        self.convs = [DepthwiseConvolution(kernel, self.dtype) for _ in blocks]
        self.norms = [layer_norm(self.dtype) for _ in blocks]
        self.expand = [dense(self.expansion * self.channels, self.dtype) for _ in blocks]
        self.responses = [ResponseNorm(self.dtype) for _ in blocks] if self.response_norm else []
        self.reduce = [dense(self.channels, self.dtype) for _ in blocks]
        self.last = LogCoshHead(self.head, self.dtype)

    def stage(self, k: int, x: Array, skip: Array | None) -> Array:
        if k == 0 or skip is None:
            return self.embed(x)
        y = gelu(self.expand[k - 1](self.norms[k - 1](self.convs[k - 1](x))))
        if self.response_norm:
            y = self.responses[k - 1](y)
        return skip + self.reduce[k - 1](y)

    def readout(self, x: Array) -> Inexact[Array, ""]:
        return self.last(jnp.sum(x, axis=tuple(range(x.ndim - 1))))


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

    patch: int = param(
        0, ge=0, le=64, title="Patch", help="Width of a patch; must divide every length. 0: 2 if it does, else 1.",
        unit="cells",
    )  # fmt: skip
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
        if not self.patch:
            object.__setattr__(self, "patch", usual_patch(self.lattice))
        require_patch("convnext", self.lattice, self.patch)

    @property
    def signed(self) -> bool:
        return self.head == "complex"

    @property
    def receptive_field(self) -> tuple[int, ...]:
        return self.lattice.extent if self.response_norm else field_of_stages(self)

    @property
    def steps(self) -> tuple[int, ...] | None:
        return (self.patch,) * len(self.lattice.extent)

    def module(self) -> _Net:
        return _Net(
            self.lattice.periodicity,
            (0, *[self.kernel // 2] * self.blocks),
            (None, *range(1, self.blocks + 1)),
            dtype_of(self.precision),
            self.channels,
            self.blocks,
            self.kernel,
            self.expansion,
            self.response_norm,
            self.head,
        )

    def local_updates(self) -> LocalUpdates:
        return FullForward(self) if self.response_norm else windows_where_they_pay(self)
