"""The VMC loop: pure jitted steps, and a generator that reports them."""

import base64
import time
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Int, PRNGKeyArray

from nqs_core import estimators, measurement, statistics
from nqs_core.divergence import Guard
from nqs_core.errors import ConfigError
from nqs_core.events import Event, MetricsEvent, SnapshotEvent, StateEvent
from nqs_core.measurement import Measured
from nqs_core.operators import compile
from nqs_core.optimizers.base import Batch
from nqs_core.problem import Problem
from nqs_core.samplers.base import Sampler, Samples
from nqs_core.stopwatch import Stopwatch
from nqs_core.types import Info, Params
from nqs_core.wavefunction import Psi, bind

WINDOW = 64  # draws per chain that the diagnostics of the chains look back on
SNAPSHOT_CHAINS = 8
SNAPSHOT_SECONDS = 0.4
TRAIN, MEASURE = 0, 1
REMEASURE = 2**31 - 1  # sets the random numbers of later measurements apart


class Seconds(NamedTuple):
    """Wall time of a run so far, by what it was spent on; waiting for whoever takes the events is no part of it."""

    compile: Float[Array, ""]  # tracing and compiling, of whatever
    train: Float[Array, ""]  # optimisation steps
    measure: Float[Array, ""]  # looks at observables during the training, and the final measurement


class VMCState(NamedTuple):
    """All state of a run; a checkpoint is this pytree."""

    phase: Int[Array, ""]  # TRAIN or MEASURE
    step: Int[Array, ""]  # optimisation steps done
    key: PRNGKeyArray
    params: Params
    sampler: Any
    optimizer: Any
    window: Float[Array, "n_chains n_window"]  # recent local energies, each step's mean subtracted; NaN where none yet
    measured: Measured
    seconds: Seconds


class Metrics(NamedTuple):
    """What one step reports; arrays stay on the device until somebody asks."""

    scalars: dict[str, Float[Array, ""]]
    samples: Samples


def init(problem: Problem, seed: int, params: Params | None = None) -> VMCState:
    """The state before the first step.

    Args:
        problem: what is to be solved.
        seed: of every random number of the run.
        params: instead of random ones.

    Raises:
        ConfigError: the configuration names a run to start from, and no parameters are given.
    """
    if params is None and problem.config is not None and problem.config.init_from is not None:
        raise ConfigError(
            f"init_from (given: run {problem.config.init_from.run!r}): the parameters of that run are needed to start; "
            "warm_start.start takes them"
        )
    return _fresh(problem, seed, params)


def _fresh(problem: Problem, seed: int, params: Params | None = None) -> VMCState:
    key, key_params, key_sampler = jax.random.split(jax.random.key(seed), 3)
    params = problem.ansatz.init(key_params) if params is None else params
    psi = bind(problem.ansatz, params)
    sampler = problem.sampler.init(key_sampler, psi)
    samples = jax.eval_shape(lambda: problem.sampler.sample(key, psi, sampler)[0])
    n_chains, n_draws, _ = samples.sigma.shape
    return VMCState(
        phase=jnp.asarray(TRAIN, jnp.int32),
        step=jnp.asarray(0, jnp.int64),
        key=key,
        params=params,
        sampler=sampler,
        optimizer=problem.optimizer.init(params),
        window=jnp.full((n_chains, max(WINDOW, n_draws)), jnp.nan, jnp.float64),
        measured=measurement.empty(problem, n_chains, n_draws),
        seconds=Seconds(*[jnp.asarray(0.0, jnp.float64) for _ in Seconds._fields]),
    )


def blank(problem: Problem) -> VMCState:
    """A state of the right structure and nothing in it, which costs no sampling: what a checkpoint is read into."""

    def zeros(leaf: jax.ShapeDtypeStruct) -> Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.key(0)
        return jnp.zeros(leaf.shape, leaf.dtype)

    return jax.tree.map(zeros, jax.eval_shape(lambda: _fresh(problem, 0)))


