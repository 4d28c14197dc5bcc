"""Case (d) in NetKet at its best settings: float32, its dense autoregressive network, chunks of 8192."""

import jax
import netket as nk  # pyright: ignore[reportMissingImports]
import numpy as np
import optax

from benchmarks.case_d import FEATURES, FIELD, LAYERS, LEARNING_RATE, N_SAMPLES, N_SITES, SEED
from benchmarks.turns import Task

CHUNK = 8192


def tasks() -> tuple[dict[str, str], dict[str, Task]]:
    """The version, and `step`, `sample`, `energies`."""
    hilbert = nk.hilbert.Spin(s=0.5, N=N_SITES)
    hamiltonian = nk.operator.IsingJax(hilbert, nk.graph.Chain(N_SITES, pbc=True), h=FIELD, J=-1.0, dtype=np.float32)
    # Its layers count the output. `FastARNNDense` of this version does not compile.
    network = nk.models.ARNNDense(
        hilbert=hilbert, layers=LAYERS + 1, features=FEATURES, activation=jax.nn.gelu, param_dtype=np.float32
    )
    state = nk.vqs.MCState(
        nk.sampler.ARDirectSampler(hilbert, dtype=np.int8),
        network,
        n_samples=N_SAMPLES,
        chunk_size=CHUNK,
        seed=SEED,
        sampler_seed=SEED,
    )
    driver = nk.driver.VMC(hamiltonian, optax.adam(LEARNING_RATE), variational_state=state)
    last = {}

    def keep(_step: int, log_data: dict, _driver: object) -> bool:
        last.update(log_data)
        return True

    def step(count: int) -> float:
        driver.run(count, out=None, show_progress=False, callback=keep)
        jax.block_until_ready(state.parameters)
        return float(np.real(last["Energy"].mean))

    def sample(count: int) -> None:
        for _ in range(count):
            state.reset()
            jax.block_until_ready(state.sample())

    def energies(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(state.local_estimators(hamiltonian))

    facts = {"program": f"NetKet {nk.__version__}", "n_params": str(state.n_parameters)}
    return facts, {"step": step, "sample": sample, "energies": energies}
