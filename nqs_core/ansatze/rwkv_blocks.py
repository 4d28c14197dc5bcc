"""The blocks of RWKV-7: time mixing with a recurrent state and channel mixing, as pure functions of their parameters.

Everything is written for one sequence; its first axis is time. Sequences of one token make the recurrent form. Matrices
have the orientation of the published files, and every leaf their name there without the axes of length 1.
Source: Peng et al., arXiv:2503.14456; the published layout is called x070.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Block = Mapping[str, Any]  # parameters of one layer

DECAY = -0.5  # the slowest decay is exp(-exp(DECAY)), per token
HEAD_EPSILON = 64e-5  # of the normalisation of heads; of all others it is LAYER_EPSILON
LAYER_EPSILON = 1e-5


class Carry(NamedTuple):
    """What a layer remembers: the last inputs of its two halves, and the state of every head."""

    time: Float[Array, " width"]
    state: Float[Array, "heads head_size head_size"]  # rows go with values, columns with keys
    channel: Float[Array, " width"]


def product(matrix: Float[Array, "n_out n_in"], x: Float[Array, "length n_in"]) -> Float[Array, "length n_out"]:
    """W x for every token, summed in the precision of x whatever that of the matrix is."""
    return jnp.einsum("oi,ti->to", matrix, x.astype(matrix.dtype), precision="highest", preferred_element_type=x.dtype)


def layer_norm(p: Block, x: Float[Array, "length width"]) -> Float[Array, "length width"]:
    """(x - mean) / √(variance + ε) over the last axis, then scale and shift."""
    return _normalised(x, LAYER_EPSILON) * _row(p["weight"], x) + _row(p["bias"], x)


def _row(vector: Float[Array, " n"], x: Float[Array, "length n"]) -> Float[Array, "1 n"]:
    """The same for every token, in the precision of x."""
    return vector.astype(x.dtype)[None]


def _normalised(x: Float[Array, "*batch n"], epsilon: float) -> Float[Array, "*batch n"]:
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + epsilon)


def _shifted(last: Float[Array, " width"], x: Float[Array, "length width"]) -> Float[Array, "length width"]:
    """Each token's predecessor minus itself."""
    return jnp.concatenate([last.astype(x.dtype)[None], x[:-1]]) - x


def time_mixing(
    p: Block,
    carry: Carry,
    x: Float[Array, "length width"],
    v_first: Float[Array, "length width"],
    first: Bool[Array, ""],
) -> tuple[Carry, Float[Array, "length width"], Float[Array, "length width"]]:
    """S ← S diag(w) - (S κ)(κ ∘ a)ᵀ + v kᵀ and y = S r per head; the output is W_o (y g).

    `v_first`: values of the first layer, of which those after it take a part; anything where this is the `first` one.
    Returns the carry, the output and `v_first`.
    """
    change = _shifted(carry.time, x)
    mixed = {name: x + _row(p[f"x_{name}"], x) * change for name in "rwkvag"}
    r, k, v = (product(p[name]["weight"], mixed[name[0]]) for name in ("receptance", "key", "value"))

    def gate(name: str) -> Array:
        low = product(p[f"{name}1"].T, mixed[name])
        low = jnp.tanh(low) if name == "w" else low
        return jax.nn.sigmoid(_row(p[f"{name}0"], x) + product(p[f"{name}2"].T, low))

    w, a = jnp.exp(-jnp.exp(jnp.asarray(DECAY, x.dtype)) * gate("w")), gate("a")
    g = product(p["g2"].T, jax.nn.sigmoid(product(p["g1"].T, mixed["g"])))
    v_first = jnp.where(first, v, v_first)
    if "v0" in p:  # a network of one layer has no such gates
        v = v + (v_first - v) * gate("v")
    heads = carry.state.shape[:2]

    def by_head(x: Array) -> Float[Array, "length heads head_size"]:
        return x.reshape(-1, *heads)

    kappa = by_head(k * _row(p["k_k"], x))
    kappa = kappa * jax.lax.rsqrt(jnp.maximum(jnp.sum(kappa**2, axis=-1, keepdims=True), 1e-24))
    k = k * (1 + (a - 1) * _row(p["k_a"], x))
    r, w, k, v, a = map(by_head, (r, w, k, v, a))
    state, y = recurrence(carry.state, r, w, k, v, kappa, a)
    y = _normalised(y, HEAD_EPSILON).reshape(x.shape)
    y = y * _row(p["ln_x"]["weight"], x) + _row(p["ln_x"]["bias"], x)
    bonus = jnp.sum(r * k * p["r_k"].astype(x.dtype)[None], axis=-1, keepdims=True) * v
    out = product(p["output"]["weight"], (y + bonus.reshape(x.shape)) * g)
    return carry._replace(time=x[-1], state=state), out, v_first


