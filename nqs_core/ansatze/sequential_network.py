"""The contract of an autoregressive network, and the heads that most of them end with."""

import math
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nqs_core.ansatze.layers import dense, dtype_of, gelu

Carry = Any


class Row(NamedTuple):
    """What a network says of one token, or of all of them with an axis more in front.

    logits: log p of every letter, up to a constant; phases: φ of every letter, None where ψ > 0.
    """

    logits: Float[Array, "*tokens n_letters"]
    phases: Float[Array, "*tokens n_letters"] | None


class SequentialNetwork(nn.Module):
    """The network of a `SequentialAnsatz`: three methods without a batch axis, that say the same.

    `grows`: the carry is a table whose row j is written by step j and that steps j' > j read up to row j' alone. The
    carry after the last step then serves every place, and one is kept instead of n_tokens (attention, convolutions).
    """

    grows: ClassVar[bool] = False

    def __call__(self, letters: Int[Array, " n_tokens"]) -> Row:
        """All rows at once (teacher forcing); row j depends on the letters before j alone. Derivatives go this way."""
        raise NotImplementedError

    def begin(self) -> Carry:
        """What is carried before the first step, a pytree of arrays."""
        raise NotImplementedError

    def step(self, carry: Carry, j: Int[Array, ""], letter: Int[Array, ""]) -> tuple[Row, Carry]:
        """Row j after the letter of token j - 1, and the carry with it; `letter` is n_letters for j = 0, the start.

        Steps come in order; j is the same for all configurations, so that tables by j are slices.
        """
        raise NotImplementedError


class Heads(nn.Module):
    """Logits and phases φ = π tanh(f) of every letter from features; zero logits at the start: p is uniform.

    Without `phase_init_std` no phases. `hidden`: widths of the layers with GELU before each output.
    """

    n_letters: int
    hidden: tuple[int, ...]
    phase_init_std: float | None
    precision: str

    @nn.compact
    def __call__(self, x: Float[Array, "*tokens features"]) -> Row:
        dtype = dtype_of(self.precision)

        def head(name: str, start: Any) -> Array:
            y = x
            for k, width in enumerate(self.hidden):
                y = gelu(dense(width, dtype, name=f"{name}_hidden_{k}")(y))
            return dense(self.n_letters, dtype, name=name, kernel_init=start)(y)

        logits = head("amplitude", nn.initializers.zeros)
        if self.phase_init_std is None:
            return Row(logits, None)
        return Row(logits, math.pi * jnp.tanh(head("phase", nn.initializers.normal(self.phase_init_std))))
