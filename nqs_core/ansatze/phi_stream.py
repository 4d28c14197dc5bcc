"""The stream φ of a DysonNet: strictly local, so that its results are tables of the patterns of a few tokens."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from nqs_core.types import Params, Sigma

MOST_BITS = 13  # spins of a tabulated pattern: 8192 rows


class Table(NamedTuple):
    """What a block gives for every pattern: sources c of 2 r + 1 tokens, gates of as many as a block less sees."""

    source: Float[Array, "n_patterns d"]
    gate: Float[Array, "n_fewer d"]


def product(x: Array, y: Array) -> Array:
    """x y in full precision, which TF32 is not."""
    return jnp.matmul(x, y, precision="highest")


def row(vector: Float[Array, " d"], x: Array) -> Array:
    """`vector` along the last axis of x, in the shape that goes with x."""
    return vector.reshape(*(1,) * (x.ndim - 1), -1)


def embed(params: Params, tokens: Float[Array, "*n patch"]) -> Float[Array, "*n d"]:
    """W_E s + b_E."""
    p = params["params"]["embed"]
    x = product(tokens, p["kernel"])
    return x + row(p["bias"], x)


def normalise(block: dict[str, Any], phi: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    """LayerNorm over the channels."""
    centred = phi - jnp.mean(phi, axis=-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-6)
    return centred * scale * row(block["norm_scale"], phi) + row(block["norm_bias"], phi)


def gate(block: dict[str, Any], phi: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    """SiLU(W_v LN(φ)): how strongly a token scatters."""
    return jax.nn.silu(product(normalise(block, phi), block["gate"]))


def source(block: dict[str, Any], phi: Float[Array, "*wider d"]) -> Float[Array, "*n d"]:
    """SiLU(Σ_r K_r * (W_a LN(φ))_{i+r} + b), a filter for every channel; φ with the tokens around already."""
    a = product(normalise(block, phi), block["source"])
    taps = block["filter"]
    n = a.shape[-2] - len(taps) + 1
    y = sum(row(taps[t], a) * a[..., t : t + n, :] for t in range(len(taps)))
    return jax.nn.silu(y + row(block["filter_bias"], a))


def advance(block: dict[str, Any], phi: Float[Array, "*wider d"]) -> tuple[Float[Array, "*n d"], Float[Array, "*n d"]]:
    """c and φ + c of one block on the tokens whose neighbours are known."""
    c = source(block, phi)
    reach = len(block["filter"]) // 2
    return c, phi[..., reach : phi.shape[-2] - reach, :] + c


def on_ring(block: dict[str, Any], phi: Float[Array, "n d"]) -> tuple[Array, Array, Array]:
    """c, the gates and φ + c of one block on the whole ring."""
    reach = len(block["filter"]) // 2
    c, moved = advance(block, jnp.take(phi, np.arange(-reach, len(phi) + reach) % len(phi), axis=0))
    return c, gate(block, phi), moved


def tabulated(n_blocks: int, reach: int, patch: int) -> bool:
    """Whether all patterns of the last block are few enough for a table."""
    return patch * (2 * reach * n_blocks + 1) <= MOST_BITS


def tables(params: Params, n_blocks: int, reach: int, patch: int) -> tuple[Table, ...]:
    """The tables of every block; they depend on the parameters alone."""
    blocks = [params["params"][f"block_{k}"] for k in range(n_blocks)]

    def after(n: int, radius: int) -> tuple[Array | None, Array]:
        """The last source and φ of the middle token after n blocks, for every pattern."""
        phi, c = embed(params, _patterns(radius, patch, params["params"]["embed"]["kernel"].dtype)), None
        for block in blocks[:n]:
            c, phi = advance(block, phi)
        return c, phi

    out = []
    for k, block in enumerate(blocks):
        c, _ = after(k + 1, reach * (k + 1))
        assert c is not None
        out.append(Table(c[:, 0], gate(block, after(k, reach * k)[1][:, 0])))
    return tuple(out)


def _patterns(radius: int, patch: int, dtype: Any) -> Float[Array, "n_patterns n_tokens patch"]:
    n_bits = patch * (2 * radius + 1)
    bits = (np.arange(2**n_bits)[:, None] >> np.arange(n_bits)) & 1
    return jnp.asarray(1 - 2 * bits, dtype).reshape(-1, 2 * radius + 1, patch)


def codes(sigma: Sigma, patch: int) -> Int[Array, " n_tokens"]:
    """Bit k of a token is its spin k, 1 for down."""
    down = (sigma < 0).astype(jnp.int32).reshape(-1, patch)
    return jnp.sum(down << jnp.arange(patch)[None], axis=1, dtype=jnp.int32)


def pattern_index(codes: Int[Array, " n_tokens"], radius: int, patch: int) -> Int[Array, " n_tokens"]:
    """The row of a table for every token: the bits of its neighbours from the left to the right, lowest first."""
    rows = jnp.zeros_like(codes)
    for t in range(-radius, radius + 1):
        rows = rows | (jnp.roll(codes, -t) << (patch * (t + radius)))
    return rows
