"""A causal transformer."""

import math
from typing import ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from nqs_core.ansatze.layers import dense, dtype_of, gelu, layer_norm
from nqs_core.ansatze.sequential import FORBIDDEN, SequentialAnsatz
from nqs_core.ansatze.sequential_network import Heads, Row, SequentialNetwork
from nqs_core.errors import ConfigError
from nqs_core.registry import component, param

ROTARY_BASE = 100.0
SATURATED = 1e4  # single precision still tells scores apart by 0.001


class _Block(nn.Module):
    """x ← x + O softmax(q kᵀ / √d_h) v of LN(x), then x ← x + W₂ GELU(W₁ LN(x))."""

    features: int
    heads: int
    precision: str

    def setup(self) -> None:
        dtype, d = dtype_of(self.precision), self.features
        self.norm, self.norm_expand = layer_norm(dtype), layer_norm(dtype)
        self.query, self.key, self.value, self.out = (dense(d, dtype, use_bias=False) for _ in range(4))
        self.expand, self.reduce = dense(4 * d, dtype), dense(d, dtype)

    def qkv(self, x: Float[Array, "*tokens d"], turn: Array | None) -> tuple[Array, Array, Array]:
        """Queries, keys and values by head, (*tokens, heads, d_h); turned by `turn`."""
        y = self.norm(x)
        q, k, v = (layer(y).reshape(*x.shape[:-1], self.heads, -1) for layer in (self.query, self.key, self.value))
        return (q, k, v) if turn is None else (turned(q, turn), turned(k, turn), v)

    def after(self, x: Float[Array, "*tokens d"], mixed: Float[Array, "*tokens heads c"]) -> Float[Array, "*tokens d"]:
        """Everything after the attention."""
        x = x + self.out(mixed.reshape(x.shape))
        return x + self.reduce(gelu(self.expand(self.norm_expand(x))))


def _weights(scores: Float[Array, "*heads n"], seen: Bool[Array, "*heads n"]) -> Float[Array, "*heads n"]:
    # XLA may round a score differently where it seeks the largest: the two must not lie far apart.
    return jax.nn.softmax(jnp.where(seen, jnp.clip(scores, -SATURATED, SATURATED), FORBIDDEN), axis=-1)


def turned(x: Float[Array, "*tokens heads c"], angles: Float[Array, "*tokens half"]) -> Float[Array, "*tokens heads c"]:
    """Pairs (a, b) of channels as points of the plane, turned by their angles."""
    a, b = jnp.split(x, 2, axis=-1)
    cos, sin = jnp.cos(angles)[..., None, :], jnp.sin(angles)[..., None, :]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


