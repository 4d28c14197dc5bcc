"""What a run says reaches the database as it was said, and what the user wants reaches the run."""

from __future__ import annotations

import base64
import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from backend import models, store
from backend.store import ingest
from nqs_core.events import EVENT, Event, LogEvent, MetricsEvent, RewindEvent, SnapshotEvent, StateEvent, WarningEvent
from tests.backend.helpers import Exits, begin, metrics, open_sink, row, steps, story, wait


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = store.open_engine(f"sqlite:///{tmp_path / 'runs.db'}", busy_seconds=0.1)
    yield engine
    engine.dispose()


# ---- content


def test_events_come_back_as_they_went_in(engine: sa.Engine, tmp_path: Path) -> None:
    sigma = np.where(np.arange(2 * 5).reshape(2, 5) % 3 == 0, 1, -1)
    spins = base64.b64encode(np.packbits(sigma > 0).tobytes()).decode()
    given: list[Event] = [
        StateEvent(phase="train", step=0),
        MetricsEvent(step=1, phase="train", scalars={"energy": 0.1 + 0.2, "odd": 1e-300}, arrays={"c": [1.0, 2.0]}),
        MetricsEvent(step=1, phase="measure", scalars={"energy": 7.0}),
        SnapshotEvent(step=1, n_chains=2, n_sites=5, spins=spins, energies=[-1.5, 2.0]),
        WarningEvent(step=1, code="chains", message="mix slowly"),
        RewindEvent(step=0, checkpoint=None),
        LogEvent(message="line"),
    ]
    owner = begin(engine)
    out = open_sink(engine, owner, tmp_path)
    for event in given:
        out.put(event)
    assert out.finish("done", step=1, result={"energy": -1.0})
    told = story(engine, owner.run_id)[3:]
    for event, back in zip(given, told, strict=False):
        assert back.pop("attempt") == 1
        assert back.pop("t") > 1e9
        assert back.pop("seq") > 3
        assert EVENT.validate_python(back) == event
    assert told[len(given)]["result"] == {"energy": -1.0}
    assert len(told) == len(given) + 1
    assert not list(tmp_path.glob("spool*"))


def test_what_is_not_finite_is_kept_and_arrays_become_lists(engine: sa.Engine, tmp_path: Path) -> None:
    owner = begin(engine)
    out = open_sink(engine, owner, tmp_path)
    scalars = {"energy": math.nan, "variance": math.inf, "odd": math.nan, "fine": 1.0}
    out.put(MetricsEvent(step=1, phase="train", scalars=scalars, arrays={"c": np.array([1.0, np.nan])}))
    out.finish("stopped")
    event = next(event for event in story(engine, owner.run_id) if event["kind"] == "metrics")
    assert str(event["scalars"]) == str(scalars)
    assert str(event["arrays"]) == str({"c": [1.0, math.nan]})


def test_the_row_of_the_run_has_the_latest_values(engine: sa.Engine, tmp_path: Path) -> None:
    owner = begin(engine)
    out = open_sink(engine, owner, tmp_path)
    out.set(device="cpu", n_sites=16)
    out.put(metrics(1, jsd=0.25, step_seconds=60.0))
    for step in range(2, 12):
        out.put(metrics(step, ess=float(step), acceptance=0.5))
    out.put(WarningEvent(code="x", message="y"))
    wait(lambda: row(engine, owner.run_id)["warnings"] == 1)
    run = row(engine, owner.run_id)
    expected = {
        "phase": "train", "step": 11, "energy": -11.0, "ess": 11.0, "jsd": 0.25, "acceptance": 0.5, "device": "cpu",
        "n_sites": 16, "step_seconds": 0.5, "eta_seconds": 0.5 * (1000 - 11),
    }  # fmt: skip
    assert {name: run[name] for name in expected} == expected
    out.put(MetricsEvent(step=11, phase="measure", scalars={"energy": 5.0}))
    assert out.finish("done", result={"energy": -12.0, "energy_error": 0.1})
    run = row(engine, owner.run_id)
    assert (run["energy"], run["energy_error"], run["phase"], run["eta_seconds"]) == (-12.0, 0.1, None, None)


def test_old_snapshots_are_thinned_without_a_gap(engine: sa.Engine, tmp_path: Path) -> None:
    owner = begin(engine)
    out = open_sink(engine, owner, tmp_path)
    spins = base64.b64encode(b"\xff").decode()
    for step in range(1, 301):
        out.put(SnapshotEvent(step=step, n_chains=1, n_sites=8, spins=spins))
    out.finish("stopped")
    shots = [event for event in story(engine, owner.run_id) if event["kind"] == "snapshot"]
    full = [event["step"] for event in shots if event["n_chains"]]
    assert len(shots) == 300
    assert full[-ingest.KEPT :] == list(range(301 - ingest.KEPT, 301))
    assert full[:3] == [1, 2, 3]
    assert len(full) < 80
    assert all(EVENT.validate_python({k: v for k, v in e.items() if k not in ("seq", "t", "attempt")}) for e in shots)


