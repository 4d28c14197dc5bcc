"""How long runs work, and what is known of how long they will."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend import store
from backend.series import Curve
from tests.backend.feeding import Feeder
from tests.backend.helpers import row


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = store.open_engine(f"sqlite:///{tmp_path}/test.db")
    yield engine
    engine.dispose()


def began_earlier(engine: sa.Engine, seconds: float) -> None:
    """As if the newest attempt had begun earlier."""
    with engine.begin() as connection:
        newest = "attempt = (select max(attempt) from attempts)"
        connection.execute(sa.text(f"update attempts set started = started - {seconds} where {newest}"))


def test_a_runtime_never_shrinks(engine: sa.Engine) -> None:
    feeder = Feeder(engine)
    began_earlier(engine, 100)
    feeder.train(3, train_seconds=1.5)
    seen = [row(engine, feeder.run)["runtime_seconds"]]
    assert 100 <= seen[0] < 160
    store.finish(engine, *feeder.owner, "stopped")
    seen.append(row(engine, feeder.run)["runtime_seconds"])
    store.request_resume(engine, feeder.run)
    seen.append(row(engine, feeder.run)["runtime_seconds"])
    feeder.claim()
    began_earlier(engine, 50)
    seen.append(row(engine, feeder.run)["runtime_seconds"])
    store.finish(engine, *feeder.owner, "done", result={"energy": -1.0, "seconds": 1.5})
    seen.append(row(engine, feeder.run)["runtime_seconds"])
    assert seen == sorted(seen)
    assert 150 <= seen[-1] < 260


def test_the_start_is_that_of_the_first_attempt(engine: sa.Engine) -> None:
    feeder = Feeder(engine)
    first = row(engine, feeder.run)["started"]
    store.finish(engine, *feeder.owner, "queued")
    feeder.claim()
    assert row(engine, feeder.run)["started"] == first


def test_the_time_left_is_told_from_the_third_step_on(engine: sa.Engine) -> None:
    feeder = Feeder(engine)
    told = []
    for _ in range(3):
        feeder.train(1)
        told.append(row(engine, feeder.run)["eta_seconds"])
    assert told == [None, None, 0.5 * (100_000 - 3)]


def test_a_run_shows_what_its_time_was_spent_on(engine: sa.Engine) -> None:
    feeder = Feeder(engine)
    feeder.train(2, compile_seconds=9.0, train_seconds=1.0, measure_seconds=0.25)
    scalars = {"compile_seconds": 10.0, "train_seconds": 1.0, "measure_seconds": 0.5}
    feeder.put({"kind": "metrics", "phase": "measure", "step": 2, "scalars": scalars})
    assert {name: row(engine, feeder.run)[name] for name in scalars} == scalars


def test_the_time_axis_is_training_time() -> None:
    curve = Curve()

    def event(seq: int, **scalars: float) -> dict[str, object]:
        return {"kind": "metrics", "seq": seq, "step": seq, "phase": "train", "scalars": {"energy": -1.0, **scalars}}

    curve.extend([event(1, step_seconds=9.0, train_seconds=0.5), event(2, step_seconds=0.5, train_seconds=1.0)], 2)
    found = curve.slice(0)
    names = [name for name, _ in found.columns]
    assert memoryview(found.blocks[names.index("time")]).cast("d").tolist() == [0.5, 1.0]
    assert "train_seconds" not in names