class _Net(SequentialNetwork):
    n_tokens: int
    n_letters: int
    features: int
    layers: int
    attention_heads: int
    places: tuple[tuple[int, ...], ...] | None
    readout: Heads
    precision: str

    grows: ClassVar[bool] = True

    def setup(self) -> None:
        dtype, table = dtype_of(self.precision), nn.initializers.normal(0.5)
        self.letter = self.param("letter", table, (self.n_letters + 1, self.features), dtype)  # the last is the start
        if self.places is None:
            self.place = self.param("place", table, (self.n_tokens, self.features), dtype)
        self.blocks = [_Block(self.features, self.attention_heads, self.precision) for _ in range(self.layers)]
        self.norm = layer_norm(dtype)

    def __call__(self, letters: Int[Array, " n_tokens"]) -> Row:
        x = self.letter[jnp.concatenate([jnp.full(1, self.n_letters, letters.dtype), letters[:-1]])]
        x = x + self.place if self.places is None else x
        seen, angles = np.tri(self.n_tokens, dtype=bool)[None], self._angles()
        for block in self.blocks:
            q, k, v = block.qkv(x, angles)
            scores = jnp.einsum("ihc,jhc->hij", q, k, precision="highest") / math.sqrt(q.shape[-1])
            weights = _weights(scores, jnp.broadcast_to(seen, scores.shape))
            x = block.after(x, jnp.einsum("hij,jhc->ihc", weights, v, precision="highest"))
        return self.readout(self.norm(x))

    def begin(self) -> list[tuple[Array, Array]]:
        """Keys and values of every layer at all tokens so far, 0 at the others."""
        shape = (self.n_tokens, self.attention_heads, self.features // self.attention_heads)
        empty = jnp.zeros(shape, dtype_of(self.precision))
        return [(empty, empty)] * self.layers

    def step(
        self, carry: list[tuple[Array, Array]], j: Int[Array, ""], letter: Int[Array, ""]
    ) -> tuple[Row, list[tuple[Array, Array]]]:
        x = self.letter[letter] + (self.place[j] if self.places is None else 0)
        angles = self._angles()
        tables = []
        for block, (keys, values) in zip(self.blocks, carry, strict=True):
            q, k, v = block.qkv(x, None if angles is None else angles[j])
            keys, values = keys.at[j].set(k), values.at[j].set(v)
            scores = jnp.einsum("hc,jhc->hj", q, keys, precision="highest") / math.sqrt(q.shape[-1])
            weights = _weights(scores, jnp.broadcast_to(jnp.arange(self.n_tokens)[None] <= j, scores.shape))
            x = block.after(x, jnp.einsum("hj,jhc->hc", weights, values, precision="highest"))
            tables.append((keys, values))
        return self.readout(self.norm(x)), tables

    def _angles(self) -> Array | None:
        """Of every pair of channels at every token: the channels are shared out among the axes of the places."""
        if self.places is None:
            return None
        places = np.array(self.places, float)
        n_pairs = self.features // self.attention_heads // (2 * places.shape[1])
        frequencies = ROTARY_BASE ** (-np.arange(n_pairs) / n_pairs)
        angles = (places[:, :, None] * frequencies).reshape(self.n_tokens, -1)
        return jnp.asarray(angles, dtype_of(self.precision))


@component
class Transformer(SequentialAnsatz):
    """log ψ(σ) = Σ_j [½ log p(t_j | t_<j) + i φ_j(t_≤j)], p and φ by causal attention over the tokens, φ = π tanh.

    Layers x ← x + O softmax(q kᵀ / √d_h) v and x ← x + W₂ GELU(W₁ LN(x)) with q, k, v = W LN(x) without biases; then
    LN and the two heads. Places of tokens are vectors that are learned, or turn queries and keys (rotary, base 100,
    channels shared out among the axes). Sampling keeps keys and values. Without a phase and with `p_floor` it proposes
    configurations to an importance sampler.
    Source: Vaswani et al., arXiv:1706.03762; Su et al., arXiv:2104.09864; Zhang and Di Ventra, Phys. Rev. B 107,
    075147 (2023), arXiv:2208.01758.

    Raises:
        ConfigError: heads that do not divide the features, channels that do not divide into pairs of every axis, or a
            floor that leaves nothing for the network.
    """

    features: int = param(32, ge=2, le=8192, title="Features", help="Width d of the network; a multiple of heads.")
    layers: int = param(2, ge=1, le=128, title="Layers", help="Layers of attention and dense parts.")
    heads: int = param(4, ge=1, le=256, title="Heads", help="Heads of the attention.")
    positions: Literal["learned", "rotary"] = param(
        "learned", title="Places", help="Learned vectors, or turns of queries and keys by the distance."
    )
    head: int = param(0, ge=0, le=8192, title="Head width", help="Units of a layer in each output head; 0: none.")
    p_floor: float = param(
        0.0, ge=0, lt=0.5, title="Floor", help="Least probability of either value of a spin: 0 for a wave function."
    )

    def check(self) -> None:
        if self.features % self.heads:
            divisors = ", ".join(str(h) for h in range(1, self.features + 1) if self.features % h == 0)
            raise ConfigError(
                f"ansatz 'transformer': heads = {self.heads} must divide features = {self.features}; "
                f"allowed: {divisors}"
            )
        unit = 2 * self.heads * len(self._places()[0])
        if self.positions == "rotary" and self.features % unit:
            raise ConfigError(
                f"ansatz 'transformer': features = {self.features} must be a multiple of {unit}, two channels of every "
                "head for every axis, with rotary places"
            )
        if (mixed := 2 * self.p_floor * self.letters.size) >= 1:
            raise ConfigError(
                f"ansatz 'transformer': p_floor = {self.p_floor:g} leaves nothing for the network with "
                f"{self.letters.size} spins a token; it must be below {self.p_floor / mixed:g}"
            )

    @property
    def floor(self) -> float:
        return self.p_floor

    def network(self) -> _Net:
        letters = self.letters
        sizes = (letters.n_tokens, letters.n_letters, self.features, self.layers, self.heads)
        places = self._places() if self.positions == "rotary" else None
        return _Net(*sizes, places, self.readout(*[self.head] * (self.head > 0)), self.precision)

    def _places(self) -> tuple[tuple[int, ...], ...]:
        """Of every token along every axis of the lattice, and the number in its cell; in the sequence without one."""
        letters = self.letters
        if self.tokens is not None:
            return tuple((j,) for j in range(letters.n_tokens))
        first = np.array([group[0] for group in letters.groups])
        n_basis = self.lattice.n_sites // math.prod(self.lattice.extent)
        axes = np.stack(np.unravel_index(first // n_basis, self.lattice.extent)) // self.patch
        if self.patch == 1 and n_basis > 1:
            axes = np.concatenate([axes, first[None] % n_basis])
        return tuple(map(tuple, axes.T.tolist()))
