"""An autoregressive network of masked dense layers."""

import itertools
import math
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nqs_core.ansatze.layers import dtype_of
from nqs_core.ansatze.sequential import SequentialAnsatz
from nqs_core.ansatze.sequential_network import Row, SequentialNetwork
from nqs_core.registry import component, param


class _MaskedDense(nn.Module):
    """y_i = Σ_{j<=i} x_j K_ji + b_i: features of token i from its own and those of earlier tokens."""

    n_tokens: int
    n_in: int
    n_out: int
    width: float  # of a sum, in units of that of its terms
    dtype: Any

    def setup(self) -> None:
        # Token i sees about half of all inputs: the variance of its sum is that of the mean number of terms.
        scale = self.width * (2 / (self.n_in * (self.n_tokens + 1))) ** 0.5
        shape = (self.n_tokens, self.n_in, self.n_tokens, self.n_out)
        self.kernel = self.param("kernel", nn.initializers.normal(scale), shape, self.dtype)
        self.bias = self.param("bias", nn.initializers.zeros, (self.n_tokens, self.n_out), self.dtype)

    def __call__(self, x: Float[Array, "n_tokens n_in"]) -> Float[Array, "n_tokens n_out"]:
        tokens = jnp.arange(self.n_tokens)
        kernel = self.kernel * (tokens[:, None] <= tokens[None])[:, None, :, None]
        return jnp.einsum("ja,jaib->ib", x, kernel, precision="highest") + self.bias

    def at(self, i: Int[Array, ""], x: Float[Array, "n_tokens n_in"]) -> Float[Array, " n_out"]:
        """Row i alone, whatever the rows of `x` after it are."""
        kernel = jax.lax.dynamic_index_in_dim(self.kernel, i, axis=2, keepdims=False)
        kernel = kernel * (jnp.arange(self.n_tokens) <= i)[:, None, None]
        return jnp.einsum("ja,jab->b", x, kernel, precision="highest") + self.bias[i]


class _Net(SequentialNetwork):
    n_tokens: int
    size: int
    features: int
    layers: int
    phase_init_std: float | None
    dtype: Any

    grows: ClassVar[bool] = True

    def setup(self) -> None:
        def layer(n_in: int, n_out: int, width: float = 1.0) -> _MaskedDense:
            return _MaskedDense(self.n_tokens, n_in, n_out, width, self.dtype)

        self.hidden = [layer(*pair) for pair in itertools.pairwise([self.size, *[self.features] * self.layers])]
        self.amplitude = layer(self.features, 2**self.size)
        if self.phase_init_std is not None:
            self.phase = layer(self.features, 2**self.size, self.phase_init_std)

    def __call__(self, letters: Int[Array, " n_tokens"]) -> Row:
        x = jax.vmap(self._spins)(jnp.concatenate([jnp.full(1, 2**self.size, letters.dtype), letters[:-1]]))
        for layer in self.hidden:
            x = nn.gelu(layer(x))
        return Row(self.amplitude(x), None if self.phase_init_std is None else math.pi * jnp.tanh(self.phase(x)))

    def begin(self) -> list[Float[Array, "n_tokens width"]]:
        """The input of every layer."""
        return [jnp.zeros((self.n_tokens, width), self.dtype) for width in (self.size, *[self.features] * self.layers)]

    def step(self, carry: list[Array], j: Int[Array, ""], letter: Int[Array, ""]) -> tuple[Row, list[Array]]:
        x, tape = self._spins(letter), []
        for table, layer in zip(carry, self.hidden, strict=False):
            tape.append(table.at[j].set(x))
            x = nn.gelu(layer.at(j, tape[-1]))
        tape.append(carry[-1].at[j].set(x))
        logits = self.amplitude.at(j, tape[-1])
        phases = None if self.phase_init_std is None else math.pi * jnp.tanh(self.phase.at(j, tape[-1]))
        return Row(logits, phases), tape

    def _spins(self, letter: Int[Array, ""]) -> Float[Array, " size"]:
        """The spins of a token; 0 for the start."""
        spins = 1 - 2 * ((letter[None] >> jnp.arange(self.size, dtype=letter.dtype)) & 1)
        return jnp.where(letter[None] == 2**self.size, 0, spins).astype(self.dtype)


@component
class ARNN(SequentialAnsatz):
    """log ψ(σ) = Σ_j [½ log p(t_j | t_<j) + i φ_j(t_≤j)], p and φ by masked dense layers with GELU, φ = π tanh.

    Exactly normalised, also in a sector of fixed S^z: letters from which it is out of reach are masked. Without
    `phase` ψ > 0.
    Source: Germain et al., arXiv:1502.03509; Sharir et al., Phys. Rev. Lett. 124, 020503 (2020).
    """

    features: int = param(8, ge=1, le=1024, title="Features", help="Features per token and layer.")
    layers: int = param(2, ge=1, le=32, title="Layers", help="Hidden layers.")

    def network(self) -> _Net:
        letters = self.letters
        std = self.phase_init_std if self.phase else None
        return _Net(letters.n_tokens, letters.size, self.features, self.layers, std, dtype_of(self.precision))
