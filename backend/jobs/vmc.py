"""A run of the VMC loop from its last checkpoint on, and what is saved of it."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import jax

from backend import store
from backend.jobs.base import Steps, Task
from backend.provenance import PACKAGES, provenance, versions
from backend.sink import Sink
from nqs_core import checkpoint, driver, problem, warm_start
from nqs_core.config import WeightsFile, parse
from nqs_core.events import Event, MetricsEvent, RewindEvent, StateEvent, WarningEvent

LOG = logging.getLogger("spinscope.vmc")
FIRST_SAVE = 2.0  # seconds; the pause doubles up to the configured one, so that short runs lose little


class Drive(Protocol):
    """What runs: the core's driver; tests bring smaller ones."""

    def build(self, config: dict[str, Any], memory_bytes: int | None) -> Any:
        """The problem of a configuration; has `n_sites` and `spectrum`."""
        ...

    def init(self, problem: Any, seed: int) -> Any:
        """The state before the first step."""
        ...

    def run(self, problem: Any, state: Any) -> Iterator[tuple[Event, Any]]:
        """Every event with the state it describes; from the state of a metrics event the run continues bit for bit."""
        ...


class Core:
    """The product's: `nqs_core.driver`; `start` is where the parameters are that a warm start begins with.

    Published weights are beside it, with the ending of their file.
    """

    def __init__(self, start: Path | None = None) -> None:
        self._start = start

    def build(self, config: dict[str, Any], memory_bytes: int | None) -> Any:
        """The problem of a configuration; the run's log gets how it finds its derivatives."""
        built = problem.build(parse(config), memory_bytes)
        LOG.info("update: %s", problem.describe_update(built))
        return built

    def init(self, problem: Any, seed: int) -> Any:
        """The state before the first step.

        Raises:
            NQSError: the parameters that the run starts from cannot be read.
        """
        origin = problem.config.init_from
        if origin is None or self._start is None:
            return driver.init(problem, seed)
        if isinstance(origin, WeightsFile):
            source = warm_start.Weights(self._start.with_suffix(Path(origin.file).suffix), origin.sha256)
            return warm_start.start(problem, source, seed)
        return warm_start.start(problem, warm_start.read(self._start), seed)

    def run(self, problem: Any, state: Any) -> Iterator[tuple[Event, Any]]:
        """Train, then measure."""
        return driver.run(problem, state)


class Saver:
    """Writes checkpoints now and then, and at the end; a full disk costs a checkpoint, never the run."""

    def __init__(self, sink: Sink, folder: Path, meta: dict[str, Any], pause: float) -> None:
        self._sink, self._folder, self._meta = sink, folder, meta
        self._longest, self._pause = pause, min(FIRST_SAVE, pause)
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time again."""
        return time.monotonic() - self._last >= self._pause

    def save(self, state: Any, step: int) -> None:
        """Save `state` as that of `step`."""
        try:
            saved = checkpoint.save(self._folder, state, step, self._meta)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            LOG.error("no checkpoint at step %d: the disk is full", step)
        else:
            self._sink.checkpoint(step, saved.path, saved.sha256, saved.kept)
        self._pause = min(2 * self._pause, self._longest)
        self._last = time.monotonic()


def steps(task: Task, drive: Drive) -> Steps:
    """Continue the run to its end or until it shall stop."""
    sink = task.sink
    built = drive.build(task.config, task.settings.memory_bytes or None)
    device = jax.devices()[0].device_kind
    meta = {"config": task.config, "device": device, "versions": versions(*PACKAGES)}
    sink.set(device=device, versions=provenance(*PACKAGES), n_sites=built.n_sites, spectrum=list(built.spectrum))
    start = _resume(drive.init(built, task.config.get("seed", 0)), task, meta)
    saver = Saver(sink, task.checkpoints, meta, task.settings.checkpoint_seconds)
    for event, state in drive.run(built, start):
        want = sink.stop_requested()
        if isinstance(event, StateEvent) and event.state == "done":
            saver.save(state, event.step or 0)
            yield event.step, ("done", {"result": event.result})
            return
        sink.put(event)
        if isinstance(event, MetricsEvent):  # only these say all that their state has behind it
            if want or saver.due():
                saver.save(state, event.step)
            yield event.step, (want, {}) if want else None
        elif want and isinstance(event, StateEvent) and event.phase == "compiling":
            yield event.step, (want, {})  # nothing was done yet


def _resume(fresh: Any, task: Task, meta: dict[str, Any]) -> Any:
    # A process that was taken for dead can wake and leave a checkpoint, even under the same name, whose steps nobody
    # has: only those count that the database knows.
    on_record = task.ask(lambda engine: store.checkpoint_hashes(engine, task.run_id))
    found = checkpoint.latest(task.checkpoints, fresh, on_record)
    for path, why in found.bad:
        path.rename(path.with_suffix(".unused"))  # else it would count among the newest, which are kept
        task.sink.put(WarningEvent(code="checkpoint", message=f"the checkpoint {path.name} is not used: {why}"))
    if task.attempt > 1:
        task.sink.put(RewindEvent(step=found.step, checkpoint=found.path.name if found.path else None))
    if found.path is None:
        return fresh
    changed = [name for name in ("device", "versions") if found.meta.get(name) != meta[name]]
    if changed:
        before = ", ".join(f"{name} {found.meta.get(name)} -> {meta[name]}" for name in changed)
        message = f"the run continues from its checkpoint, but not bit for bit as before: {before}"
        task.sink.put(WarningEvent(step=found.step, code="device", message=message))
    return found.state
