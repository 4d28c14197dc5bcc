"""Exact diagonalisation of 24 spins through the command line: energy, memory and time."""

import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.presets import SPINSCOPE
from benchmarks.report import Row

# Ring length, J2 / J1 and energy in S^z = 0: the Majumdar-Ghosh point, and a row of the shipped table.
SYSTEMS = ((24, 0.5, -9.0), (24, 0.2, -9.831469900212301))
DIGITS = 1e-9
BYTES = 8e9


def measure() -> tuple[list[Row], dict[str, Any]]:
    """One row for each system; the memory is the largest of all so far."""
    rows, raw = [], []
    for length, second, energy in SYSTEMS:
        config = {
            "lattice": {"name": "chain", "params": {"length": length}},
            "hamiltonian": {"name": "j1j2", "params": {"J1": 1.0, "J2": second}},
            "sector": {"sz": 0, "spin_flip": 1},  # a label without a closed form
        }
        found, wall = _reference(config)
        n_bytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        off = found["energies"][0] - energy
        cells = (f"J1-J2 ring {length}, J2 = {second:g}", f"{off:+.1e}", f"{n_bytes / 1e9:.2f}", f"{wall:.0f}")
        rows.append(Row((*cells, f"< {DIGITS:g}, < {BYTES / 1e9:g} GB"), abs(off) < DIGITS and n_bytes < BYTES))
        raw.append({"config": config, "found": found, "wall_seconds": wall, "max_bytes": n_bytes})
    return rows, {"systems": raw}


def _reference(config: dict[str, Any]) -> tuple[dict[str, Any], float]:
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder, "config.json"), Path(folder, "reference.json")
        given.write_text(json.dumps(config), "utf-8")
        start = time.perf_counter()
        command = [SPINSCOPE, "reference", given, "--method", "exact", "--out", out]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads(out.read_text("utf-8")), time.perf_counter() - start