def test_old_arrays_are_thinned_and_their_rows_stay(engine: sa.Engine, tmp_path: Path) -> None:
    owner = begin(engine)
    out = open_sink(engine, owner, tmp_path)
    for step in range(1, 901):
        arrays = {"correlation": [float(step)]} if step % 3 == 0 else {}
        out.put(MetricsEvent(step=step, phase="train", scalars={"energy": -1.0}, arrays=arrays))
    out.put(MetricsEvent(step=900, phase="measure", scalars={"energy": -1.0}))
    out.finish("stopped")
    rows = [event for event in story(engine, owner.run_id) if event["kind"] == "metrics"]
    assert len(rows) == 901
    full = [event["step"] for event in rows if event["arrays"]]
    assert all(event["arrays"]["correlation"] == [event["step"]] for event in rows if event["arrays"])
    assert full[-ingest.KEPT :] == list(range(900 - 3 * (ingest.KEPT - 1), 901, 3))
    older = full[: -ingest.KEPT]
    assert older[:3] == [3, 6, 9]
    assert all(b >= 1.15 * a for a, b in itertools.pairwise(older))
    assert all(b <= 1.15 * a + 3 for a, b in itertools.pairwise(older))


@pytest.mark.parametrize("sizes", [[1] * 200, [7] * 30, [500], [60, 1, 1, 120, 3]])
def test_what_is_thinned_does_not_depend_on_the_batches(engine: sa.Engine, sizes: list[int]) -> None:
    owner, acked = begin(engine), 0
    for size in sizes:
        batch = [
            {"kind": "metrics", "phase": "train", "step": step + 1, "t": 0.0, "scalars": {}, "arrays": {"c": [1.0]}}
            for step in range(acked, acked + size)
        ]
        acked += ingest.flush(engine, owner, acked, batch, {}).done
    full = [e["step"] for e in story(engine, owner.run_id) if e["kind"] == "metrics" and e["arrays"]]
    expected, last = [], 0.0
    for step in range(1, acked - ingest.KEPT + 1):
        if step >= 1.15 * last:
            expected.append(step)
            last = float(step)
    assert full == [*expected, *range(acked - ingest.KEPT + 1, acked + 1)]


def test_checkpoints_are_listed_and_progress_forgives_losses(engine: sa.Engine, tmp_path: Path) -> None:
    owner = begin(engine)
    store.lost(engine, *owner[:2], "test")
    owner = begin(engine, owner.run_id)
    out = open_sink(engine, owner, tmp_path)
    for step in (5, 6):
        path = tmp_path / f"step-{step}.ckpt"
        path.write_bytes(b"12345")
        out.checkpoint(step, path, "ab", kept=[path.name])
    out.put(metrics(7))
    wait(lambda: row(engine, owner.run_id)["step"] == 7)
    with store.reading(engine) as connection:
        listed = connection.execute(sa.select(models.checkpoints.c.step, models.checkpoints.c.bytes)).all()
        failures = connection.execute(sa.select(models.runs.c.failures)).scalar()
    assert [tuple(item) for item in listed] == [(6, 5)]
    assert failures == 0
    out.finish("stopped")
    story(engine, owner.run_id)


# ---- stop


def test_a_stop_is_heard_with_the_next_batch(engine: sa.Engine, tmp_path: Path) -> None:
    owner = begin(engine)
    out = open_sink(engine, owner, tmp_path, grace_seconds=30)
    assert out.stop_requested() is None
    store.request_stop(engine, owner.run_id)
    wait(lambda: out.stop_requested() == "stopped")
    out.terminate()
    assert out.stop_requested() == "stopped"  # a user's stop outlives the end of the machine
    assert out.finish("stopped", step=0)
    assert row(engine, owner.run_id)["state"] == "stopped"


@pytest.mark.parametrize("how", ["stop", "terminate"])
def test_a_process_that_does_not_react_is_ended(engine: sa.Engine, tmp_path: Path, how: str) -> None:
    owner, exits = begin(engine), Exits()
    out = open_sink(engine, owner, tmp_path, exit=exits)
    out.put(metrics(1))
    store.request_stop(engine, owner.run_id) if how == "stop" else out.terminate()
    wait(lambda: exits == [0])
    out.finish("done")  # too late
    run = row(engine, owner.run_id)
    assert run["state"] == ("stopped" if how == "stop" else "queued")
    assert steps(engine, owner.run_id) == [1]


def test_one_that_reacts_may_take_its_time(engine: sa.Engine, tmp_path: Path) -> None:
    owner, exits = begin(engine), Exits()
    out = open_sink(engine, owner, tmp_path, exit=exits, grace_seconds=0.05)
    store.request_stop(engine, owner.run_id)
    wait(lambda: out.stop_requested() is not None)
    time.sleep(0.2)  # a large checkpoint
    assert exits == []
    assert out.finish("stopped")


def test_the_heart_beats_without_records(engine: sa.Engine, tmp_path: Path) -> None:
    owner = begin(engine)
    out = open_sink(engine, owner, tmp_path)

    def beats() -> int:
        with store.reading(engine) as connection:
            return connection.execute(sa.select(models.runs.c.hb)).scalar_one()

    before = beats()
    wait(lambda: beats() >= before + 3)
    out.finish("stopped")
