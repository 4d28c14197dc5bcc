"""A case in Spinscope, with the driver's own step."""

from typing import Any

import jax

from benchmarks.turns import Task
from nqs_core import config, driver, estimators, problem
from nqs_core.operators import compile
from nqs_core.problem import Problem
from nqs_core.wavefunction import bind


@jax.jit
def _draw(case: Problem, key: jax.Array, params: object, sampler: object) -> tuple:
    return case.sampler.sample(key, bind(case.ansatz, params), sampler)


@jax.jit
def _evaluate(case: Problem, params: object, sigma: jax.Array) -> jax.Array:
    operator = compile(case.hamiltonian.terms(), case.n_sites)
    return estimators.local_values(bind(case.ansatz, params), operator, sigma)


def tasks(configuration: dict[str, Any]) -> tuple[dict[str, str], dict[str, Task]]:
    """The version, and `step`, `sample`, `energies`."""
    case = problem.build(config.parse(configuration))
    state = driver.init(case, configuration["seed"])
    keys = [*jax.random.split(jax.random.key(configuration["seed"]), 100)]
    samples, chains, _ = _draw(case, keys[0], state.params, state.sampler)

    def step(count: int) -> float:
        nonlocal state
        energy = float("nan")
        for _ in range(count):
            state, metrics = driver.step(case, state)
            energy = float(jax.device_get(metrics.energy)["energy"])
        jax.block_until_ready(state)
        return energy

    def sample(count: int) -> None:
        nonlocal samples, chains
        for k in range(count):
            samples, chains, _ = _draw(case, keys[k], state.params, chains)
            jax.block_until_ready(samples)

    def energies(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(_evaluate(case, state.params, samples.sigma.reshape(-1, case.n_sites)))

    return {"program": "Spinscope"}, {"step": step, "sample": sample, "energies": energies}
