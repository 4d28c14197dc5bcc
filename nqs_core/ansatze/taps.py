"""Inputs of a network's layers and the signals that come back to them, for one configuration."""

import functools
import math
import re
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, Int8

from nqs_core.ansatze.base import Ansatz
from nqs_core.types import Params, Shapes


class Layer(NamedTuple):
    """A dense layer or a convolution: the same weights at every position."""

    positions: int
    n_in: int
    n_out: int
    shape: tuple[int, ...]  # of the output
    dtype: Any


class Tape(NamedTuple):
    """Per configuration: inputs and signals of the layers asked for, gradients of the leaves asked for."""

    inputs: dict[str, Inexact[Array, "positions n_in"]]
    signals: dict[str, Inexact[Array, "n_rows positions n_out"]]
    rest: dict[str, Inexact[Array, "n_rows size"]]


def leaves(params: Shapes) -> dict[str, Any]:
    """The leaves of `params` by path."""
    flat = jax.tree_util.tree_flatten_with_path(params["params"])[0]
    return {"/".join(str(k.key) for k in path): leaf for path, leaf in flat}


def kind(path: str) -> str:
    """A path without the numbers of layers: convs/conv/kernel for convs_3/conv/kernel."""
    return re.sub(r"_\d+(?=/|$)", "", path)


def node(params: Shapes, path: str) -> dict[str, Any]:
    """What stands at a path."""
    out: Any = params["params"]
    for name in path.split("/"):
        out = out[name]
    return out


def layers(ansatz: Ansatz, params: Shapes) -> dict[str, Layer]:
    """The layers that are called once, with parameters of the type of their output; `params` may be shapes.

    None where layers are called inside a loop or for many configurations, as in a projected network: their inputs are
    out of reach there.
    """
    flat, structure = jax.tree.flatten(params)
    return dict(_layers(ansatz, structure, tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in flat)))


@functools.lru_cache(maxsize=64)
def _layers(ansatz: Ansatz, structure: Any, flat: tuple[Any, ...]) -> dict[str, Layer]:
    """By shapes: a form asks for them with every key press."""
    params = jax.tree.unflatten(structure, flat)
    seen: dict[str, list[tuple[Array, Array]]] = {}
    sigma = jax.ShapeDtypeStruct((ansatz.lattice.n_sites,), jnp.int8)
    found: dict[str, Layer] = {}

    def run(p: Params, s: Int8[Array, " n_sites"]) -> Any:
        outer = _trace(s)
        out = intercept(lambda: ansatz.log_psi(p, s), None, seen)
        for path, calls in seen.items():
            x, y = calls[0]
            kernel = node(p, path)["kernel"]
            # A complex signal on real weights would need the real part before the product: not separable.
            alike = jnp.iscomplexobj(y) == jnp.iscomplexobj(kernel)
            if len(calls) == 1 and alike and _trace(x) is outer and _trace(y) is outer:
                n_in, n_out = math.prod(kernel.shape[:-1]), kernel.shape[-1]
                found[path] = Layer(math.prod(y.shape[:-1]), n_in, n_out, y.shape, y.dtype)
        return out

    jax.eval_shape(run, params, sigma)
    return found


def _trace(x: Any) -> Any:
    """What a traced value belongs to; values of an inner transformation belong to another."""
    return getattr(x, "_trace", None)


def intercept(apply: Any, added: dict[str, Array] | None, seen: dict[str, list[tuple[Array, Array]]]) -> Any:
    """Run `apply` and record inputs and outputs of its layers; add `added` to the outputs of the layers it names."""

    def interceptor(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        module = context.module
        plain = isinstance(module, nn.Dense) or (isinstance(module, nn.Conv) and module.feature_group_count == 1)
        if not (plain and context.method_name == "__call__"):
            return call(*args, **kwargs)
        path = "/".join(module.path)
        out = call(*args, **kwargs)
        seen.setdefault(path, []).append((_columns(module, args[0]), out))
        return out + added[path] if added is not None and path in added else out

    with nn.intercept_methods(interceptor):
        return apply()


def _columns(module: nn.Module, x: Array) -> Array:
    """What the weights multiply at every position: (positions, n_in); windows of the input for a convolution."""
    if isinstance(module, nn.Conv):
        size = (module.kernel_size,) if isinstance(module.kernel_size, int) else tuple(module.kernel_size)
        moved = jnp.moveaxis(x, -1, 0)[None]
        x = jnp.moveaxis(jax.lax.conv_general_dilated_patches(moved, size, (1,) * len(size), "VALID")[0], 0, -1)
    return x.reshape(-1, x.shape[-1])


def tape(
    ansatz: Ansatz,
    params: Params,
    tapped: dict[str, Layer],
    names: tuple[str, ...],
    sigma: Int8[Array, " n_sites"],
) -> Tape:
    """One backward pass (two where log ψ is complex) to the outputs of `tapped` layers and to the leaves `names`."""
    structure = jax.tree.structure(params["params"])
    every = leaves(params)

    def log_psi(added: dict[str, Array], chosen: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        merged = jax.tree.unflatten(structure, [chosen.get(name, leaf) for name, leaf in every.items()])
        seen: dict[str, list[tuple[Array, Array]]] = {}
        out = intercept(lambda: ansatz.log_psi({**params, "params": merged}, sigma), added, seen)
        return out, {path: seen[path][0][0] for path in tapped}

    zeros = {path: jnp.zeros(layer.shape, layer.dtype) for path, layer in tapped.items()}
    out, pullback, inputs = jax.vjp(log_psi, zeros, {name: every[name] for name in names}, has_aux=True)
    seeds = [1.0, -1.0j] if jnp.iscomplexobj(out) else [1.0]  # JAX transposes without conjugation: -i picks Im
    pulled = [pullback(jnp.asarray(seed, out.dtype)) for seed in seeds]
    rows = len(seeds)
    signals = {
        path: jnp.stack([p[0][path] for p in pulled]).reshape(rows, layer.positions, layer.n_out)
        for path, layer in tapped.items()
    }
    return Tape(inputs, signals, {name: jnp.stack([p[1][name].reshape(-1) for p in pulled]) for name in names})
