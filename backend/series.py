"""The curves of one run as typed columns, in the order of their sequence numbers: what the feed sends."""

import bisect
import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.models import TIMES

DOUBLE = ("step", "time", "energy", "samples")  # float32 would round an energy at 5e-8, above errors that users chase
MESSAGES = ("warning", "log", "control", "state")
_LARGEST = float(np.finfo(np.float32).max)
MAX_ROWS = 4000  # rows of one run in one frame


@dataclass(frozen=True)
class Slice:
    """What a reader that has everything up to `after` gets next: `n` rows, their columns, and all up to `to`.

    `undefined`: of a column, the rows (first, one past the last) whose NaN is a value; any other NaN is a gap.
    """

    after: int
    to: int
    n: int
    columns: list[tuple[str, str]]
    blocks: list[bytes]
    undefined: dict[str, list[tuple[int, int]]]
    rewinds: list[tuple[int, int]]
    messages: list[dict[str, Any]]


class Curve:
    """Train rows of a run, superseded ones included; append-only.

    One thread extends it while others read: a reader sees only what a finished `extend` has left.
    Memory: about 100 bytes a step, 100 MB for a run of a million steps.
    """

    def __init__(self) -> None:
        self._complete = (0, 0)  # sequence number up to which everything is in here, and rows up to there
        self.snapshot: dict[str, Any] | None = None
        self._n = 0
        self._capacity = 256
        self._seq = np.zeros(self._capacity, np.int64)
        self._columns = {name: self._empty(name) for name in DOUBLE}
        self._undefined: dict[str, list[tuple[int, int]]] = {}  # rows, in rising order
        self._alive = array("q")  # rows of the current series, steps rising
        self._rewinds: list[tuple[int, int, int]] = []  # sequence number, row before which it applies, step
        self._messages: list[dict[str, Any]] = []

    @property
    def last(self) -> int:
        """Sequence number up to which everything is in here."""
        return self._complete[0]

    def _empty(self, name: str) -> np.ndarray:
        return np.full(self._capacity, np.nan, np.float64 if name in DOUBLE else np.float32)

    def extend(self, events: Iterable[dict[str, Any]], last: int) -> None:
        """Append events with sequence numbers in (self.last, last]."""
        for event in events:
            kind = event["kind"]
            if kind == "metrics":
                if event.get("phase", "train") == "train":
                    self._append(event)
            elif kind == "rewind":
                self._rewind(event["seq"], int(event["step"]))
            elif kind == "snapshot":
                self.snapshot = event if event["n_chains"] else self.snapshot
            elif kind in MESSAGES:
                self._messages.append(_message(event))
        self._complete = (last, self._n)  # one assignment: a reader never sees half of it

    def _rewind(self, seq: int, step: int) -> None:
        steps = self._columns["step"]
        while self._alive and steps[self._alive[-1]] > step:
            self._alive.pop()
        self._rewinds.append((seq, self._n, step))

    def _append(self, event: dict[str, Any]) -> None:
        step = int(event["step"])
        if self._alive and self._columns["step"][self._alive[-1]] >= step:
            self._rewind(event["seq"], step - 1)  # a step that comes twice replaces the first
        if self._n == self._capacity:
            self._grow()
        row, columns = self._n, self._columns
        before = self._alive[-1] if self._alive else None
        scalars = event["scalars"]
        for name, value in scalars.items():
            if value is not None and name not in TIMES:
                if name not in columns:
                    columns[name] = self._empty(name)
                if math.isnan(value):
                    self._mark_undefined(name, row)
                columns[name][row] = value if name in DOUBLE else _single(value)
        columns["step"][row] = step
        for total, part in (("time", "step_seconds"), ("samples", "n_samples")):
            value = scalars.get(part)
            done = 0.0 if before is None else float(columns[total][before])
            columns[total][row] = done + (value if value is not None and math.isfinite(value) else 0.0)
        if (trained := scalars.get("train_seconds")) is not None:
            columns["time"][row] = trained
        self._seq[row] = event["seq"]
        self._alive.append(row)
        self._n += 1

    def _mark_undefined(self, name: str, row: int) -> None:
        spans = self._undefined.setdefault(name, [])
        if spans and spans[-1][1] == row:
            spans[-1] = (spans[-1][0], row + 1)
        else:
            spans.append((row, row + 1))

    def _grow(self) -> None:
        old, self._capacity = self._capacity, 2 * self._capacity
        self._seq = np.concatenate([self._seq, np.zeros(old, np.int64)])
        for name, values in list(self._columns.items()):
            grown = self._empty(name)
            grown[:old] = values
            self._columns[name] = grown

    def slice(self, after: int) -> Slice:
        """Up to 4000 rows that follow the sequence number `after`."""
        (last, n), seq = self._complete, self._seq
        low = int(np.searchsorted(seq[:n], after, "right"))
        high = min(n, low + MAX_ROWS)
        to = last if high == n else int(seq[high - 1])
        columns, blocks = [], []
        undefined = {name: _within(spans, low, high) for name, spans in list(self._undefined.items())}
        undefined = {name: spans for name, spans in undefined.items() if spans}
        for name, values in list(self._columns.items()):
            part = values[low:high]
            if name in DOUBLE or name in undefined or (high > low and not np.isnan(part).all()):
                columns.append((name, "f8" if name in DOUBLE else "f4"))
                blocks.append(part.tobytes())
        rewinds = [(row - low, step) for _, row, step in _between(self._rewinds, after, to, lambda item: item[0])]
        messages = _between(self._messages, after, to, lambda item: item["seq"])
        return Slice(after, max(to, after), high - low, columns, blocks, undefined, rewinds, messages)


def _single(value: float) -> float:
    """`value` within the range of float32: what is finite must not become infinite."""
    return max(-_LARGEST, min(_LARGEST, value)) if math.isfinite(value) else value


def _within(spans: list[tuple[int, int]], low: int, high: int) -> list[tuple[int, int]]:
    """The parts of the spans in [low, high), counted from `low`."""
    first = bisect.bisect_right(spans, low, key=lambda span: span[1])
    last = bisect.bisect_left(spans, high, key=lambda span: span[0])
    return [(max(start, low) - low, min(end, high) - low) for start, end in spans[first:last]]


def _between(items: list[Any], after: int, to: int, seq: Any) -> list[Any]:
    return items[bisect.bisect_right(items, after, key=seq) : bisect.bisect_right(items, to, key=seq)]


def _message(event: dict[str, Any]) -> dict[str, Any]:
    text = event.get("message") or event.get("reason") or event.get("action") or event.get("state")
    return {
        "seq": event["seq"],
        "kind": event["kind"],
        "step": event.get("step"),
        "code": event.get("code") or event.get("action") or event.get("state"),
        "message": text or "",
    }


def current_rows(events: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The scalars of each training step of the current series, superseded attempts left out, steps rising."""
    rows: dict[int, dict[str, Any]] = {}
    for event in events:
        if event["kind"] == "rewind":
            rows = {step: row for step, row in rows.items() if step <= event["step"]}
        elif event["kind"] == "metrics" and event.get("phase", "train") == "train":
            rows[int(event["step"])] = event["scalars"]
    return dict(sorted(rows.items()))


def brief(result: dict[str, Any] | None) -> dict[str, Any] | None:
    """A result without its arrays: lists and frames come often, and a map of pairs is large."""
    if not result or "observables" not in result:
        return result
    scalars = {
        name: entry
        for name, entry in result["observables"].items()
        if not (isinstance(entry, dict) and isinstance(entry.get("mean"), list))
    }
    return {**result, "observables": scalars}
