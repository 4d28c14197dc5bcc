"""All state of a run: before the first step, blank for a checkpoint to be read into, and for one more measurement."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from nqs_core import measurement
from nqs_core.errors import ConfigError
from nqs_core.measurement import Measured
from nqs_core.problem import Problem
from nqs_core.samplers.base import Samples
from nqs_core.types import Params
from nqs_core.wavefunction import bind

WINDOW = 64  # draws per chain that the diagnostics of the chains look back on
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
    window: Float[Array, "n_chains n_window"]  # recent local energies of chains, each step's mean off; NaN: none yet
    measured: Measured
    seconds: Seconds


def init(problem: Problem, seed: int, params: Params | None = None) -> VMCState:
    """The state before the first step.

    Args:
        problem: what is to be solved.
        seed: of every random number of the run.
        params: instead of random ones.

    Raises:
        ConfigError: the configuration names what to start from, and no parameters are given.
    """
    if params is None and problem.config is not None and problem.config.init_from is not None:
        raise ConfigError(
            f"init_from (given: {problem.config.init_from}): the parameters from there are needed to start; "
            "warm_start.start takes them"
        )
    return _fresh(problem, seed, params)


def _fresh(problem: Problem, seed: int, params: Params | None = None) -> VMCState:
    key, key_params, key_sampler = jax.random.split(jax.random.key(seed), 3)
    params = problem.ansatz.init(key_params) if params is None else params
    psi = bind(problem.ansatz, params)
    sampler = problem.sampler.init(key_sampler, psi)
    samplers = problem.sampler, problem.sampler.for_measurement()
    train, final = (jax.eval_shape(lambda s=s: s.sample(key, psi, sampler)[0]) for s in samplers)
    return VMCState(
        phase=jnp.asarray(TRAIN, jnp.int32),
        step=jnp.asarray(0, jnp.int64),
        key=key,
        params=params,
        sampler=sampler,
        optimizer=problem.optimizer.init(params),
        window=_empty_window(problem, train),
        measured=measurement.empty(problem, params, final),
        seconds=Seconds(*[jnp.asarray(0.0, jnp.float64) for _ in Seconds._fields]),
    )


def _empty_window(problem: Problem, samples: Samples) -> Float[Array, "n_chains n_window"]:
    """Nothing of what is independent has a memory."""
    n_chains, n_draws = (0, 0) if problem.sampler.independent else samples.log_psi.shape
    return jnp.full((n_chains, max(WINDOW, n_draws)), jnp.nan, jnp.float64)


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
