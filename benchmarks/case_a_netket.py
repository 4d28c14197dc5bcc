"""Case (a) in NetKet at its best settings: float32, one chain a sample, dense Jacobian, chunks of 8192."""

import jax
import netket as nk  # pyright: ignore[reportMissingImports]
import numpy as np
import optax

from benchmarks.case_a import DIAG_SHIFT, FIELD, LEARNING_RATE, N_SAMPLES, N_SITES, SEED
from benchmarks.turns import Task

CHUNK = 8192


def tasks() -> tuple[dict[str, str], dict[str, Task]]:
    """The version, and `step`, `sample`, `energies`."""
    hilbert = nk.hilbert.Spin(s=0.5, N=N_SITES)
    hamiltonian = nk.operator.IsingJax(hilbert, nk.graph.Chain(N_SITES, pbc=True), h=FIELD, J=-1.0, dtype=np.float32)
    sampler = nk.sampler.MetropolisLocal(hilbert, n_chains=N_SAMPLES, sweep_size=N_SITES, dtype=np.int8)
    state = nk.vqs.MCState(
        sampler,
        nk.models.RBM(alpha=1, param_dtype=np.float32),
        n_samples=N_SAMPLES,
        n_discard_per_chain=0,
        chunk_size=CHUNK,
        seed=SEED,
        sampler_seed=SEED,
    )
    driver = nk.driver.VMC_SR(
        hamiltonian,
        optax.sgd(LEARNING_RATE / 2),  # its gradient is twice ours
        diag_shift=DIAG_SHIFT,
        variational_state=state,
        mode="real",
        use_ntk=True,
        on_the_fly=False,
    )
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
            jax.block_until_ready(state.sample())

    def energies(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(state.local_estimators(hamiltonian))

    return {"program": f"NetKet {nk.__version__}"}, {"step": step, "sample": sample, "energies": energies}
