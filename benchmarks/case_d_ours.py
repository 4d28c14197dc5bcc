"""Case (d) in Spinscope."""

from benchmarks import ours
from benchmarks.case_d import FEATURES, FIELD, LAYERS, LEARNING_RATE, N_SAMPLES, N_SITES, SEED
from benchmarks.turns import Task

CONFIG = {
    "lattice": {"name": "chain", "params": {"length": N_SITES}},
    "hamiltonian": {"name": "tfim", "params": {"J": 1.0, "h": FIELD}},
    "ansatz": {"name": "arnn", "params": {"features": FEATURES, "layers": LAYERS}},
    "sampler": {"name": "autoregressive", "params": {"n_samples": N_SAMPLES}},
    "optimizer": {"name": "adam", "params": {"learning_rate": LEARNING_RATE}},
    "observables": [],
    "seed": SEED,
}


def tasks() -> tuple[dict[str, str], dict[str, Task]]:
    """The version, and `step`, `sample`, `energies`."""
    return ours.tasks(CONFIG)
