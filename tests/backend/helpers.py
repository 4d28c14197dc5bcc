"""What the tests of runs share: begin an attempt, read its story back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from backend import sink, store
from backend.store import ingest
from nqs_core.events import MetricsEvent

QUICK: dict[str, Any] = {"flush_seconds": 0.01, "heartbeat_seconds": 0.05, "grace_seconds": 0.2}


class Exits(list[int]):
    """Records how the sink wanted to end the process."""

    def __call__(self, status: int) -> None:
        self.append(status)


def begin(engine: sa.Engine, run_id: str | None = None) -> ingest.Owner:
    run_id = run_id or store.submit(engine, {"n_steps": 1000})
    claimed = store.claim_next(engine)
    assert claimed is not None
    owner = ingest.Owner(*claimed, claim=f"token{claimed[1]}")
    assert owner.run_id == run_id
    assert store.claim_attempt(engine, *owner, pid=1, host="here", slot="cpu:0") is not None
    return owner


def open_sink(engine: sa.Engine, owner: ingest.Owner, folder: Path, **options: Any) -> sink.Sink:
    return sink.Sink(engine, owner, folder, **{**QUICK, "exit": Exits(), **options})


def metrics(step: int, **scalars: float) -> MetricsEvent:
    return MetricsEvent(step=step, phase="train", scalars={"energy": -float(step), "step_seconds": 0.5, **scalars})


def timeless(numbers: dict[str, Any]) -> dict[str, Any]:
    """Scalars or a result without what the clock has said."""
    return {name: value for name, value in numbers.items() if name != "seconds" and not name.endswith("_seconds")}


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not until():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def story(engine: sa.Engine, run_id: str) -> list[dict[str, Any]]:
    """All events of a run, after checking that nothing is missing."""
    events, last = store.read_events(engine, run_id, limit=10**6)
    assert [event["seq"] for event in events] == list(range(1, last + 1))
    return events


def steps(engine: sa.Engine, run_id: str) -> list[int]:
    return [event["step"] for event in story(engine, run_id) if event["kind"] == "metrics"]


def row(engine: sa.Engine, run_id: str) -> dict[str, Any]:
    run = store.get_run(engine, run_id)
    assert run is not None
    return run
