"""Networks of convolutions on small lattices, evaluated as matrix products on arrays with configurations last.

For evaluations without derivatives on a CPU, which does well only where the last axis is long.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from nqs_core.ansatze.layers import Convolution, pad
from nqs_core.types import Params

# Largest ratio of cells to weights of a filter across a column: a product does its operations so much faster on a CPU.
PAYS = 4.5


class Unrolled(NamedTuple):
    """The parameters, and of every convolution the matrix from its columns of cells to one column."""

    params: Params
    matrices: dict[str, Float[Array, "n_out n_in"]]


def columns(extent: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """How many columns a lattice has, and the extent of one: axes after the first; a chain is one column."""
    return (extent[0], extent[1:]) if len(extent) > 1 else (1, extent)


def pays(extent: tuple[int, ...], kernel: tuple[int, ...]) -> bool:
    """Whether the products are faster, which do more operations by the ratio of cells to weights across a column."""
    column, weights = columns(extent)[1], columns(kernel)[1]
    return jax.default_backend() == "cpu" and math.prod(column) <= PAYS * math.prod(weights)


@partial(jax.jit, static_argnames=("extent", "periodicity"))
def unroll(params: Params, extent: tuple[int, ...], periodicity: tuple[bool, ...]) -> Unrolled:
    """The matrices of the layers `Convolution`, which look at `extent` cells; linear in their parameters."""
    column = columns(extent)[1]
    closed = periodicity[-len(column) :]
    matrices = {}
    for path, layer in _convolutions(params["params"], ()):
        kernel = layer["kernel"]
        n_in, n_out = kernel.shape[-2:]
        wide = columns(kernel.shape[:-2])[0]
        net = Convolution(n_out, kernel.shape[:-2], kernel.dtype)
        linear = {"params": {"conv": {"kernel": kernel, "bias": jnp.zeros_like(layer["bias"])}}}
        reach = kernel.shape[-3] // 2

        def image(unit: Array, net: Convolution = net, linear: Any = linear, reach: int = reach) -> Array:
            cells = jax.vmap(lambda x: pad(jnp.moveaxis(x, 0, -1), reach, closed))(unit)
            out: Any = net.apply(linear, cells if len(extent) > 1 else cells[0])
            return jnp.moveaxis(out.reshape(*column, -1), -1, 0).reshape(-1)

        units = jnp.eye(wide * n_in * math.prod(column), dtype=kernel.dtype).reshape(-1, wide, n_in, *column)
        matrices[path] = jax.vmap(image)(units).T
    return Unrolled(params, matrices)


def apply(
    module: Any, unrolled: Unrolled, x: Float[Array, "*extent n"], periodicity: tuple[bool, ...]
) -> Inexact[Array, ""]:
    """`readout` of the last of the `stages` of `module`, which are convolutions, each after `surround`, and LayerNorm.

    Under `jax.vmap`, also several times, all configurations are one array.
    """

    @jax.custom_batching.custom_vmap
    def together(unrolled: Unrolled, x: Array) -> Array:
        return _apply(module, unrolled, x, periodicity)

    def more(axis_size: int, batched: Any, unrolled: Unrolled, x: Array) -> tuple[Array, bool]:
        if any(jax.tree.leaves(batched[0])):  # several sets of parameters: nothing to put together
            axes = jax.tree.map(lambda b: 0 if b else None, tuple(batched))
            return jax.vmap(lambda unrolled, x: _apply(module, unrolled, x, periodicity), axes)(unrolled, x), True
        return together(unrolled, x.reshape(-1, *x.shape[2:])).reshape(axis_size, -1), True

    together.def_vmap(more)
    return together(unrolled, x[None])[0]


def _apply(module: Any, unrolled: Unrolled, x: Array, periodicity: tuple[bool, ...]) -> Array:
    """`apply` to x (batch, *extent, n), through arrays (columns, n, cells of a column, batch)."""
    extent = x.shape[1:-1]

    def convolve(layer: Convolution, x: Array) -> Array:
        matrix, bias = unrolled.matrices["/".join(layer.path)], layer.variables["params"]["conv"]["bias"]
        wide = matrix.shape[1] // math.prod(x.shape[1:3])
        padded = pad(x, wide // 2, periodicity[:1]).reshape(-1, x.shape[-1])
        size, length = matrix.shape[1], matrix.shape[1] // wide
        starts = range(0, len(x) * length, length)
        out = [jnp.matmul(matrix, padded[start : start + size], precision="highest") for start in starts]
        return jnp.stack(out).reshape(len(x), len(bias), *x.shape[2:]) + bias[None, :, None, None]

    def interceptor(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        layer, method = context.module, context.method_name
        if method == "surround":
            return args[0]
        if method == "__call__" and isinstance(layer, Convolution):
            return convolve(layer, args[0])
        if method == "__call__" and isinstance(layer, nn.LayerNorm):
            return _normalise(layer, args[0])
        return call(*args, **kwargs)

    first = x.reshape(len(x), columns(extent)[0], -1, x.shape[-1])
    with nn.intercept_methods(interceptor):
        stages: Any = module.apply(unrolled.params, jnp.moveaxis(first, (1, 3, 2, 0), (0, 1, 2, 3)), method="stages")
    last = jnp.moveaxis(stages[-1], (3, 0, 2, 1), (0, 1, 2, 3)).reshape(len(x), *extent, -1)
    return jax.vmap(lambda x: module.apply(unrolled.params, x, method="readout"))(last)


def _normalise(layer: nn.LayerNorm, x: Float[Array, "columns n cells batch"]) -> Float[Array, "columns n cells batch"]:
    weights = layer.variables["params"]
    centred = x - jnp.mean(x, axis=1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.mean(centred**2, axis=1, keepdims=True) + layer.epsilon)
    return centred * scale * weights["scale"][None, :, None, None] + weights["bias"][None, :, None, None]


def _convolutions(tree: Any, path: tuple[str, ...]) -> list[tuple[str, Any]]:
    """The path of every `Convolution` in a tree of parameters, and the parameters of its filter."""
    if "conv" in tree:
        return [("/".join(path), tree["conv"])]
    inner = ((name, value) for name, value in tree.items() if hasattr(value, "items"))
    return [found for name, value in inner for found in _convolutions(value, (*path, name))]