def remeasure(problem: Problem, trained: VMCState, seed: int) -> VMCState:
    """A state from which `run` measures a trained state once more, with fresh random numbers.

    `problem` is that of the run with other observables or another number of final samples; `trained` is a state of the
    run itself, `checkpoint.latest(folder, blank(problem.build(config of the run)))`. A checkpoint of the new run is
    read into `blank(problem)`.

    Raises:
        ConfigError: `trained` is of another network or sampler.
    """
    fresh = blank(problem)
    for part in ("params", "sampler"):
        shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), getattr(state, part)) for state in (fresh, trained)]
        if shapes[0] != shapes[1]:
            raise ConfigError(f"the state to measure has other {part} than this configuration")
    return fresh._replace(
        phase=jnp.asarray(MEASURE, jnp.int32),
        step=trained.step,
        # A stream of its own: the run has used those of its seed.
        key=jax.random.fold_in(jax.random.key(seed), REMEASURE),
        params=trained.params,
        sampler=trained.sampler,
        optimizer=trained.optimizer,
        window=jnp.full_like(fresh.window, jnp.nan),
    )


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
    params, optimizer = jax.tree.map(
        lambda new, old: jnp.where(info.ready & report.ready, new, old),
        (params, optimizer),
        (state.params, state.optimizer),
    )
    window = statistics.push(state.window, e_loc.real - jnp.mean(e_loc.real))
    scalars = measurement.energy_scalars(problem, e_loc, samples.log_weight, window, info)
    scalars |= info.scalars | report.scalars | {"distinct": measurement.distinct(samples)}
    state = state._replace(
        step=state.step + 1, key=key, params=params, sampler=sampler, optimizer=optimizer, window=window
    )
    return state, Metrics(scalars, samples)


def measure(problem: Problem, state: VMCState) -> tuple[VMCState, Metrics]:
    """One more batch of fresh samples at fixed parameters."""
    state, metrics = _measure_energy(problem, state)
    # Compiled for the live observables already.
    values = measurement.group_means(problem, state.params, metrics.samples)
    return state._replace(measured=measurement.add_observables(state.measured, values)), metrics


@jax.jit
def _measure_energy(problem: Problem, state: VMCState) -> tuple[VMCState, Metrics]:
    key, key_sample = jax.random.split(state.key)
    psi, measuring = bind(problem.ansatz, state.params), problem.sampler.for_measurement()
    samples, sampler, info, e_loc = _sample(problem, measuring, key_sample, psi, state.sampler)
    window = statistics.push(state.window, e_loc.real - jnp.mean(e_loc.real))
    measured = measurement.add(state.measured, e_loc, samples.log_weight, info)
    scalars = measurement.energy_scalars(problem, e_loc, samples.log_weight, window, info) | info.scalars
    scalars["distinct"] = measurement.distinct(samples)
    return state._replace(key=key, sampler=sampler, measured=measured, window=window), Metrics(scalars, samples)


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
            scalars = _to_host(metrics.scalars, problem)
        for warning in guard.look(scalars, int(state.step)):  # the last update is first seen here
            yield warning, before
        state = _after(state, watch, "measure")
        done = int(state.measured.n_batches)
        scalars |= times(state) | {"step_seconds": watch.working}
        scalars["batch"] = float(done)  # a resumed run measures some of them again
        if done % max(1, n_batches // 50) == 0 or done == n_batches:
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
            scalars = _to_host(metrics.scalars, problem)
        state = _after(state, watch, "train")
        scalars["step_seconds"] = watch.working
        k = int(state.step)
        if compiling:
            yield StateEvent(phase="train", step=k - 1), before
            compiling = False
        for warning in guard.look(scalars, k):
            yield warning, before
        with Stopwatch() as watch:
            looked, arrays = _look(problem, before.params, state, metrics.samples, scalars)
        state = _after(state, watch, "measure")
        yield MetricsEvent(step=k, phase="train", scalars=scalars | looked | times(state), arrays=arrays), state
        if time.monotonic() - last_snapshot > SNAPSHOT_SECONDS or k == n_steps:
            last_snapshot = time.monotonic()
            yield _snapshot(k, metrics.samples), state


def _look(
    problem: Problem, params: Params, state: VMCState, samples: Samples, known: dict[str, float]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Observables, agreement of the chains, and distance from the exact state, at the steps at which they are due."""
    assert problem.config is not None
    k, n_steps = int(state.step), problem.config.n_steps
    scalars: dict[str, float] = {}
    arrays: dict[str, Any] = {}
    if k % (problem.config.observe_every or max(1, n_steps // 50)) == 0 or k == n_steps:
        means, arrays = measurement.live(problem, params, samples, known.get("acceptance", 1.0) > 0)
        scalars |= means | measurement.agreement(problem, state.window, known)
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


def _to_host(scalars: dict[str, Float[Array, ""]], problem: Problem) -> dict[str, float]:
    values = {name: float(value) for name, value in jax.device_get(scalars).items()}
    return values | {
        "energy_per_site": values["energy"] / problem.n_sites,
        "n_samples": float(problem.sampler.n_samples),
    }


def _snapshot(k: int, samples: Samples) -> SnapshotEvent:
    sigma = np.asarray(samples.sigma[:SNAPSHOT_CHAINS, -1])
    spins = base64.b64encode(np.packbits(sigma > 0).tobytes()).decode()
    return SnapshotEvent(step=k, n_chains=sigma.shape[0], n_sites=sigma.shape[1], spins=spins)
