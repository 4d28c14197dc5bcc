"""Local updates of autoregressive networks: what comes before a flipped site stays as it is.

This file need not be read to add a network.
"""

import functools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Inexact, Int

from nqs_core.ansatze.base import Cost, LocalUpdates, Prepared
from nqs_core.ansatze.compaction import flip
from nqs_core.ansatze.memory import shapes_of
from nqs_core.batching import at_once
from nqs_core.types import Params, Sigma

if TYPE_CHECKING:
    from nqs_core.ansatze.sequential import SequentialAnsatz

PREFIX_BYTES = 2**25  # of one configuration; where its prefixes take more, all is computed again
ON_CPU = 512  # moves at once: more would not stay in the cache


@functools.lru_cache(maxsize=64)
def carried_bytes(ansatz: Any) -> int:
    """What prefixes of one configuration take: the carry after every token, or one that grows."""
    carry = jax.tree.leaves(jax.eval_shape(ansatz.begin, shapes_of(ansatz)))
    times = 1 if ansatz.network().grows else ansatz.letters.n_tokens
    return times * sum(x.size * x.dtype.itemsize for x in carry)


class Prefixes(NamedTuple):
    """What the network said and carried at every token of a configuration.

    rows: ½ log p + i φ of every letter; terms: of the letters that are there; n_up: up spins before; carries: after
    every step, or after the last one where the carry grows.
    """

    log_sign: Inexact[Array, ""]
    rows: Inexact[Array, "n_tokens n_letters"]
    terms: Inexact[Array, " n_tokens"]
    n_up: Int[Array, " n_tokens"]
    carries: Any


