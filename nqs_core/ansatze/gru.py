"""A recurrent network of gated units."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nqs_core.ansatze.layers import dense, dtype_of, layer_norm
from nqs_core.ansatze.sequential import SequentialAnsatz
from nqs_core.ansatze.sequential_network import Heads, Row, SequentialNetwork
from nqs_core.registry import component, param


class _Net(SequentialNetwork):
    n_tokens: int
    n_letters: int
    features: int
    layers: int
    embedding: int
    readout: Heads
    precision: str

    def setup(self) -> None:
        dtype, d = dtype_of(self.precision), self.features
        width = self.embedding or 3 * d
        table = nn.initializers.normal(0.5)
        self.letter = self.param("letter", table, (self.n_letters + 1, width), dtype)  # the last one is the start
        self.site = self.param("site", table, (self.n_tokens, width), dtype)
        if self.embedding:
            self.project, self.norm = dense(d, dtype), layer_norm(dtype)
        # The first layer has none where the tables are those of its gates.
        self.inputs = [dense(3 * d, dtype) for _ in range(self.layers - (not self.embedding))]
        shape, width = (d, 3 * d), nn.initializers.normal(d**-0.5)
        self.recurrent = [self.param(f"recurrent_{k}", width, shape, dtype) for k in range(self.layers)]
        self.bias = [self.param(f"bias_{k}", nn.initializers.zeros, (d,), dtype) for k in range(self.layers)]

    def __call__(self, letters: Int[Array, " n_tokens"]) -> Row:
        before = jnp.concatenate([jnp.full(1, self.n_letters, letters.dtype), letters[:-1]])
        x = self._embed(self.letter[before] + self.site)
        for k, zero in enumerate(self.begin()):
            h = self._run(k, zero, self._gates(k, x))
            x = self._add(k, x, h)
        return self.readout(x)

    def begin(self) -> list[Float[Array, " features"]]:
        """The state of every layer."""
        return [jnp.zeros(self.features, dtype_of(self.precision))] * self.layers

    def step(self, carry: list[Array], j: Int[Array, ""], letter: Int[Array, ""]) -> tuple[Row, list[Array]]:
        x, states = self._embed(self.letter[letter] + self.site[j]), []
        for k, h in enumerate(carry):
            states.append(self._cell(k, h, self._gates(k, x)))
            x = self._add(k, x, states[-1])
        return self.readout(x), states

    def _embed(self, x: Float[Array, "*tokens width"]) -> Float[Array, "*tokens features"]:
        return self.norm(jnp.tanh(self.project(x))) if self.embedding else x

    def _gates(self, k: int, x: Float[Array, "*tokens n_in"]) -> Float[Array, "*tokens gates"]:
        return self.inputs[k if self.embedding else k - 1](x) if self.embedding or k else x

    def _run(self, k: int, h: Array, gates: Float[Array, "n_tokens gates"]) -> Float[Array, "n_tokens features"]:
        def step(h: Array, gates: Array) -> tuple[Array, Array]:
            h = self._cell(k, h, gates)
            return h, h

        return jax.lax.scan(step, h, gates)[1]

    def _cell(self, k: int, h: Float[Array, " features"], gates: Float[Array, " gates"]) -> Float[Array, " features"]:
        d = self.features
        recurrent = jnp.matmul(h, self.recurrent[k], precision="highest")
        reset, keep = jnp.split(jax.nn.sigmoid(gates[: 2 * d] + recurrent[: 2 * d]), 2)
        new = jnp.tanh(gates[2 * d :] + reset * (recurrent[2 * d :] + self.bias[k]))
        return new + keep * (h - new)

    def _add(self, k: int, x: Array, h: Array) -> Array:
        """What the next layer gets; the first one stands alone where its inputs are the gates themselves."""
        return x + h if self.embedding or k else h


@component
class GRU(SequentialAnsatz):
    """log ψ(σ) = Σ_j [½ log p(t_j | h_j) + i φ(t_j, h_j)], h_j = GRU(h_{j-1}, t_{j-1}, j), φ = π tanh.

    r, z = sigmoid(W x + U h); h ← (1 - z) tanh(W x + r ∘ (U h + b)) + z h. x is the letter before and the place in the
    sequence: in tables of the gates, or with `embedding` in tables of that width, then a dense layer to `features`
    with tanh and LayerNorm. Layers after the first, or all with `embedding`, add to their input. Wide form: embedding
    32, features 256, 3 layers, 2 head layers of 256: 1.46 million parameters on 12 sites.
    Source: Hibat-Allah et al., Phys. Rev. Research 2, 023358 (2020), arXiv:2002.02973.
    """

    features: int = param(32, ge=1, le=4096, title="Features", help="Width of the recurrent state.")
    layers: int = param(1, ge=1, le=32, title="Layers", help="Recurrent layers.")
    embedding: int = param(
        0, ge=0, le=4096, title="Embedding", help="Width of the tables of letters and places; 0: they are the gates'."
    )
    head: int = param(32, ge=1, le=4096, title="Head width", help="Units of every layer of the two heads.")
    head_layers: int = param(1, ge=0, le=8, title="Head layers", help="Layers before the output of the two heads.")

    def network(self) -> _Net:
        letters = self.letters
        sizes = (letters.n_tokens, letters.n_letters, self.features, self.layers, self.embedding)
        return _Net(*sizes, self.readout(*[self.head] * self.head_layers), self.precision)
