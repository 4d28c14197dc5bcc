"""Case (c) in Spinscope."""

from benchmarks import ours
from benchmarks.case_c import BLOCKS, CHANNELS, DIAG_SHIFT, EXTENT, J1, J2, KERNEL, LEARNING_RATE, N_SAMPLES, SEED
from benchmarks.turns import Task

NETWORK = {"channels": CHANNELS, "blocks": BLOCKS, "kernel": KERNEL, "head": "complex"}
CONFIG = {
    "lattice": {"name": "square", "params": {"extent": [EXTENT, EXTENT]}},
    "hamiltonian": {"name": "j1j2", "params": {"J1": J1, "J2": J2, "marshall": True}},
    "ansatz": {"name": "rescnn", "params": NETWORK},
    "sampler": {"name": "metropolis", "params": {"n_samples": N_SAMPLES, "n_chains": N_SAMPLES}},
    "optimizer": {"name": "minsr", "params": {"learning_rate": LEARNING_RATE, "diag_shift": DIAG_SHIFT}},
    "sector": {"sz": 0},
    "observables": [],
    "seed": SEED,
}


def tasks() -> tuple[dict[str, str], dict[str, Task]]:
    """The version, and `step`, `sample`, `energies`."""
    return ours.tasks(CONFIG)
