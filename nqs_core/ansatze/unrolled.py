"""Networks of convolutions on small lattices, evaluated as matrix products on arrays (channels, cells).

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

PAYS = 4.5  # largest ratio of cells to weights of a filter: a product does its operations so much faster on a CPU


class Unrolled(NamedTuple):
    """The parameters, and of every convolution the matrix from all channels and cells to all channels and cells."""

    params: Params
    matrices: dict[str, Float[Array, "n_in n_out"]]


def pays(extent: tuple[int, ...], kernel: tuple[int, ...]) -> bool:
    """Whether the products are faster, which do more operations by the ratio of cells to weights of a filter."""
    return jax.default_backend() == "cpu" and math.prod(extent) <= PAYS * math.prod(kernel)


@partial(jax.jit, static_argnames=("extent", "periodicity"))
def unroll(params: Params, extent: tuple[int, ...], periodicity: tuple[bool, ...]) -> Unrolled:
    """The matrices of the layers `Convolution`, which look at `extent` cells; linear in their parameters."""
    matrices = {}
    for path, layer in _convolutions(params["params"], ()):
        kernel = layer["kernel"]
        n_in, n_out = kernel.shape[-2:]
        net = Convolution(n_out, kernel.shape[:-2], kernel.dtype)
        linear = {"params": {"conv": {"kernel": kernel, "bias": jnp.zeros_like(layer["bias"])}}}

        def image(unit: Array, net: Convolution = net, linear: Any = linear) -> Array:
            wide = pad(jnp.moveaxis(unit, 0, -1), net.kernel[0] // 2, periodicity)
            out: Any = net.apply(linear, wide)
            return jnp.moveaxis(out, -1, 0)

        units = jnp.eye(n_in * math.prod(extent), dtype=kernel.dtype).reshape(-1, n_in, *extent)
        matrices[path] = jax.vmap(image)(units).reshape(len(units), -1)
    return Unrolled(params, matrices)


def apply(module: nn.Module, unrolled: Unrolled, x: Float[Array, "*extent n"]) -> Inexact[Array, ""]:
    """The result of `module`: normalised convolutions with a method `surround` before each, then a method `readout`."""

    extent = x.shape[:-1]

    def interceptor(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        layer, method = context.module, context.method_name
        if method == "surround":
            return args[0]
        if method == "readout":
            return call(args[0].T.reshape(*extent, -1))
        if method == "__call__" and isinstance(layer, Convolution):
            matrix = unrolled.matrices["/".join(layer.path)]
            product = jnp.matmul(args[0].reshape(-1), matrix, precision="highest")
            return product.reshape(-1, math.prod(extent)) + layer.variables["params"]["conv"]["bias"][:, None]
        if method == "__call__" and isinstance(layer, nn.LayerNorm):
            return _normalise(layer, args[0])
        return call(*args, **kwargs)

    with nn.intercept_methods(interceptor):
        out: Any = module.apply(unrolled.params, x.reshape(-1, x.shape[-1]).T)
    return out


def _normalise(layer: nn.LayerNorm, x: Float[Array, "channels cells"]) -> Float[Array, "channels cells"]:
    weights = layer.variables["params"]
    centred = x - jnp.mean(x, axis=0, keepdims=True)
    scale = jax.lax.rsqrt(jnp.mean(centred**2, axis=0, keepdims=True) + layer.epsilon)
    return centred * scale * weights["scale"][:, None] + weights["bias"][:, None]


def _convolutions(tree: Any, path: tuple[str, ...]) -> list[tuple[str, Any]]:
    """The path of every `Convolution` in a tree of parameters, and the parameters of its filter."""
    if "conv" in tree:
        return [("/".join(path), tree["conv"])]
    inner = ((name, value) for name, value in tree.items() if hasattr(value, "items"))
    return [found for name, value in inner for found in _convolutions(value, (*path, name))]
