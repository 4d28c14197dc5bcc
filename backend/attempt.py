"""One attempt from the last checkpoint to its end: what is saved, what is said, and what is said when it fails."""

from __future__ import annotations

import errno
import logging
import platform
import re
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax

from backend.settings import Settings
from backend.sink import Sink
from backend.spool import HeldError
from nqs_core import checkpoint, driver, problem
from nqs_core.config import parse
from nqs_core.errors import NQSError
from nqs_core.events import Event, MetricsEvent, RewindEvent, StateEvent, WarningEvent

LOG = logging.getLogger("spinscope.attempt")
FIRST_SAVE = 2.0  # seconds; the pause doubles up to the configured one, so that short runs lose little
MEMORY = re.compile(r"RESOURCE_EXHAUSTED|out of memory", re.IGNORECASE)  # GPU, CPU


class Drive(Protocol):
    """What runs: the core's driver; tests bring smaller ones."""

    def build(self, config: dict[str, Any], memory_bytes: int | None) -> Any:
        """The problem of a configuration; has `n_sites`."""
        ...

    def init(self, problem: Any, seed: int) -> Any:
        """The state before the first step."""
        ...

    def run(self, problem: Any, state: Any) -> Iterator[tuple[Event, Any]]:
        """Every event with the state it describes; from the state of a metrics event the run continues bit for bit."""
        ...


class Core:
    """The product's: `nqs_core.driver`."""

    def build(self, config: dict[str, Any], memory_bytes: int | None) -> Any:
        """The problem of a configuration."""
        return problem.build(parse(config), memory_bytes)

    def init(self, problem: Any, seed: int) -> Any:
        """The state before the first step."""
        return driver.init(problem, seed)

    def run(self, problem: Any, state: Any) -> Iterator[tuple[Event, Any]]:
        """Train, then measure."""
        return driver.run(problem, state)


def versions() -> dict[str, str]:
    """What decides whether the same state gives the same bits."""
    packages = {name: version(name) for name in ("spinscope", "jax", "jaxlib", "numpy")}
    return packages | {"python": platform.python_version()}


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


class Task(NamedTuple):
    """What is to be done. `on_record`: {file: sha256} of the checkpoints that the database knows.

    A process that was taken for dead can wake and leave another one, even under the same name, whose steps nobody has.
    """

    config: dict[str, Any]
    attempt: int
    folder: Path
    on_record: dict[str, str]


def work(drive: Drive, sink: Sink, task: Task, settings: Settings) -> bool:
    """Continue the run to its end or until it shall stop; whether the database has the last word."""
    step = None
    try:
        for step, last_word in _steps(drive, sink, task, settings):
            if last_word is not None:
                state, about = last_word
                return sink.finish(state, step=step, **about)
        raise RuntimeError("the run ended without a result")
    except HeldError:
        return sink.finish(sink.stop_requested() or "stopped", step=step, reason="the disk is full")
    except Exception as error:
        if not isinstance(error, NQSError):
            LOG.exception("the run failed")
        return sink.finish("failed", step=step, reason=explain(error))


def _steps(
    drive: Drive, sink: Sink, task: Task, settings: Settings
) -> Iterator[tuple[int | None, tuple[str, dict[str, Any]] | None]]:
    """(step, None) after each event, (step, (state, facts)) when it is over."""
    built = drive.build(task.config, settings.memory_bytes or None)
    device = jax.devices()[0].device_kind
    meta = {"config": task.config, "device": device, "versions": versions()}
    sink.set(device=device, versions=meta["versions"], n_sites=built.n_sites)
    start = _resume(sink, drive.init(built, task.config.get("seed", 0)), task, meta)
    saver = Saver(sink, task.folder, meta, settings.checkpoint_seconds)
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


def _resume(sink: Sink, fresh: Any, task: Task, meta: dict[str, Any]) -> Any:
    found = checkpoint.latest(task.folder, fresh, task.on_record)
    for path, why in found.bad:
        path.rename(path.with_suffix(".unused"))  # else it would count among the newest, which are kept
        sink.put(WarningEvent(code="checkpoint", message=f"the checkpoint {path.name} is not used: {why}"))
    if task.attempt > 1:
        sink.put(RewindEvent(step=found.step, checkpoint=found.path.name if found.path else None))
    if found.path is None:
        return fresh
    changed = [name for name in ("device", "versions") if found.meta.get(name) != meta[name]]
    if changed:
        before = ", ".join(f"{name} {found.meta.get(name)} -> {meta[name]}" for name in changed)
        message = f"the run continues from its checkpoint, but not bit for bit as before: {before}"
        sink.put(WarningEvent(step=found.step, code="device", message=message))
    return found.state


def explain(error: Exception) -> str:
    """What a user should read about a failure."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, NQSError):
        return text[:2000]
    if isinstance(error, MemoryError) or MEMORY.search(text):
        return f"out of memory; fewer samples, a smaller network or a smaller lattice need less ({text[:500]})"
    return f"{type(error).__name__}: {text[:1500]} (the run's log has more)"
