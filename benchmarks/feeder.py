"""Runs whose points come at a fixed rate: written by the product's own sink, computed by nobody.

python -m benchmarks.feeder DATA_DIR N_RUNS RATE        # prints the ids; ends when its standard input closes
"""

import base64
import json
import math
import os
import secrets
import socket
import sys
import threading
import time
from pathlib import Path

import numpy as np

from backend import store
from backend.settings import Settings
from backend.sink import Sink
from backend.store.ingest import Owner
from nqs_core.events import MetricsEvent, SnapshotEvent, StateEvent

LENGTH, N_CHAINS = 64, 8
SNAPSHOT_EVERY = 5  # points
CONFIG = {
    "name": "fed",
    "lattice": {"name": "square", "params": {"extent": [LENGTH, LENGTH]}},
    "hamiltonian": {"name": "tfim", "params": {}},
    "ansatz": {"name": "rbm", "params": {}},
    "n_steps": 1_000_000,
    "seed": 0,
}


def own(settings: Settings, number: int) -> Sink:
    """A new run of which this process is the owner."""
    engine = store.open_engine(settings.db_url)
    run_id = store.submit(engine, CONFIG, name=f"fed {number}", n_sites=LENGTH**2)
    claimed = store.claim_next(engine)
    assert claimed is not None
    assert claimed[0] == run_id
    token = secrets.token_hex(8)
    store.claim_attempt(engine, run_id, 1, token, pid=os.getpid(), host=socket.gethostname(), slot=None)
    folder = settings.run_folder(run_id)
    folder.mkdir(parents=True)
    sys.stdout.write(json.dumps(run_id) + "\n")
    sys.stdout.flush()
    return Sink(engine, Owner(run_id, 1, token), folder)


def point(step: int) -> MetricsEvent:
    """A made-up point with every column that a real one has."""
    energy = -LENGTH * LENGTH * (2.0 - math.exp(-step / 100))
    scalars = {
        "energy": energy, "energy_per_site": energy / LENGTH**2, "energy_error": 0.1, "variance": 9.0, "v_score": 1e-4,
        "acceptance": 0.5, "r_hat": 1.001, "tau": 1.5, "ess": 0.6, "n_samples": 1024.0, "step_seconds": 0.1,
    }  # fmt: skip
    return MetricsEvent(step=step, phase="train", scalars=scalars)


def snapshot(step: int, bits: np.random.Generator) -> SnapshotEvent:
    """Random configurations of the whole lattice."""
    spins = base64.b64encode(bits.bytes(N_CHAINS * LENGTH**2 // 8)).decode()
    return SnapshotEvent(step=step, n_chains=N_CHAINS, n_sites=LENGTH**2, spins=spins)


def main(folder: str, n_runs: str, rate: str) -> None:
    settings = Settings(data_dir=Path(folder))
    sinks = [own(settings, number) for number in range(int(n_runs))]
    closed = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), closed.set()), daemon=True).start()
    bits = np.random.default_rng(0)
    for sink in sinks:
        sink.put(StateEvent(phase="train"))
    start, step = time.monotonic(), 0
    while not closed.wait(max(0.0, start + step / float(rate) - time.monotonic())):
        step += 1
        for sink in sinks:
            sink.put(point(step))
            if step % SNAPSHOT_EVERY == 0:
                sink.put(snapshot(step, bits))
    for sink in sinks:
        sink.finish("stopped")


if __name__ == "__main__":
    main(*sys.argv[1:])
