"""How much memory a network takes for one configuration, from its program alone."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr

from nqs_core.batching import at_once

REMAT = "remat2"  # the primitive of jax.checkpoint


@functools.lru_cache(maxsize=64)
def shapes_of(ansatz: Any) -> Any:
    """Shapes and types of the parameters; nothing is allocated. Shared: not to be changed."""
    return jax.eval_shape(lambda: ansatz.init(jax.random.key(0)))


@functools.lru_cache(maxsize=64)
def program(ansatz: Any) -> Jaxpr:
    """log ψ of one configuration as a program of the parameters and σ, which comes last."""
    sigma = jax.ShapeDtypeStruct((ansatz.lattice.n_sites,), jnp.int8)
    return jax.make_jaxpr(ansatz.log_psi)(shapes_of(ansatz), sigma).jaxpr


@functools.lru_cache(maxsize=64)
def activation_bytes(ansatz: Any) -> int:
    """All intermediate results of log ψ of one configuration: what a backward pass keeps, more than a forward pass.

    Of what it computes again it keeps the inputs, and holds one part at a time.
    """
    return max(1, sum(_results(program(ansatz))))


@functools.lru_cache(maxsize=64)
def cache_bytes(ansatz: Any) -> int:
    """What the local updates carry of one configuration."""
    updates = ansatz.local_updates()
    sigma = jax.ShapeDtypeStruct((ansatz.lattice.n_sites,), jnp.int8)
    cache = jax.eval_shape(lambda p, s: updates.cache(updates.prepare(p), s), shapes_of(ansatz), sigma)
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(cache))


def backward_at_once(ansatz: Any, n: int) -> int:
    """How many of `n` configurations go through a forward and a backward pass together."""
    return at_once(n, 2 * activation_bytes(ansatz), most=n)


def _results(jaxpr: Jaxpr) -> tuple[int, int]:
    """Bytes that are kept, and the most of a part that is computed again."""
    kept, again = 0, 0
    for equation in jaxpr.eqns:
        inner = [_results(body) for value in equation.params.values() for body in bodies(value)]
        if inner and equation.primitive.name != REMAT:
            kept += equation.params.get("length", 1) * sum(own for own, _ in inner)
            again = max(again, *(part for _, part in inner))
            continue
        kept += sum(math.prod(v.aval.shape) * v.aval.dtype.itemsize for v in equation.outvars)  # type: ignore[attr-defined]
        again = max([again, *(own + part for own, part in inner)])
    return kept, again


def bodies(value: Any) -> list[Jaxpr]:
    """The programs in a parameter of an equation."""
    if isinstance(value, ClosedJaxpr):
        return [value.jaxpr]
    if isinstance(value, Jaxpr):
        return [value]
    return [body for v in value for body in bodies(v)] if isinstance(value, (tuple, list)) else []
