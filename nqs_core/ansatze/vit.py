"""The vision transformer."""

from collections.abc import Hashable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from nqs_core.ansatze.grid import CellNetwork, displacements, n_displacements, require_cells, require_patch, usual_patch
from nqs_core.ansatze.layers import LogCoshHead, dense, dtype_of, gelu, layer_norm
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.sector import Sector

SATURATED = 1e4  # single precision still tells scores apart by 0.001


class _Attention(nn.Module):
    """W concat_h Σ_j A^h_ij V^h x_j, A = α_{i-j} (factored) or softmax_j(q_i·k_j / √d_h + α_{i-j}) (full)."""

    extent: tuple[int, ...]
    periodicity: tuple[bool, ...]
    heads: int
    attention: str
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        n, d = x.shape
        shape = (self.heads, n_displacements(self.extent, self.periodicity))
        alpha = self.param("alpha", nn.initializers.normal(1 / n**0.5), shape, self.dtype)
        weights = alpha[:, displacements(self.extent, self.periodicity)]
        if self.attention == "full":
            q, k = (self._split(dense(d, self.dtype, use_bias=False, name=name)(x)) for name in ("query", "key"))
            scores = jnp.einsum("ihc,jhc->hij", q, k, precision="highest") / (d // self.heads) ** 0.5
            # XLA may round a score differently where it seeks the largest: the two must not lie far apart.
            weights = jax.nn.softmax(jnp.clip(scores + weights, -SATURATED, SATURATED), axis=-1)
        values = self._split(dense(d, self.dtype, name="value")(x))
        mixed = jnp.einsum("hij,jhc->ihc", weights, values, precision="highest").reshape(n, d)
        return dense(d, self.dtype, name="out")(mixed)

    def _split(self, x: Float[Array, "n d"]) -> Float[Array, "n heads c"]:
        return x.reshape(len(x), self.heads, -1)


class _Net(nn.Module):
    extent: tuple[int, ...]
    periodicity: tuple[bool, ...]
    features: int
    layers: int
    heads: int
    attention: str
    head: Any
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "*patches n"]) -> Inexact[Array, ""]:
        x = dense(self.features, self.dtype, name="embed")(x.reshape(-1, x.shape[-1]))
        for layer in range(self.layers):
            attention = _Attention(
                self.extent, self.periodicity, self.heads, self.attention, self.dtype, name=f"attention_{layer}"
            )
            x = x + attention(layer_norm(self.dtype, name=f"norm_{layer}")(x))
            y = layer_norm(self.dtype, name=f"norm_expand_{layer}")(x)
            y = gelu(dense(4 * self.features, self.dtype, name=f"expand_{layer}")(y))
            x = x + dense(self.features, self.dtype, name=f"reduce_{layer}")(y)
        return LogCoshHead(self.head, self.dtype, name="head")(jnp.sum(x, axis=0))


@component
class ViT(CellNetwork):
    """log ψ(σ) = Σ_a log 2cosh(LN(W_r z) + i LN(W_i z))_a, z = LN(Σ_i x_i), x_i of patches by layers of attention.

    Layers x ← x + W concat_h Σ_j A^h_ij V^h LN(x)_j and x ← x + W₂ GELU(W₁ LN(x)). Attention "factored": A = α_{i-j},
    learned and blind to the spins; "full": softmax_j(q_i·k_j / √d_h + α_{i-j}), each score within ±10⁴. Invariant
    under translations by a patch along periodic axes. The head "real" leaves out the imaginary part: ψ > 0.
    Source: Viteritti, Rende and Becca, Phys. Rev. Lett. 130, 236401 (2023), arXiv:2211.05504; arXiv:2311.16889.

    Raises:
        ConfigError: a lattice without unit cells, a patch that does not divide the extent, or heads that do not divide
            the features.
    """

    patch: int = param(
        0, ge=0, le=64, title="Patch", help="Width of a patch; must divide every length. 0: 2 if it does, else 1.",
        unit="cells",
    )  # fmt: skip
    features: int = param(24, ge=2, le=4096, title="Features", help="Width d of the network; a multiple of heads.")
    layers: int = param(2, ge=1, le=64, title="Layers", help="Layers of attention and dense parts.")
    heads: int = param(4, ge=1, le=256, title="Heads", help="Heads of the attention.")
    attention: Literal["factored", "full"] = param(
        "factored", title="Attention", help="By position alone, or by queries and keys too."
    )
    head: Literal["real", "complex"] = param("real", title="Head", help="Complex where the ground state has signs.")
    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context("float32")

    def __post_init__(self) -> None:
        require_cells("vit", self.lattice)
        if not self.patch:
            object.__setattr__(self, "patch", usual_patch(self.lattice))
        require_patch("vit", self.lattice, self.patch)
        if self.features % self.heads:
            divisors = ", ".join(str(h) for h in range(1, self.features + 1) if self.features % h == 0)
            raise ConfigError(
                f"ansatz 'vit': heads = {self.heads} must divide features = {self.features}; allowed: {divisors}"
            )

    @property
    def signed(self) -> bool:
        return self.head == "complex"

    @property
    def receptive_field(self) -> tuple[int, ...]:
        return self.lattice.extent

    @property
    def steps(self) -> tuple[int, ...] | None:
        return (self.patch,) * len(self.lattice.extent)

    @property
    def layout(self) -> Hashable:
        """α is numbered by the displacements between patches."""
        return self._extent(), self.lattice.periodicity

    def _extent(self) -> tuple[int, ...]:
        return tuple(length // self.patch for length in self.lattice.extent)

    def module(self) -> _Net:
        return _Net(
            self._extent(),
            self.lattice.periodicity,
            self.features,
            self.layers,
            self.heads,
            self.attention,
            self.head,
            dtype_of(self.precision),
        )
