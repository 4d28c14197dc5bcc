"""How long a block takes, and how much of that JAX spends on tracing and compiling."""

import functools
import threading
import time
from collections.abc import Sequence
from types import TracebackType

import jax.monitoring

_COMPILATION = "/jax/core/compile/"  # events of tracing, lowering and compiling; they can lie inside each other
_running: list["Stopwatch"] = []


class Stopwatch:
    """Wall time of a `with` block in seconds: `compiling`, and `working`, which is all the rest.

    Only compilations of the thread that entered the block count.
    """

    def __init__(self) -> None:
        self.compiling = self.working = 0.0
        self._spans: list[tuple[float, float]] = []

    def __enter__(self) -> "Stopwatch":
        _listen()
        self._thread = threading.get_ident()
        _running.append(self)
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        end = time.perf_counter()
        _running.remove(self)
        self.compiling = covered(self._spans, self._start, end)
        self.working = end - self._start - self.compiling

    def add(self, start: float, end: float) -> None:
        """Count a compilation."""
        if threading.get_ident() == self._thread:
            self._spans.append((start, end))


def covered(spans: Sequence[tuple[float, float]], start: float, end: float) -> float:
    """The length of the part of [start, end] that lies in any of the spans."""
    total = 0.0
    for first, last in sorted(spans):
        first, last = max(first, start), min(last, end)
        if last > first:
            total += last - first
            start = last
    return total


@functools.cache
def _listen() -> None:
    jax.monitoring.register_event_duration_secs_listener(_heard)


def _heard(event: str, duration_secs: float, **kwargs: str | int) -> None:
    if event.startswith(_COMPILATION):
        end = time.perf_counter()
        for watch in tuple(_running):
            watch.add(end - duration_secs, end)