@dataclass(frozen=True)
class PrefixReuse(LocalUpdates):
    """A move whose first site is in token j costs the n_tokens - 1 - j steps that follow.

    All flips cost (n - 1) / 2n of n forward passes of n tokens, and with the one for the cache (n + 1) / 2n. Moves of
    all configurations go together in blocks, ordered by j. `advance` starts anew: chains differ in their moves.
    """

    words: ClassVar[str] = "the steps after the first flipped site"
    ansatz: "SequentialAnsatz"
    cost: Cost

    def prepare(self, params: Params) -> Prepared:
        return self.ansatz.prepare(params)

    def cache(self, prepared: Prepared, sigma: Sigma) -> Prefixes:
        ansatz, n_up_of = self.ansatz, jnp.asarray(self.ansatz.letters.n_up)
        grows = ansatz.network().grows
        canonical, log_sign = ansatz.canonical(sigma)
        letters = ansatz.letters.encode(canonical)

        def step(state: Any, own: tuple[Array, Array]) -> tuple[Any, Any]:
            carry, last, n_up = state
            j, letter = own
            row, carry = ansatz.step(prepared, carry, j, last, n_up)
            return (carry, letter, n_up + n_up_of[j, letter]), (row, row[letter], n_up, None if grows else carry)

        zero = jnp.zeros((), jnp.int32)
        begin = (ansatz.begin(prepared), zero + ansatz.letters.n_letters, zero)
        (last, _, _), (rows, terms, n_up, carries) = jax.lax.scan(
            step, begin, (jnp.arange(len(letters), dtype=jnp.int32), letters)
        )
        return Prefixes(log_sign, rows, terms, n_up, last if grows else carries)

    def log_psi(self, prepared: Prepared, cache: Prefixes) -> Inexact[Array, ""]:
        return jnp.sum(cache.terms) + cache.log_sign

    def log_ratios(
        self,
        prepared: Prepared,
        cache: Prefixes,
        sigma: Sigma,
        moves: Int[Array, "n_moves move_size"],
        mask: Bool[Array, " n_moves"] | None = None,
    ) -> Inexact[Array, " n_moves"]:
        allowed = jnp.ones(len(moves), bool) if mask is None else mask

        @jax.custom_batching.custom_vmap
        def one(prepared: Any, cache: Any, sigma: Any, moves: Any, allowed: Any) -> Any:
            cache, sigma, allowed = jax.tree.map(lambda x: x[None], (cache, sigma, allowed))
            return self._walk(prepared, cache, sigma, moves, allowed)[0]

        def many(axis_size: int, batched: Any, *args: Any) -> tuple[Any, bool]:
            if any(jax.tree.leaves((batched[0], batched[3]))):  # several networks or lists: nothing to put together
                axes = jax.tree.map(lambda b: 0 if b else None, tuple(batched))
                return jax.vmap(lambda *each: one.fun(*each), axes)(*args), True

            def full(x: Array, is_batched: bool) -> Array:
                return x if is_batched else jnp.broadcast_to(x, (axis_size, *x.shape))

            prepared, cache, sigma, moves, allowed = args
            cache, sigma, allowed = jax.tree.map(full, (cache, sigma, allowed), (batched[1], batched[2], batched[4]))
            return self._walk(prepared, cache, sigma, moves, allowed), True

        one.def_vmap(many)
        return one(prepared, cache, sigma, moves, allowed)

    def advance(self, prepared: Prepared, cache: Prefixes, sigma: Sigma, move: Int[Array, " move_size"]) -> Prefixes:
        return self.cache(prepared, flip(sigma, move))

    def first(self, moves: Int[Array, "n_moves move_size"]) -> Int[Array, " n_moves"]:
        """The first token that every move changes; n_tokens for padding alone."""
        place = jnp.asarray(self.ansatz.letters.place[:, 0])
        return jnp.min(jnp.where(moves < 0, self.ansatz.letters.n_tokens, place[moves]), axis=1)

    def _walk(self, prepared: Any, cache: Prefixes, sigma: Any, moves: Any, allowed: Any) -> Any:
        """`log_ratios` of several configurations, which every argument but `prepared` and `moves` counts first."""
        n, n_moves = allowed.shape
        size, first = n * n_moves, self.first(moves)
        allowed &= (first < self.ansatz.letters.n_tokens)[None]
        each = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(cache.carries)) // n
        block = min(size, ON_CPU) if jax.default_backend() == "cpu" else at_once(size, 4 * each)
        # Moves with the same first token are together: all of a block have about the same number of steps to do.
        order = jnp.argsort(first)
        listed = jnp.nonzero(allowed[:, order].T.reshape(-1), size=-(-size // block) * block, fill_value=size)[0]
        count = jnp.sum(allowed, dtype=jnp.int32)

        def body(state: tuple[Any, Any]) -> tuple[Any, Any]:
            start, out = state
            index = jax.lax.dynamic_slice(listed, (start,), (block,))
            k = jnp.minimum(index, size - 1)  # the rest of the last block
            move, config = order[k // n], k % n
            ratios = self._block(prepared, cache, sigma, config, moves[move], first[move[0]])
            return start + block, out.at[jnp.where(index < size, config * n_moves + move, size)].set(
                ratios, mode="drop"
            )

        out = jnp.zeros(size, cache.terms.dtype)
        _, out = jax.lax.while_loop(lambda state: state[0] < count, body, (jnp.zeros((), jnp.int32), out))
        return out.reshape(n, n_moves)

    def _block(self, prepared: Any, cache: Prefixes, sigma: Any, config: Any, moves: Any, first: Any) -> Any:
        """Of moves of the configurations `config`, none of which changes a token before `first`."""
        ansatz, grows = self.ansatz, self.ansatz.network().grows
        canonical, log_sign = jax.vmap(lambda s, m: ansatz.canonical(flip(s, m)))(sigma[config], moves)
        letters = jax.vmap(ansatz.letters.encode)(canonical).T
        n_up_of, lanes = jnp.asarray(ansatz.letters.n_up), jnp.arange(len(config))

        def at(table: Array, j: Any) -> Array:
            return jax.lax.dynamic_index_in_dim(table, j, axis=1, keepdims=False)[config]

        carries = jax.tree.map(lambda x: x[config] if grows else at(x, first), cache.carries)
        ratios = log_sign - cache.log_sign[config]
        ratios += at(cache.rows, first)[lanes, letters[first]] - at(cache.terms, first)
        n_up = at(cache.n_up, first) + n_up_of[first][letters[first]]
        step = jax.vmap(partial(ansatz.step, prepared), (0, None, 0, 0))

        def body(j: Any, state: Any) -> Any:
            carries, n_up, ratios = state
            rows, carries = step(carries, j, letters[j - 1], n_up)
            ratios += rows[lanes, letters[j]] - at(cache.terms, j)
            return carries, n_up + n_up_of[j][letters[j]], ratios

        first = first.astype(jnp.int32)
        return jax.lax.fori_loop(first + 1, jnp.int32(ansatz.letters.n_tokens), body, (carries, n_up, ratios))[2]
