"""Fresh parameters of RWKV-7, and where those of a published file go."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from nqs_core.ansatze.published import Place, Published, of_layers
from nqs_core.ansatze.rwkv_blocks import Block
from nqs_core.types import Shapes


class Sizes(NamedTuple):
    """Sizes of the network; `ranks` are those of the gates w, a, v and g, `hidden` that of the channel mixing."""

    vocabulary: int
    width: int
    depth: int
    head_size: int
    hidden: int
    ranks: tuple[int, int, int, int]


def parts(sizes: Sizes, dtype: Any) -> dict[str, Callable[[PRNGKeyArray], Any]]:
    """Fresh parameters by part, each from a key: embedding, normalisations and layers, as `rwkv_blocks.stack` has them.

    As the published initial values, except that no matrix starts at 0: a natural gradient would not see what is
    before it.
    """

    made: dict[str, Callable[[PRNGKeyArray], Any]] = {
        "emb": lambda key: {"weight": jax.random.normal(key, (sizes.vocabulary, sizes.width), dtype)},
        "ln0": lambda key: _norm((sizes.width,), dtype),
        "blocks": lambda key: _blocks(key, sizes, dtype),
        "ln_out": lambda key: _norm((sizes.width,), dtype),
    }
    return made | ({"mixes": lambda key: _mixes(key, sizes, dtype)} if sizes.depth > 1 else {})


def published(shapes: Shapes, heads: str) -> Published:
    """The layout x070 of parameters whose amplitude head is a dense layer at the path `heads`.

    Embedding and head go with the vocabulary. Files may hold gates of the values in the first layer too, where they do
    nothing.
    """
    stack = {name: leaf for name, leaf in shapes["params"].items() if name in (*SHARED, *STACKS)}
    places = of_layers({"params": stack}, STACKS, "blocks")
    inside = {f"ln0.{name}": f"blocks.0.ln0.{name}" for name in ("weight", "bias")}
    places = {inside.get(name, name): place for name, place in places.items()}
    path = tuple(heads.split("/"))
    kernel: Any = shapes["params"]
    for name in path:
        kernel = kernel[name]
    places["head.weight"] = Place(path, None, tuple(kernel.shape[::-1]), transposed=True)
    return Published(places, frozenset({"emb.weight", "head.weight"}), UNUSED)


def _norm(shape: tuple[int, ...], dtype: Any) -> Block:
    return {"weight": jnp.ones(shape, dtype), "bias": jnp.zeros(shape, dtype)}


def _matrices(key: PRNGKeyArray, depth: int, shapes: Mapping[str, tuple[int, int]], dtype: Any) -> dict[str, Array]:
    """Uniform numbers in ±gain / √n_in for matrices (n_out, n_in) of every layer; drawn at once, to compile faster."""
    sizes = [n_out * n_in for n_out, n_in in shapes.values()]
    drawn = jax.random.uniform(key, (depth, sum(sizes)), dtype, -1.0, 1.0)
    out, start = {}, 0
    for (name, shape), size in zip(shapes.items(), sizes, strict=True):
        numbers = drawn[:, start : start + size].reshape(depth, *shape)
        out[name] = numbers * jnp.asarray(GAINS.get(name, 0.3) / shape[1] ** 0.5, dtype)
        start += size
    return out


def _low_rank(sizes: Sizes, names: str) -> dict[str, tuple[int, int]]:
    ranks = {name: rank for name, rank in zip("wavg", sizes.ranks, strict=True) if name in names}
    first = {f"{name}1": (rank, sizes.width) for name, rank in ranks.items()}
    return first | {f"{name}2": (sizes.width, rank) for name, rank in ranks.items()}


def _mixes(key: PRNGKeyArray, sizes: Sizes, dtype: Any) -> Block:
    drawn = _matrices(key, sizes.depth - 1, _low_rank(sizes, "v"), dtype)
    transposed = {name: jnp.swapaxes(matrix, 1, 2) for name, matrix in drawn.items()}
    return {"att": {"v0": jnp.ones((sizes.depth - 1, sizes.width), dtype), **transposed}}


def _blocks(key: PRNGKeyArray, sizes: Sizes, dtype: Any) -> Block:
    """All layers; initial mixing and decay depend on the number of the layer."""
    depth, width = sizes.depth, sizes.width
    layer, place = jnp.arange(depth)[:, None], jnp.arange(width)[None] / width
    done, left = layer / max(1, depth - 1), 1 - layer / depth
    square = dict.fromkeys(("receptance", "key", "value", "output"), (width, width))
    channel = {"ffn_key": (sizes.hidden, width), "ffn_value": (width, sizes.hidden)}
    drawn = _matrices(key, depth, {**square, **channel, **_low_rank(sizes, "wag")}, dtype)

    def rows(value: Any) -> Float[Array, "depth width"]:
        return jnp.broadcast_to(jnp.asarray(value), (depth, width)).astype(dtype)

    att: dict[str, Any] = {f"x_{name}": rows(1 - place ** (power * left)) for name, power in MIXES.items()}
    att["x_k"] = rows(1 - place ** (0.9 * left) * (1 - 0.4 * done))
    att["x_v"] = rows(1 - place ** (0.4 * left) * (1 - 0.6 * done))
    att["w0"] = rows(-6.5 + 5 * (place * width / max(1, width - 1)) ** (0.85 + done**0.5))
    att |= {"a0": rows(0.0), "k_k": rows(0.85), "k_a": rows(1.0)}
    att["r_k"] = jnp.zeros((depth, width // sizes.head_size, sizes.head_size), dtype)
    att |= {name: jnp.swapaxes(drawn[name], 1, 2) for name in _low_rank(sizes, "wag")}
    att |= {name: {"weight": drawn[name]} for name in square}
    att["ln_x"] = _norm((depth, width), dtype)
    ffn = {"x_k": rows(1 - place ** (left**4)), **{k: {"weight": drawn[f"ffn_{k}"]} for k in ("key", "value")}}
    return {"ln1": _norm((depth, width), dtype), "ln2": _norm((depth, width), dtype), "att": att, "ffn": ffn}


STACKS = {"blocks": 0, "mixes": 1}  # numbers of their first layers
SHARED = ("emb", "ln0", "ln_out")
UNUSED = frozenset(f"blocks.0.att.v{k}" for k in range(3))
MIXES = {"r": 0.2, "w": 0.9, "a": 0.9, "g": 0.2}  # powers of the initial mixing in the first layer
GAINS: dict[str, float] = dict.fromkeys(("receptance", "key", "value", "ffn_key"), 0.5)
