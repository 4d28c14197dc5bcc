"""Forward passes for the moves that count, and for no others."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Inexact, Int

from nqs_core.types import Params, Sigma

LogPsi = Callable[[Params, Sigma], Inexact[Array, ""]]

ON_CPU = 64  # forward passes at once: more would not stay in the cache, fewer would not fill a loop


def flip(sigma: Sigma, move: Int[Array, " move_size"]) -> Sigma:
    """`sigma` with the sites of one move flipped; -1 pads."""
    return sigma.at[jnp.where(move < 0, sigma.size, move)].multiply(-1, mode="drop")


def log_psi_of_moves(
    log_psi: LogPsi,
    params: Params,
    sigma: Sigma,
    moves: Int[Array, "n_moves move_size"],
    allowed: Bool[Array, " n_moves"],
    block: int,
) -> Inexact[Array, " n_moves"]:
    """log ψ(flip(σ, moves[k])) of the allowed moves, 0 for the others.

    Under `jax.vmap` over configurations the allowed moves of all of them are put in one list, which is walked in blocks
    to its end: as many forward passes as there are allowed moves, up to one block, whatever their number. `block`: at
    most so many at once.
    """

    @jax.custom_batching.custom_vmap
    def one(params: Params, sigma: Any, moves: Any, allowed: Any) -> Any:
        return _walk(log_psi, block, params, sigma[None], moves[None], allowed[None])[0]

    def many(axis_size: int, batched: Any, params: Params, sigma: Any, moves: Any, allowed: Any) -> tuple[Any, bool]:
        if any(jax.tree.leaves(batched[0])):  # several sets of parameters: nothing to share
            axes = jax.tree.map(lambda b: 0 if b else None, batched)
            plain = jax.vmap(lambda *args: _every(log_psi, *args), tuple(axes))
            return plain(params, sigma, moves, allowed), True
        full = [
            x if is_batched else jnp.broadcast_to(x, (axis_size, *x.shape))
            for x, is_batched in zip((sigma, moves, allowed), batched[1:], strict=True)
        ]
        return _walk(log_psi, block, params, *full), True

    one.def_vmap(many)
    return one(params, sigma, moves, allowed)


def _every(log_psi: LogPsi, params: Params, sigma: Any, moves: Any, allowed: Any) -> Any:
    values = jax.vmap(lambda move: log_psi(params, flip(sigma, move)))(moves)
    return jnp.where(allowed, values, 0)


def _walk(log_psi: LogPsi, block: int, params: Params, sigma: Any, moves: Any, allowed: Any) -> Any:
    """`log_psi_of_moves` for several configurations: every argument but `params` has one more axis, the first."""
    n, n_moves = allowed.shape
    size = n * n_moves
    block = min(size, block, ON_CPU) if jax.default_backend() == "cpu" else min(size, block)
    listed = jnp.nonzero(allowed.reshape(-1), size=-(-size // block) * block, fill_value=size)[0]
    count = jnp.sum(allowed, dtype=jnp.int32)
    dtype = jax.eval_shape(log_psi, params, sigma[0]).dtype

    def evaluate(index: Int[Array, ""]) -> Inexact[Array, ""]:
        k = jnp.minimum(index, size - 1)  # the rest of the last block
        return log_psi(params, flip(sigma[k // n_moves], moves[k // n_moves, k % n_moves]))

    def body(carry: tuple[Any, Any]) -> tuple[Any, Any]:
        start, out = carry
        index = jax.lax.dynamic_slice(listed, (start,), (block,))
        return start + block, out.at[index].set(jax.vmap(evaluate)(index), mode="drop")

    start = (jnp.zeros((), jnp.int32), jnp.zeros(size, dtype))
    _, out = jax.lax.while_loop(lambda carry: carry[0] < count, body, start)
    return out.reshape(n, n_moves)
