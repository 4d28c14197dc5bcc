"""A driver with the interface of the core's, small enough to be killed often; `python -m tests.backend.toy` runs it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from backend import runner
from nqs_core.errors import ConfigError, DivergedError
from nqs_core.events import Event, LogEvent, MetricsEvent, StateEvent


class State(NamedTuple):
    """Everything that the next step depends on."""

    step: Any
    key: Any
    walk: Any


@dataclass(frozen=True)
class Toy:
    """A random walk. `pause`: seconds a step; `fail`: {step: what happens before it}."""

    n_steps: int
    pause: float = 0.0
    fail: tuple[tuple[int, str], ...] = ()
    n_sites: int = 4
    spectrum: tuple[float, float] = (-1000.0, 1000.0)


class Drive:
    """The interface that the runner drives."""

    def build(self, config: dict[str, Any], memory_bytes: int | None) -> Toy:
        """The toy of a configuration."""
        if config.get("bad"):
            raise ConfigError("unknown lattice 'moebius'; choose one of chain, square")
        fail = tuple((int(step), what) for step, what in config.get("fail", {}).items())
        return Toy(config["n_steps"], config.get("pause", 0.0), fail)

    def init(self, problem: Toy, seed: int) -> State:
        """The state before the first step."""
        return State(jnp.asarray(0), jax.random.key(seed), jnp.zeros(3))

    def run(self, problem: Toy, state: State) -> Iterator[tuple[Event, State]]:
        """Steps from `state` on, each with an event before the one that counts."""
        yield StateEvent(phase="compiling", step=int(state.step)), state
        while (k := int(state.step) + 1) <= problem.n_steps:
            time.sleep(problem.pause)
            _disturb(dict(problem.fail).get(k))
            key, now = jax.random.split(state.key)
            state = State(state.step + 1, key, jnp.tanh(3 * state.walk + jax.random.normal(now, (3,))))
            yield LogEvent(step=k, message="not a state to save"), state
            scalars = {"energy": float(state.walk.sum()), "odd": float(state.walk[0])}
            yield MetricsEvent(step=k, phase="train", scalars=scalars), state
        result = {"energy": float(state.walk.sum()), "energy_error": 0.5, "n_steps": problem.n_steps}
        yield StateEvent(state="done", step=problem.n_steps, result=result), state


def _disturb(what: str | None) -> None:
    if what == "diverge":
        raise DivergedError("the energy became nan at step 3; a smaller learning rate keeps the steps short")
    if what == "memory":
        raise RuntimeError("INTERNAL: Generated function failed: Out of memory allocating 123 bytes.")
    if what == "gpu memory":
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 GiB")
    if what == "bug":
        raise KeyError("rbm")
    if what == "hang":
        time.sleep(3600)


if __name__ == "__main__":
    runner.exit_now(runner.main(drive=Drive()))
