"""The VMC loop: pure jitted steps, and a generator that reports them."""

import base64
import time
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Inexact, Num, PRNGKeyArray

from nqs_core import estimators, measurement, statistics
from nqs_core.divergence import Guard
from nqs_core.events import Event, MetricsEvent, SnapshotEvent, StateEvent
from nqs_core.operators import compile
from nqs_core.optimizers.base import Batch
from nqs_core.problem import Problem
from nqs_core.samplers.base import Sampler, Samples
from nqs_core.state import MEASURE, TRAIN, VMCState, blank, init, remeasure
from nqs_core.stopwatch import Stopwatch
from nqs_core.types import Info, Params
from nqs_core.wavefunction import Psi, bind

__all__ = ["VMCState", "blank", "init", "measure", "remeasure", "run", "step", "times"]

SNAPSHOT_CHAINS = 8
SNAPSHOT_SECONDS = 0.4


class Metrics(NamedTuple):
    """What one step reports; arrays and samples stay on the device until somebody asks.

    ready, updated: whether the batch counts, and whether it moved the parameters.
    """

    ready: Bool[Array, ""]
    updated: Bool[Array, ""]
    energy: dict[str, Float[Array, ""]]  # what the batch says, where it counts
    scalars: dict[str, Float[Array, ""]]
    arrays: dict[str, Num[Array, "..."]]
    samples: Samples


def _sample(
    problem: Problem, sampler: Sampler, key: PRNGKeyArray, psi: Psi, state: Any
) -> tuple[Samples, Any, Info, Inexact[Array, "n_chains n_draws"]]:
    samples, state, info = sampler.sample(key, psi, state)
    hamiltonian = compile(problem.hamiltonian.terms(), problem.n_sites)
    e_loc = estimators.local_values(psi, hamiltonian, samples.sigma.reshape(-1, problem.n_sites))
    return samples, state, info, e_loc.reshape(samples.log_psi.shape)


@jax.jit
def step(problem: Problem, state: VMCState) -> tuple[VMCState, Metrics]:
    """Sample, estimate, update."""
    key, key_sample, key_update = jax.random.split(state.key, 3)
    psi = bind(problem.ansatz, state.params)
    samples, sampler, info, e_loc = _sample(problem, problem.sampler, key_sample, psi, state.sampler)
    flat = [x.reshape(-1) for x in (samples.log_psi, samples.log_weight, e_loc)]
    batch = Batch(psi, samples.sigma.reshape(-1, problem.n_sites), *flat)
    params, optimizer, report = problem.optimizer.update(key_update, batch, state.optimizer)
    updated = info.ready & report.ready
    before = state.params, state.optimizer
    params, optimizer = jax.tree.map(lambda new, old: jnp.where(updated, new, old), (params, optimizer), before)
    window = _push(problem, state.window, e_loc, info.ready)
    energy = measurement.energy_scalars(problem, e_loc, samples.log_weight, window, info)
    scalars = info.scalars | report.scalars | {"distinct": measurement.distinct(samples)}
    state = state._replace(
        step=state.step + 1, key=key, params=params, sampler=sampler, optimizer=optimizer, window=window
    )
    return state, Metrics(info.ready, updated, energy, scalars, info.arrays | report.arrays, samples)


def _push(
    problem: Problem, window: Float[Array, "n_chains n_window"], e_loc: Array, ready: Bool[Array, ""]
) -> Float[Array, "n_chains n_window"]:
    if problem.sampler.independent:
        return window
    return jnp.where(ready, statistics.push(window, e_loc.real - jnp.mean(e_loc.real)), window)


def measure(problem: Problem, state: VMCState) -> tuple[VMCState, Metrics]:
    """One more batch of fresh samples at fixed parameters; one that is not ready leaves `measured` alone."""
    state, metrics = _measure_energy(problem, state)
    if not metrics.ready:
        return state, metrics
    # Compiled for the live observables already.
    sums = measurement.group_sums(problem, state.params, metrics.samples)
    return state._replace(measured=measurement.add_observables(state.measured, sums)), metrics


@jax.jit
def _measure_energy(problem: Problem, state: VMCState) -> tuple[VMCState, Metrics]:
    key, key_sample = jax.random.split(state.key)
    psi, measuring = bind(problem.ansatz, state.params), problem.sampler.for_measurement()
    samples, sampler, info, e_loc = _sample(problem, measuring, key_sample, psi, state.sampler)
    window = _push(problem, state.window, e_loc, info.ready)
    measured = jax.tree.map(
        lambda new, old: jnp.where(info.ready, new, old),
        measurement.add(state.measured, e_loc, samples.log_weight, info),
        state.measured,
    )
    energy = measurement.energy_scalars(problem, e_loc, samples.log_weight, window, info)
    scalars = info.scalars | {"distinct": measurement.distinct(samples)}
    state = state._replace(key=key, sampler=sampler, measured=measured, window=window)
    return state, Metrics(info.ready, info.ready, energy, scalars, info.arrays, samples)


