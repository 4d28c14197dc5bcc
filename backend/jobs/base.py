"""What every kind of run gets, and how it reports."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from backend.settings import Settings
from backend.sink import Sink

LOG = logging.getLogger("spinscope.jobs")
T = TypeVar("T")

LastWord = tuple[str, dict[str, Any]]  # the state that the run ends in, and facts such as `result`
Steps = Iterator[tuple[int | None, LastWord | None]]  # the step after each event; the last one comes with the last word


class Stopped(Exception):
    """The run shall stop, in the middle of a computation."""


class Lost(Exception):
    """A process that does the work has vanished; the run is queued again as if this one had."""


@dataclass(frozen=True)
class Task:
    """One attempt of a run."""

    engine: Engine
    sink: Sink
    settings: Settings
    run_id: str
    attempt: int
    kind: str
    parent: str | None
    config: dict[str, Any]

    @property
    def checkpoints(self) -> Path:
        """The folder of this run's checkpoints."""
        return self.settings.run_folder(self.run_id) / "checkpoints"

    def ask(self, question: Callable[[Engine], T]) -> T:
        """The database's answer, waited for if it is away for a while."""
        return patiently(lambda: question(self.engine), time.monotonic() + self.settings.start_seconds)


def patiently(action: Callable[[], T], deadline: float) -> T:
    """The result of `action`, which is tried until `deadline` (monotonic) while the database does not answer."""
    pause = 0.1
    while True:
        try:
            return action()
        except SQLAlchemyError as error:
            if time.monotonic() > deadline:
                raise
            LOG.warning("the database does not answer: %.200s", error)
            time.sleep(pause)
            pause = min(2 * pause, 5.0)