def recurrence(
    state: Float[Array, "heads head_size head_size"], *rows: Float[Array, "length heads head_size"]
) -> tuple[Float[Array, "heads head_size head_size"], Float[Array, "length heads head_size"]]:
    """The states' update and read-out, token after token; `rows` are r, w, k, v, κ, a."""

    def one(state: Array, row: tuple[Array, ...]) -> tuple[Array, Array]:
        r, w, k, v, kappa, a = row
        read = _read(state, kappa)
        state = state * w[:, None] - read[..., None] * (kappa * a)[:, None] + v[..., None] * k[:, None]
        return state, _read(state, r)

    if len(rows[0]) == 1:
        state, y = one(state, tuple(row[0] for row in rows))
        return state, y[None]
    return jax.lax.scan(one, state, rows)


def _read(state: Float[Array, "heads n n"], x: Float[Array, "heads n"]) -> Float[Array, "heads n"]:
    return jnp.einsum("hvk,hk->hv", state, x, precision="highest")


def channel_mixing(
    p: Block, carry: Carry, x: Float[Array, "length width"]
) -> tuple[Carry, Float[Array, "length width"]]:
    """W_v relu(W_k (x + m ∘ (x' - x)))², where x' is the previous token's x."""
    k = product(p["key"]["weight"], x + _row(p["x_k"], x) * _shifted(carry.channel, x))
    return carry._replace(channel=x[-1]), product(p["value"]["weight"], jax.nn.relu(k) ** 2)


def block(
    p: Block,
    carry: Carry,
    x: Float[Array, "length width"],
    v_first: Float[Array, "length width"],
    first: Bool[Array, ""],
) -> tuple[Carry, Float[Array, "length width"], Float[Array, "length width"]]:
    """Both halves with their normalisations and residuals. Returns the carry, the output and `v_first`."""
    carry, out, v_first = time_mixing(p["att"], carry, layer_norm(p["ln1"], x), v_first, first)
    x = x + out
    carry, out = channel_mixing(p["ffn"], carry, layer_norm(p["ln2"], x))
    return carry, x + out, v_first


def stack(
    params: Block, carries: Carry, x: Float[Array, "length width"], remat: bool = False
) -> tuple[Carry, Float[Array, "length width"]]:
    """All layers with the normalisations before the first and after the last one.

    Args:
        params: `ln0`, `ln_out`, `blocks` and, where there are several layers, `mixes`: the gates of the values of all
            layers but the first. Both are stacked along a first axis, so that one layer is compiled and not each.
        carries: of all layers, stacked.
        x: embedded tokens, which follow those that made `carries`.
        remat: whether a backward pass keeps the inputs of layers only, and computes all else again.
    """

    def one(state: tuple[Array, Array], layer: tuple[Any, Any, Carry, Array]) -> tuple[tuple[Array, Array], Carry]:
        p, gates, carry, first = layer
        carry, x, v_first = block({**p, "att": {**p["att"], **gates}}, carry, *state, first)
        return (x, v_first), carry

    x = layer_norm(params["ln0"], x)
    first = jnp.arange(len(carries.time)) == 0
    gates = jax.tree.map(lambda rows: jnp.concatenate([jnp.zeros_like(rows[:1]), rows]), params.get("mixes", {}))
    run = jax.checkpoint(one, prevent_cse=False) if remat else one
    (x, _), carries = jax.lax.scan(
        run, (x, jnp.zeros_like(x)), (params["blocks"], gates.get("att", {}), carries, first)
    )
    return carries, layer_norm(params["ln_out"], x)


def carries(depth: int, width: int, head_size: int, dtype: Any) -> Carry:
    """Of all layers before the first token, stacked."""
    heads = width // head_size
    nothing = jnp.zeros((depth, width), dtype)
    return Carry(nothing, jnp.zeros((depth, heads, head_size, head_size), dtype), nothing)
