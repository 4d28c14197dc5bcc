"""How long a run will take: its operations, and the speed of the device as earlier runs have shown it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine

from backend.store.reads import training_rows, worked
from nqs_core.ansatze.operations import Operations
from nqs_core.budget import Work, rates, seconds
from nqs_core.config import RunConfig

LOOKED_AT = 60  # newest runs of a device
COUNTED = 8  # of them, at most


class Pace:
    """Measured speeds, each run's read once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._measured: dict[str, float | None] = {}  # median seconds a step of a run

    def expect(self, config: RunConfig, work: Work, n_samples: int, device: str | None) -> dict[str, Any]:
        """Seconds of a step and of the whole run with its final measurement, without compiling; None where unknown.

        Args:
            config: of the run.
            work: operations of a step.
            n_samples: of one batch.
            device: as the agent calls it; None: no agent has said.
        """
        if device is None:
            return _unknown("no worker has reported its device yet")
        names = ["cpu"] if _on_cpu(device) else device.split(" + ")  # as JAX calls them
        found = worked(self._engine, names, LOOKED_AT)
        name = config.ansatz.name
        alike = self._ratios([run for run in found if run["config"]["ansatz"]["name"] == name], _on_cpu(device))
        ratios = alike or self._ratios(found, _on_cpu(device))
        if not ratios:
            return rough(config, work, n_samples, device)
        runs = f"{len(ratios)} run{'s' if len(ratios) > 1 else ''}"
        basis = f"from {runs} with {name} on this device" if alike else f"rough: from {runs} with other networks"
        return _answer(config, work, n_samples, device, statistics.median(ratios), len(ratios), basis)

    def _ratios(self, found: Sequence[Mapping[str, Any]], on_cpu: bool) -> list[float]:
        out: list[float] = []
        for run in found:
            measured = self._step_seconds(run["id"])
            planned = seconds(Operations(*run["work"]), rates(on_cpu, run["config"].get("precision", "float32")))
            if measured is not None and planned > 0:
                out.append(measured / planned)
            if len(out) == COUNTED:
                break
        return out

    def _step_seconds(self, run_id: str) -> float | None:
        """The median over the steps but the first, which compiles; None for a run of fewer than three."""
        if run_id not in self._measured:
            rows = [s for (s,) in training_rows(self._engine, run_id, ["step_seconds"])[1:] if s is not None]
            self._measured[run_id] = statistics.median(rows) if len(rows) > 1 else None
        return self._measured[run_id]


def rough(config: RunConfig, work: Work, n_samples: int, device: str) -> dict[str, Any]:
    """`Pace.expect` where no run has shown the speed of the device."""
    if not _on_cpu(device):
        return _unknown("the first run on this device will tell")
    return _answer(config, work, n_samples, device, 1.0, 0, "rough: no run on this device yet")


def _answer(
    config: RunConfig, work: Work, n_samples: int, device: str, slowness: float, n_runs: int, basis: str
) -> dict[str, Any]:
    """`slowness`: measured over nominal seconds."""
    nominal = rates(_on_cpu(device), config.precision)
    step, batch = (slowness * seconds(part, nominal) for part in (work.step, work.batch))
    total = config.n_steps * step + -(-config.measure // n_samples) * batch
    return {"step_seconds": step, "seconds": total, "n_runs": n_runs, "basis": basis}


def _unknown(why: str) -> dict[str, Any]:
    return {"step_seconds": None, "seconds": None, "n_runs": 0, "basis": why}


def _on_cpu(device: str) -> bool:
    return device.startswith("CPU")
