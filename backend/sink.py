"""From the loop of a run to the database: spool file first, then batches from a thread of their own.

The training loop never waits for the database. The thread also beats the heart, learns from the answer to each batch
whether the user wants the run to stop, and ends a process whose main thread does not react.
"""

from __future__ import annotations

import logging
import os
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from backend import spool, store
from backend.engine.base import FENCED
from backend.store import ingest
from nqs_core.events import Event

LOG = logging.getLogger("spinscope.sink")
BATCH = 500
PAUSE = 0.1  # seconds after a first failure of the database; doubles up to 5


class Sink:
    """Writes the records of one attempt. `exit` ends the process; tests give their own."""

    def __init__(
        self,
        engine: Engine,
        owner: ingest.Owner,
        folder: Path,
        *,
        flush_seconds: float = 0.25,
        heartbeat_seconds: float = 2.0,
        grace_seconds: float = 10.0,
        exit: Callable[[int], Any] = os._exit,
    ) -> None:
        self._engine, self._owner = engine, owner
        self._interval, self._heartbeat, self._grace = flush_seconds, heartbeat_seconds, grace_seconds
        self._exit = exit
        self._spool = spool.Spool(folder, owner.attempt, pause=min(0.5, grace_seconds / 4))
        self._lock, self._kick = threading.Lock(), threading.Event()
        self._buffer: deque[bytes] = deque()
        self._values: dict[str, Any] = {}
        self._acked, self._beaten = 0, 0.0
        self._pace: deque[float] = deque(maxlen=32)
        self._stop: str | None = None  # the state that the run shall end in: "stopped" or "queued"
        self._stop_since, self._reacted, self._held = 0.0, False, False
        self._last_word: tuple[str, dict[str, Any]] | None = None
        self.ended = False
        self._thread = threading.Thread(target=self._loop, name="sink", daemon=True)
        self._thread.start()

    # ---- the main thread's side

    def put(self, event: Event) -> None:
        """Record an event.

        Raises:
            HeldError: no room on the disk, and the run was asked to stop.
        """
        self._put(event.model_dump())

    def checkpoint(self, step: int, path: Path, sha256: str, kept: list[str]) -> None:
        """Record that a checkpoint is on the disk."""
        about = {"path": path.name, "bytes": path.stat().st_size, "sha256": sha256, "kept": kept}
        self._put({"kind": "checkpoint", "step": step, **about})

    def set(self, **values: Any) -> None:
        """Write columns of the run (device, n_sites, ...) with the next batch."""
        with self._lock:
            self._values |= values
        self._kick.set()

    def stop_requested(self) -> str | None:
        """The state that the run shall end in, None to go on; asking counts as having reacted."""
        if self._stop:
            self._reacted = True
        return self._stop

    def terminate(self) -> None:
        """The machine or the agent goes down: end at the next step and continue at the next start."""
        self._ask("queued")
        self._kick.set()

    def finish(self, state: str, **about: Any) -> bool:
        """Write everything, then the last word; False if the database did not take it.

        The state "lost" queues the run again, or fails it, as if this process had vanished for that `reason`.
        """
        self._last_word = (state, about)
        self._kick.set()
        self._thread.join()
        self._spool.close(remove=self.ended)
        return self.ended

    def _put(self, record: dict[str, Any]) -> None:
        line = spool.encode({"t": time.time(), **record})
        self._spool.append(line, lambda: self._stop is not None, self._waiting)
        if self._held:
            LOG.info("there is room on the disk again")
            self._held = False
        with self._lock:
            self._buffer.append(line)

    def _waiting(self) -> None:
        if not self._held:
            LOG.error("the disk is full: waiting at this step until there is room")
            self._held = True

    # ---- the thread's side

    def _ask(self, state: str) -> None:
        if self._stop is None:
            self._stop_since = time.monotonic()
        if self._stop != "stopped":
            self._stop = state

    def _loop(self) -> None:
        pause = PAUSE
        while not self.ended:
            self._kick.wait(self._interval)
            self._kick.clear()
            try:
                self._tick()
                pause = PAUSE
            except ingest.FencedError:
                LOG.warning("fenced out: another attempt owns the run")
                self._exit(FENCED)
                return
            except Exception as error:
                # Whatever it is, the records are in the spool, and a dead thread would be a run without a heart.
                LOG.warning("the database did not take a batch: %s: %.200s", type(error).__name__, error)
                if isinstance(error, store.DiskFullError):
                    self._breathe()
                if self._overdue() and self._stop == "queued":
                    self._exit(1)
                    return
                time.sleep(pause)
                pause = min(2 * pause, 5.0)

    def _breathe(self) -> None:
        """Without room for the records: beat the heart alone, and hear whether the run shall stop all the same."""
        try:
            if ingest.wish(self._engine, self._owner) == "stop":
                self._ask("stopped")
            ingest.flush(self._engine, self._owner, self._acked, [], {})
            self._beaten = time.monotonic()
        except Exception as error:  # the next batch says what is to be done
            LOG.warning("no room for a sign of life: %.200s", error)

    def _tick(self) -> None:
        with self._lock:
            lines = [self._buffer[i] for i in range(min(BATCH, len(self._buffer)))]
            values = dict(self._values)
        if lines or values or time.monotonic() - self._beaten >= self._heartbeat:
            self._flush(lines, values)
            if self._buffer:
                self._kick.set()
        elif self._last_word:
            state, about = self._last_word
            if state == "lost":
                store.lost(self._engine, self._owner.run_id, self._owner.attempt, about["reason"])
            else:
                store.finish(self._engine, *self._owner, state, **about)
            self.ended = True
        if self._overdue() and not self._reacted and not self._last_word:
            LOG.error("no reaction for %g s: ending the process", self._grace)
            reason = "ended hard: the process did not react in time"
            store.finish(self._engine, *self._owner, self._stop or "stopped", reason=reason)
            self._exit(0)
            self.ended = True

    def _overdue(self) -> bool:
        return self._stop is not None and time.monotonic() - self._stop_since > self._grace

    def _flush(self, lines: list[bytes], values: dict[str, Any]) -> None:
        records = [spool.decode(line) for line in lines]
        for record in records:
            if record["kind"] == "metrics" and record["phase"] == "train" and record["scalars"].get("step_seconds"):
                self._pace.append(record["scalars"]["step_seconds"])
        # The median: a first step holds the compilation, others hold a checkpoint.
        pace = {"step_seconds": statistics.median(self._pace)} if self._pace else {}
        answer = ingest.flush(self._engine, self._owner, self._acked, records, values | pace)
        self._beaten = time.monotonic()
        self._acked += answer.done
        with self._lock:
            for _ in range(answer.done):
                self._buffer.popleft()
            for name, value in values.items():
                if answer.fresh and self._values.get(name) is value:
                    del self._values[name]
        self._spool.trim(self._acked)
        if answer.desired == "stop":
            self._ask("stopped")


def recover(engine: Engine, owner: ingest.Owner, folder: Path) -> int:
    """Write what earlier attempts had spooled, but not delivered, when they were killed; returns how many records."""
    total = 0
    for attempt, acked in ingest.unreplayed(engine, owner.run_id, owner.attempt):
        records = spool.read(folder, attempt, acked)
        if ingest.replay(engine, owner, attempt, records):
            total += len(records)
        for _, path in spool.segments(folder, attempt):
            path.unlink(missing_ok=True)
    return total
