"""The recurrent network RWKV-7 as a wave function."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nqs_core.ansatze import rwkv_blocks, rwkv_params
from nqs_core.ansatze.layers import dtype_of
from nqs_core.ansatze.memory import shapes_of
from nqs_core.ansatze.published import Published
from nqs_core.ansatze.rwkv_params import Sizes
from nqs_core.ansatze.sequential import SequentialAnsatz
from nqs_core.ansatze.sequential_network import Carry, Heads, Row, SequentialNetwork
from nqs_core.errors import ConfigError
from nqs_core.registry import component, param


class _Net(SequentialNetwork):
    sizes: Sizes
    remat: bool
    weights: Any  # type of the parameters
    dtype: Any  # of everything that is computed
    heads: Heads

    def setup(self) -> None:
        self.stack = {name: self.param(name, new) for name, new in rwkv_params.parts(self.sizes, self.weights).items()}
        self.start = self.param("start", jax.random.normal, (self.sizes.width,), self.weights)

    def begin(self) -> Carry:
        return rwkv_blocks.carries(self.sizes.depth, self.sizes.width, self.sizes.head_size, self.dtype)

    def __call__(self, letters: Int[Array, " n_tokens"]) -> Row:
        embedded = jnp.concatenate([self.start[None], self.stack["emb"]["weight"][letters[:-1]]])
        return self._rows(self.begin(), embedded)[0]

    def step(self, carry: Carry, j: Int[Array, ""], letter: Int[Array, ""]) -> tuple[Row, Carry]:
        n = self.sizes.vocabulary
        embedded = jnp.where(letter == n, self.start, self.stack["emb"]["weight"][jnp.minimum(letter, n - 1)])
        rows, carry = self._rows(carry, embedded[None])
        return jax.tree.map(lambda row: row[0], rows), carry

    def _rows(self, carry: Carry, embedded: Float[Array, "length width"]) -> tuple[Row, Carry]:
        carry, x = rwkv_blocks.stack(self.stack, carry, embedded.astype(self.dtype), self.remat)
        return self.heads(x), carry


@component
class RWKV7(SequentialAnsatz):
    """log ψ(σ) = Σ_j [½ log p(t_j | t_<j) + i φ_j(t_≤j)], p and φ by the recurrent network RWKV-7.

    Every layer mixes in time by a state S per head, S ← S diag(w) - (S κ)(κ ∘ a)ᵀ + v kᵀ and y = S r, and then in
    channels by relu(W x)². A step costs the same at every site. Published weights (`x070`) of the same sizes can be
    started from.
    Source: Peng et al., arXiv:2503.14456.

    Raises:
        ConfigError: a width that is no multiple of the head size.
    """

    precisions: ClassVar[tuple[str, ...]] = ("float32", "float64", "bfloat16")
    takes_weights: ClassVar[bool] = True

    width: int = param(32, ge=2, le=8192, title="Width", help="Features per token; published: 768 to 4096.")
    depth: int = param(2, ge=1, le=64, title="Depth", help="Layers; published: 12 to 61.")
    head_size: int = param(16, ge=2, le=256, title="Head size", help="Must divide the width; published: 64.")
    hidden: int | None = param(None, ge=1, le=65536, title="Hidden units", help="Of channel mixing; default: 4 widths.")
    ranks: tuple[int, int, int, int] = param(
        (8, 8, 8, 8),
        title="Ranks",
        help="Of the low-rank gates of decay, learning rate, value and output (w, a, v, g).",
    )
    remat: bool = param(
        False, title="Recompute", help="The backward pass keeps the inputs of layers only and computes the rest again."
    )

    def check(self) -> None:
        if self.width % self.head_size:
            raise ConfigError(
                f"ansatz 'rwkv7': head_size = {self.head_size} does not divide width = {self.width}; heads share it"
            )
        if min(self.ranks) < 1 or max(self.ranks) > self.width:
            raise ConfigError(f"ansatz 'rwkv7': ranks = {list(self.ranks)} must be 1 to width = {self.width}")

    def network(self) -> SequentialNetwork:
        dtype = dtype_of(self.precision)
        hidden = 4 * self.width if self.hidden is None else self.hidden
        sizes = Sizes(self.letters.n_letters, self.width, self.depth, self.head_size, hidden, self.ranks)
        weights = jnp.bfloat16 if self.precision == "bfloat16" else dtype
        return _Net(sizes, self.remat, weights, dtype, self.readout())

    def published(self) -> Published:
        return rwkv_params.published(shapes_of(self), "heads/amplitude/kernel")
