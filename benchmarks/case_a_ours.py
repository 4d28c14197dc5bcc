"""Case (a) in Spinscope, with the driver's own step."""

import jax

from benchmarks.case_a import DIAG_SHIFT, FIELD, LEARNING_RATE, N_SAMPLES, N_SITES, SEED
from benchmarks.turns import Task
from nqs_core import config, driver, estimators, problem
from nqs_core.operators import compile
from nqs_core.problem import Problem

CONFIG = {
    "lattice": {"name": "chain", "params": {"length": N_SITES}},
    "hamiltonian": {"name": "tfim", "params": {"J": 1.0, "h": FIELD}},
    "ansatz": {"name": "rbm", "params": {"alpha": 1}},
    "sampler": {"name": "metropolis", "params": {"n_samples": N_SAMPLES, "n_chains": N_SAMPLES}},
    "optimizer": {"name": "minsr", "params": {"learning_rate": LEARNING_RATE, "diag_shift": DIAG_SHIFT}},
    "seed": SEED,
}


@jax.jit
def _draw(case: Problem, key: jax.Array, params: object, sampler: object) -> tuple:
    return case.sampler.sample(key, case.ansatz, params, sampler)


@jax.jit
def _evaluate(case: Problem, params: object, sigma: jax.Array) -> jax.Array:
    return estimators.local_values(compile(case.hamiltonian.terms(), N_SITES), case.ansatz, params, sigma)


def tasks() -> tuple[dict[str, str], dict[str, Task]]:
    """The version, and `step`, `sample`, `energies`."""
    case = problem.build(config.parse(CONFIG))
    state = driver.init(case, SEED)
    keys = [*jax.random.split(jax.random.key(SEED), 100)]
    samples, chains, _ = _draw(case, keys[0], state.params, state.sampler)

    def step(count: int) -> float:
        nonlocal state
        energy = float("nan")
        for _ in range(count):
            state, metrics = driver.step(case, state)
            energy = float(jax.device_get(metrics.scalars)["energy"])
        jax.block_until_ready(state)
        return energy

    def sample(count: int) -> None:
        nonlocal samples, chains
        for k in range(count):
            samples, chains, _ = _draw(case, keys[k], state.params, chains)
            jax.block_until_ready(samples)

    def energies(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(_evaluate(case, state.params, samples.sigma.reshape(-1, N_SITES)))

    return {"program": "Spinscope"}, {"step": step, "sample": sample, "energies": energies}
