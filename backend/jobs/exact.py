"""The lowest levels of a system by a closed form or by exact diagonalisation."""

from __future__ import annotations

import time
from typing import Any

from backend import references
from backend.jobs.base import Steps, Stopped, Task
from backend.provenance import provenance
from nqs_core.config import ReferenceJob, parse_as
from nqs_core.events import MetricsEvent, StateEvent
from nqs_core.lattices import LATTICES
from nqs_core.reference import Reference, compute
from nqs_core.reference.exact import MEMORY_LIMIT


def steps(task: Task) -> Steps:
    """Compute the levels in one step, which has no result before its end."""
    sink, began = task.sink, time.monotonic()
    job = parse_as(ReferenceJob, task.config)
    n_sites = LATTICES.build(job.lattice).n_sites
    sink.set(device="cpu", n_sites=n_sites, n_steps=1, versions=provenance("numpy", "scipy"))
    sink.put(StateEvent(phase="train", step=0))
    yield 0, None

    def tick() -> None:
        if sink.stop_requested():
            raise Stopped

    try:
        found = compute(job, job.levels, "auto", task.settings.memory_bytes or MEMORY_LIMIT, tick)
    except Stopped:
        yield 0, (sink.stop_requested() or "stopped", {})
        return
    seconds = time.monotonic() - began
    energy = found[0].energy
    scalars = {"energy": energy, "energy_per_site": energy / n_sites, "step_seconds": seconds}
    sink.put(MetricsEvent(step=1, phase="train", scalars=scalars))
    task.ask(lambda engine: references.record(engine, task.run_id, job, found))
    yield 1, ("done", {"result": _result(found, n_sites, seconds)})


def _result(found: list[Reference], n_sites: int, seconds: float) -> dict[str, Any]:
    lowest = found[0]
    levels = [{name: getattr(level, name) for name in ("level", "energy", "uncertainty")} for level in found]
    about = {"energy_per_site": lowest.energy / n_sites, "energy_error": lowest.uncertainty, "seconds": seconds}
    return references.as_dict(lowest) | about | {"levels": levels}
