"""More final samples, or other observables, of a run that is left as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backend import store
from backend.jobs.base import Task
from backend.jobs.vmc import Core
from nqs_core import checkpoint, driver
from nqs_core.errors import NQSError
from nqs_core.events import Event, MetricsEvent, WarningEvent


class Again(Core):
    """The core's driver, from the parent's last checkpoint instead of from the first step."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def init(self, problem: Any, seed: int) -> Any:
        """The parent's parameters and chains, with nothing measured yet.

        Raises:
            NQSError: the parent or its checkpoint is gone.
        """
        return driver.remeasure(problem, self._trained(), seed)

    def run(self, problem: Any, state: Any) -> Iterator[tuple[Event, Any]]:
        """Measure; the steps of such a run are its batches."""
        for event, after in driver.run(problem, state):
            if isinstance(event, MetricsEvent):
                measured = after.measured
                pace = event.scalars.get("step_seconds")
                done, total = int(measured.n_batches), int(measured.energies.shape[0])
                self._task.sink.set(step=done, n_steps=total, step_seconds=pace)
            yield event, after

    def _trained(self) -> Any:
        parent, settings = self._task.parent or "", self._task.settings
        run = self._task.ask(lambda engine: store.get_run(engine, parent))
        if run is None:
            raise NQSError("the run that was to be measured is gone")
        on_record = self._task.ask(lambda engine: store.checkpoint_hashes(engine, parent))
        before = self.build(run["config"], settings.memory_bytes or None)
        folder = settings.run_folder(parent) / "checkpoints"
        found = checkpoint.latest(folder, driver.blank(before), on_record)
        reasons = "; ".join(f"{path.name}: {why}" for path, why in found.bad)
        if found.path is None:
            raise NQSError(
                f"the run {run['name']!r} has no checkpoint to measure" + (f" ({reasons})" if reasons else "")
            )
        if found.bad:
            text = f"measured at step {found.step}: the run's newer checkpoints cannot be used ({reasons})"
            self._task.sink.put(WarningEvent(step=found.step, code="checkpoint", message=text))
        return found.state
