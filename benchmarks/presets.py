"""The presets against their references, through the command line as a user runs them."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import Row
from benchmarks.turns import ROOT

SPINSCOPE = ROOT / ".venv" / "bin" / "spinscope"
SEEDS = (0, 1, 2)


class Target(NamedTuple):
    """Largest |E - E0| / |E0| of the final measurement, and the steps and seconds of two cores that it may take."""

    tolerance: float
    steps: int
    seconds: float | None = None


TARGETS = {
    "tfim-chain-16": Target(3e-4, 300, 60.0),
    "heisenberg-chain-16": Target(2e-3, 300),
    "tfim-4x4": Target(2e-3, 300),
    "heisenberg-ring-8-pi": Target(1e-3, 1000),
    "heisenberg-4x4": Target(2e-3, 1000),
    "j1j2-4x4": Target(5e-3, 1000),
    "long-range-tfim-16": Target(1e-4, 160),
}
SIGMAS = 5.0  # an energy further below an exact reference than this is wrong, not good


def measure(names: Iterable[str] = TARGETS) -> tuple[list[Row], dict[str, Any]]:
    """One row for each of these presets and each seed.

    Raises:
        KeyError: a preset that has a target does not exist.
    """
    listed = subprocess.run([SPINSCOPE, "catalog"], check=True, capture_output=True, text=True)
    presets = {preset["name"]: preset for preset in json.loads(listed.stdout)["presets"]}
    rows, raw = [], []
    for name in names:
        tolerance, steps, seconds = TARGETS[name]
        for seed in SEEDS:
            result, wall = _run(presets[name]["config"], seed)
            error = result["relative_error"]
            sys.stderr.write(f"{name}, seed {seed}: relative error {error:+.1e} in {wall:.0f} s\n")  # all take minutes
            sigmas = (result["energy"] - result["reference"]["energy"]) / result["energy_error"]
            holds = abs(error) < tolerance and sigmas > -SIGMAS and result["n_steps"] <= steps
            holds = holds and (seconds is None or wall < seconds)
            wanted = f"< {tolerance:g}" + (f" in {seconds:g} s" if seconds else "")
            cells = (name, str(seed), f"{error:+.1e}", f"{sigmas:+.1f}", str(result["n_steps"]), f"{wall:.1f}", wanted)
            rows.append(Row(cells, holds))
            raw.append({"preset": name, "seed": seed, "wall_seconds": wall, "result": result})
    return rows, {"runs": raw}


def _run(config: dict[str, Any], seed: int) -> tuple[dict[str, Any], float]:
    """The result of a run in a process of its own, and the wall time from start to exit."""
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder, "config.json"), Path(folder, "result.json")
        given.write_text(json.dumps(config), "utf-8")
        start = time.perf_counter()
        command = [SPINSCOPE, "run", given, "--seed", str(seed), "--out", out]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return json.loads(out.read_text("utf-8")), time.perf_counter() - start
