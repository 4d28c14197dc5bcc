"""Work for the moves that count, and for no others."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Inexact, Int

from nqs_core.batching import in_blocks
from nqs_core.types import Params, Sigma

Evaluate = Callable[[Any, Any, Any], Any]

# Moves at once, few and many: more would not stay in the cache, fewer would not fill a loop, and the last block of few
# moves is often half empty.
ON_CPU, FEW = (64, 128), 1024


def flip(sigma: Sigma, move: Int[Array, " move_size"]) -> Sigma:
    """`sigma` with the sites of one move flipped; -1 pads."""
    return sigma.at[jnp.where(move < 0, sigma.size, move)].multiply(-1, mode="drop")


def over_allowed(
    evaluate: Evaluate,
    shared: Params,
    own: Any,
    moves: Int[Array, "n_moves move_size"],
    allowed: Bool[Array, " n_moves"],
    block: int,
) -> Inexact[Array, " n_moves"]:
    """evaluate(shared, own, moves[k]) of the allowed moves, 0 for the others.

    Under `jax.vmap` over configurations the allowed moves of all of them are put in one list, which is walked in blocks
    to its end: as many evaluations as there are allowed moves, up to one block, whatever their number. `own`: what
    belongs to one configuration; `block`: at most so many at once.
    """

    @jax.custom_batching.custom_vmap
    def one(shared: Any, own: Any, moves: Any, allowed: Any) -> Any:
        own, moves, allowed = jax.tree.map(lambda x: x[None], (own, moves, allowed))
        return _walk(evaluate, block, shared, own, moves, allowed)[0]

    def many(axis_size: int, batched: Any, shared: Any, *each: Any) -> tuple[Any, bool]:
        if any(jax.tree.leaves(batched[0])):  # several sets of parameters: nothing to put together
            axes = jax.tree.map(lambda b: 0 if b else None, tuple(batched))
            return jax.vmap(lambda *args: _every(evaluate, *args), axes)(shared, *each), True

        def full(x: Array, is_batched: bool) -> Array:
            return x if is_batched else jnp.broadcast_to(x, (axis_size, *x.shape))

        return _walk(evaluate, block, shared, *jax.tree.map(full, each, tuple(batched[1:]))), True

    one.def_vmap(many)
    return one(shared, own, moves, allowed)


def in_own_blocks(function: Callable[[Any, Any], Any], shared: Any, own: Any, block: int) -> Any:
    """function(shared, own); under `jax.vmap` over `own`, so many configurations at once, whatever the caller's number.

    For work that takes far more memory than the caller knows.
    """

    @jax.custom_batching.custom_vmap
    def one(shared: Any, own: Any) -> Any:
        return function(shared, own)

    def many(axis_size: int, batched: Any, shared: Any, own: Any) -> tuple[Any, Any]:
        if any(jax.tree.leaves(batched[0])) or not all(jax.tree.leaves(batched[1])):
            axes = jax.tree.map(lambda b: 0 if b else None, tuple(batched))
            out = jax.vmap(function, axes)(shared, own)
        else:
            out = in_blocks(lambda own: function(shared, own), own, block)
        return out, jax.tree.map(lambda _: True, out)

    one.def_vmap(many)
    return one(shared, own)


def _every(evaluate: Evaluate, shared: Any, own: Any, moves: Any, allowed: Any) -> Any:
    return jnp.where(allowed, jax.vmap(lambda move: evaluate(shared, own, move))(moves), 0)


def _walk(evaluate: Evaluate, block: int, shared: Any, own: Any, moves: Any, allowed: Any) -> Any:
    """`over_allowed` for several configurations: every argument after `shared` has one more axis, the first."""
    n, n_moves = allowed.shape
    size = n * n_moves
    if jax.default_backend() == "cpu":
        block = min(block, ON_CPU[size > FEW])
    block = min(size, block)
    listed = jnp.nonzero(allowed.reshape(-1), size=-(-size // block) * block, fill_value=size)[0]
    count = jnp.sum(allowed, dtype=jnp.int32)

    def at(index: Int[Array, ""]) -> Inexact[Array, ""]:
        k = jnp.minimum(index, size - 1)  # the rest of the last block
        return evaluate(shared, jax.tree.map(lambda x: x[k // n_moves], own), moves[k // n_moves, k % n_moves])

    def body(carry: tuple[Any, Any]) -> tuple[Any, Any]:
        start, out = carry
        index = jax.lax.dynamic_slice(listed, (start,), (block,))
        return start + block, out.at[index].set(jax.vmap(at)(index), mode="drop")

    dtype = jax.eval_shape(at, jnp.zeros((), listed.dtype)).dtype
    _, out = jax.lax.while_loop(
        lambda carry: carry[0] < count, body, (jnp.zeros((), jnp.int32), jnp.zeros(size, dtype))
    )
    return out.reshape(n, n_moves)
