"""How many floating-point operations a network takes for one configuration, from its program alone."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, Literal

from nqs_core.ansatze.memory import bodies, program, shapes_of

ELEMENTWISE = {"add", "add_any", "sub", "mul", "neg", "max", "min", "abs", "sign", "square", "integer_pow"}
REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "cumsum", "cumprod", "cummax"}
SPECIAL = {
    "div", "rem", "pow", "sqrt", "rsqrt", "cbrt", "exp", "exp2", "expm1", "log", "log1p", "logistic", "tanh", "erf",
    "erfc", "erf_inv", "sin", "cos", "tan", "sinh", "cosh", "atan2",
}  # fmt: skip


class Operations(NamedTuple):
    """Real floating-point operations; moving numbers about counts nothing.

    products: of matrix products and convolutions, a multiplication with its addition counts two; elements: sums and
    products of arrays element by element, and reductions; special: quotients, roots and transcendental functions, of
    which a complex one counts four.
    calls: matrix products, convolutions and reductions that wait for each other; these are no operations.
    """

    products: float = 0.0
    elements: float = 0.0
    special: float = 0.0
    calls: float = 0.0

    @property
    def total(self) -> float:
        """All operations."""
        return self.products + self.elements + self.special

    def times(self, factor: float | int) -> "Operations":
        """`factor` times as many."""
        return Operations(*(factor * x for x in self))

    def plus(self, other: "Operations") -> "Operations":
        """One after the other."""
        return Operations(*(x + y for x, y in zip(self, other, strict=True)))


class Effort(NamedTuple):
    """What a part of a step asks for.

    forwards: forward passes of one configuration, a backward pass counts two; caches, ratios, advances: calls of the
    local updates, for one configuration and one move; rounds: evaluations, each of many configurations at once, that
    wait for each other; beside: operations outside of the network.
    """

    forwards: float = 0.0
    caches: float = 0.0
    ratios: float = 0.0
    advances: float = 0.0
    rounds: float = 0.0
    beside: Operations = Operations()


class LocalOperations(NamedTuple):
    """Of the local updates, for one configuration and one move."""

    cache: Operations
    ratio: Operations
    advance: Operations


@functools.lru_cache(maxsize=64)
def forward(ansatz: Any) -> Operations:
    """log ψ of one configuration; what depends on the parameters alone is left out, since a batch shares it."""
    jaxpr = program(ansatz)
    return count(jaxpr, [*[False] * (len(jaxpr.invars) - 1), True])[0]


@functools.lru_cache(maxsize=64)
def local(ansatz: Any, move_size: int) -> LocalOperations:
    """From their programs where these do not hold the network itself, else by their cost in forward passes."""
    updates, network = ansatz.local_updates(), forward(ansatz)
    cost = updates.cost
    if cost.skips:
        return LocalOperations(*(network.times(x) for x in cost[:3]))
    prepared = jax.eval_shape(updates.prepare, shapes_of(ansatz))
    sigma = jax.ShapeDtypeStruct((ansatz.lattice.n_sites,), jnp.int8)
    move = jax.ShapeDtypeStruct((move_size,), jnp.int32)
    cache = jax.eval_shape(updates.cache, prepared, sigma)
    return LocalOperations(
        _of_own(updates.cache, prepared, sigma),
        _of_own(lambda p, own: updates.log_ratios(p, *own[:2], own[2][None]), prepared, (cache, sigma, move)),
        _of_own(lambda p, own: updates.advance(p, *own), prepared, (cache, sigma, move)),
    )


def _of_own(function: Any, shared: Any, own: Any) -> Operations:
    """function(shared, own), what depends on `own`."""
    jaxpr = jax.make_jaxpr(function)(shared, own).jaxpr
    n_shared = len(jax.tree.leaves(shared))
    return count(jaxpr, [k >= n_shared for k in range(len(jaxpr.invars))])[0]


def count(jaxpr: Jaxpr, varying: Sequence[bool]) -> tuple[Operations, list[bool]]:
    """The operations that depend on the `varying` inputs, and which results do.

    A loop of unknown length counts as one pass; of several branches the most expensive one counts.
    """
    known = {v for v, varies in zip(jaxpr.invars, varying, strict=True) if varies}

    def varies(v: Any) -> bool:
        return not isinstance(v, Literal) and v in known

    total = Operations()
    for equation in jaxpr.eqns:
        given = [varies(v) for v in equation.invars]
        if any(given):
            made, out = _equation(equation, given)
            total = total.plus(made)
            known |= {v for v, does in zip(equation.outvars, out, strict=True) if does}
    return total, [varies(v) for v in jaxpr.outvars]


def _equation(equation: Any, given: list[bool]) -> tuple[Operations, list[bool]]:
    name, every = equation.primitive.name, [True] * len(equation.outvars)
    if name == "while":
        inner = equation.params["body_jaxpr"].jaxpr
        return count(inner, [True] * len(inner.invars))[0], every
    inside = [body for value in equation.params.values() for body in bodies(value)]
    if not inside:
        return _plain(equation, name), every
    if name == "cond":
        return max((count(body, given[1:])[0] for body in inside), key=lambda made: made.total), every
    if name == "scan":
        # What is carried may come to depend on what varies.
        n_constants = equation.params["num_consts"]
        made = count(inside[0], [*given[:n_constants], *[True] * (len(given) - n_constants)])[0]
        return made.times(equation.params["length"]), every
    if len(inside[0].invars) != len(given):  # some primitives keep constants of their own
        return count(inside[0], [True] * len(inside[0].invars))[0], every
    return count(inside[0], given)


def _plain(equation: Any, name: str) -> Operations:
    out = equation.outvars[0].aval
    if not jnp.issubdtype(out.dtype, jnp.inexact):
        return Operations()  # indices and masks
    parts = 2 if jnp.issubdtype(out.dtype, jnp.complexfloating) else 1
    size = float(parts * math.prod(out.shape))
    if name == "dot_general":
        contracted = equation.params["dimension_numbers"][0][0]
        terms = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        return Operations(products=2 * parts * size * terms, calls=1)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        n_out = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
        return Operations(products=2 * parts * size * math.prod(kernel) / n_out, calls=1)
    if name in REDUCTIONS:
        return Operations(elements=float(parts * math.prod(equation.invars[0].aval.shape)), calls=1)
    if name in SPECIAL:
        return Operations(special=parts * size)
    return Operations(elements=size) if name in ELEMENTWISE else Operations()
