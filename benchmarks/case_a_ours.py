"""Case (a) in Spinscope."""

from benchmarks import ours
from benchmarks.case_a import DIAG_SHIFT, FIELD, LEARNING_RATE, N_SAMPLES, N_SITES, SEED
from benchmarks.turns import Task

CONFIG = {
    "lattice": {"name": "chain", "params": {"length": N_SITES}},
    "hamiltonian": {"name": "tfim", "params": {"J": 1.0, "h": FIELD}},
    "ansatz": {"name": "rbm", "params": {"alpha": 1}},
    "sampler": {"name": "metropolis", "params": {"n_samples": N_SAMPLES, "n_chains": N_SAMPLES}},
    "optimizer": {"name": "minsr", "params": {"learning_rate": LEARNING_RATE, "diag_shift": DIAG_SHIFT}},
    "seed": SEED,
}


def tasks() -> tuple[dict[str, str], dict[str, Task]]:
    """The version, and `step`, `sample`, `energies`."""
    return ours.tasks(CONFIG)
