"""Autoregressive networks: sampling with and without the cache, local energies with and without reuse of prefixes."""

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks.report import Row

ROUNDS = 5
WANTED = {"sampling": 5.0, "energies": 2.5}


def in_turn(tasks: list[Callable[[], Any]]) -> list[list[float]]:
    """For each round the CPU seconds of every task, after a round that compiles."""
    figures = []
    for number in range(ROUNDS + 1):
        seconds = [0.0] * len(tasks)
        for k in range(len(tasks)) if number % 2 == 0 else reversed(range(len(tasks))):
            start = time.process_time()
            tasks[k]()
            seconds[k] = time.process_time() - start
        figures.append(seconds)
    return figures[1:]


def sampling() -> list[Callable[[], Any]]:
    """64 sites, 64 samples: one step a token with kept keys and values, or a forward pass of all tokens for each."""
    import jax
    import jax.numpy as jnp

    from nqs_core.ansatze import on_tokens
    from nqs_core.ansatze.sequential import draw
    from nqs_core.config import Spec

    ansatz = on_tokens(Spec(name="transformer"), tuple((k,) for k in range(64)))
    params, key = jax.jit(ansatz.init)(jax.random.key(0)), jax.random.key(1)

    def without(key: jax.Array) -> jax.Array:
        def one(u: jax.Array) -> jax.Array:
            def token(letters: jax.Array, j: jax.Array) -> tuple[jax.Array, None]:
                return letters.at[j].set(draw(ansatz.conditionals(params, letters)[j], u[j])), None

            letters = jax.lax.scan(token, jnp.zeros(64, jnp.int32), jnp.arange(64))[0]
            return ansatz.letters.decode(letters)

        return jax.vmap(one)(jax.random.uniform(key, (64, 64), jnp.float64))

    cached, plain = jax.jit(lambda k: ansatz.sample(params, k, 64)[0]), jax.jit(without)
    return [lambda: cached(key).block_until_ready(), lambda: plain(key).block_until_ready()]


def energies() -> list[Callable[[], Any]]:
    """TFIM chain 20, GRU of 32, 512 configurations: what follows a flipped site, or full forward passes."""
    import jax

    from nqs_core import config, problem
    from nqs_core.ansatze.base import FullForward
    from nqs_core.estimators import local_value
    from nqs_core.operators import compile

    case = problem.build(
        config.parse(
            {
                "lattice": {"name": "chain", "params": {"length": 20}},
                "hamiltonian": {"name": "tfim"},
                "ansatz": {"name": "gru"},
                "n_steps": 1,
            }
        )
    )
    ansatz, operator = case.ansatz, compile(case.hamiltonian.terms(), 20)
    params = jax.jit(ansatz.init)(jax.random.key(0))
    sigma = case.sector.random(jax.random.key(1), 512)

    def of(updates: Any) -> Callable[[], Any]:
        def one(s: jax.Array) -> jax.Array:
            return local_value(operator, updates, params, updates.cache(params, s), s, case.sector)

        function = jax.jit(jax.vmap(one))
        return lambda: function(sigma).block_until_ready()

    return [of(ansatz.local_updates()), of(FullForward(ansatz))]


def measure() -> tuple[list[Row], dict[str, Any]]:
    """CPU seconds of both ways in turn on one core, and their ratio."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})  # before JAX is imported, which sizes its threads once
    rows, raw = [], {}
    titles = {"sampling": "transformer, 64 samples of 64 sites", "energies": "gru, 512 local energies of 20 sites"}
    for name, tasks in (("sampling", sampling), ("energies", energies)):
        figures = in_turn(tasks())
        ours, theirs = (median(column) for column in zip(*figures, strict=True))
        factor = median(b / a for a, b in figures)
        cells = (titles[name], f"{ours:.4f}", f"{theirs:.4f}", f"{factor:.2f}", f">= {WANTED[name]:.2f}")
        rows.append(Row(cells, factor >= WANTED[name]))
        raw[name] = {"cpu_seconds": figures, "ratio": factor}
    os.sched_setaffinity(0, allowed)
    return rows, raw