def run(problem: Problem, state: VMCState) -> Iterator[tuple[Event, VMCState]]:
    """Train, then measure with fresh samples: yields every event with the state it describes.

    The caller stops by not asking for more; from any yielded state the run continues bit for bit.

    Raises:
        DivergedError: the energy became NaN or infinite, or no state of the system has it, for several steps.
    """
    assert problem.config is not None
    guard = Guard(problem)
    yield StateEvent(phase="compiling", step=int(state.step)), state
    if int(state.phase) == TRAIN:
        for event, trained in _train(problem, state, problem.config.n_steps, guard):
            state = trained
            yield event, state
        # Chains keep their place; what they remember of earlier parameters does not count.
        state = state._replace(phase=jnp.asarray(MEASURE, jnp.int32), window=jnp.full_like(state.window, jnp.nan))
    yield StateEvent(phase="measure", step=int(state.step)), state
    n_batches = state.measured.energies.shape[0]
    while int(state.measured.n_batches) < n_batches:
        before = state
        with Stopwatch() as watch:
            state, metrics = measure(problem, state)
            scalars = _to_host(metrics, problem)
        for warning in guard.look(scalars, int(state.step)):  # the last update is first seen here
            yield warning, before
        state = _after(state, watch, "measure")
        done = int(state.measured.n_batches)
        scalars |= times(state) | {"step_seconds": watch.working}
        scalars["batch"] = float(done)  # a resumed run measures some of them again
        if "energy" in scalars and (done % max(1, n_batches // 50) == 0 or done == n_batches):
            scalars |= measurement.agreement(problem, state.window, scalars)
        yield MetricsEvent(step=int(state.step), phase="measure", scalars=scalars), state
    with Stopwatch() as watch:
        result = measurement.result(problem, state.measured, state.params)
    state = _after(state, watch, "measure")
    result |= {"n_steps": int(state.step), **times(state), "seconds": sum(times(state).values())}
    yield StateEvent(state="done", step=int(state.step), result=result), state


def _train(problem: Problem, state: VMCState, n_steps: int, guard: Guard) -> Iterator[tuple[Event, VMCState]]:
    last_snapshot = -np.inf
    compiling = True
    assert problem.config is not None
    while int(state.step) < n_steps:
        before = state
        with Stopwatch() as watch:
            state, metrics = step(problem, state)
            scalars = _to_host(metrics, problem)
        state = _after(state, watch, "train")
        scalars["step_seconds"] = watch.working
        k = int(state.step)
        if compiling:
            yield StateEvent(phase="train", step=k - 1), before
            compiling = False
        for warning in guard.look(scalars, k):
            yield warning, before
        with Stopwatch() as watch:
            looked, arrays = _look(problem, before.params, state, metrics, scalars)
        state = _after(state, watch, "measure")
        yield MetricsEvent(step=k, phase="train", scalars=scalars | looked | times(state), arrays=arrays), state
        if time.monotonic() - last_snapshot > SNAPSHOT_SECONDS or k == n_steps:
            last_snapshot = time.monotonic()
            yield _snapshot(k, metrics.samples, problem.sector.n_each), state


def _look(
    problem: Problem, params: Params, state: VMCState, metrics: Metrics, known: dict[str, float]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Observables, agreement of the chains, and distance from the exact state, at the steps at which they are due."""
    assert problem.config is not None
    k, n_steps = int(state.step), problem.config.n_steps
    scalars: dict[str, float] = {}
    arrays: dict[str, Any] = {}
    if k % (problem.config.observe_every or max(1, n_steps // 50)) == 0 or k == n_steps:
        arrays = {name: measurement.short(value) for name, value in jax.device_get(metrics.arrays).items()}
        if "energy" in known:
            means, observed = measurement.live(problem, params, metrics.samples, known.get("acceptance", 1.0) > 0)
            scalars |= means | measurement.agreement(problem, state.window, known)
            arrays |= observed
    if measurement.exact_due(problem, k):
        key = jax.random.fold_in(state.key, 1)
        scalars |= measurement.against_exact(problem, params, state.sampler, key)
    return scalars, arrays


def times(state: VMCState) -> dict[str, float]:
    """compile_seconds, train_seconds and measure_seconds of a run so far."""
    return {f"{name}_seconds": float(value) for name, value in state.seconds._asdict().items()}


def _after(state: VMCState, watch: Stopwatch, spent_on: Literal["train", "measure"]) -> VMCState:
    before = state.seconds
    spent = {"compile": before.compile + watch.compiling, spent_on: getattr(before, spent_on) + watch.working}
    return state._replace(seconds=before._replace(**spent))


def _to_host(metrics: Metrics, problem: Problem) -> dict[str, float]:
    """The scalars of a step; a batch that was refused has no energy, and `refused` says that something was."""
    ready, updated, energy, reported = jax.device_get(metrics[:4])
    values = {name: float(value) for name, value in {**(energy if ready else {}), **reported}.items()}
    values["n_samples"] = float(problem.sampler.n_samples)
    if ready:
        values["energy_per_site"] = values["energy"] / problem.n_sites
    return values if updated else values | {"refused": 1.0}


def _snapshot(k: int, samples: Samples, n_each: int) -> SnapshotEvent:
    # Of several copies each is a picture of its own.
    sigma = np.asarray(samples.sigma[:SNAPSHOT_CHAINS, -1]).reshape(-1, n_each)[:SNAPSHOT_CHAINS]
    spins = base64.b64encode(np.packbits(sigma > 0).tobytes()).decode()
    return SnapshotEvent(step=k, n_chains=sigma.shape[0], n_sites=sigma.shape[1], spins=spins)
