"""Every record reaches the database once and in order, whatever fails on the way."""

from __future__ import annotations

import base64
import math
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from backend import models, sink, spool, store
from backend.store import ingest, lod
from nqs_core.events import EVENT, Event, LogEvent, MetricsEvent, RewindEvent, SnapshotEvent, StateEvent, WarningEvent

QUICK = {"flush_seconds": 0.01, "heartbeat_seconds": 0.05, "grace_seconds": 0.2}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = store.open_engine(f"sqlite:///{tmp_path / 'runs.db'}", busy_seconds=0.1)
    yield engine
    engine.dispose()


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
    snapshot = store.latest_snapshot(engine, owner.run_id)
    assert snapshot is not None
    assert snapshot["spins"] == spins
    assert not list(tmp_path.glob("spool*"))


def test_not_a_number_is_absent_and_arrays_become_lists(engine: sa.Engine, tmp_path: Path) -> None:
    owner = begin(engine)
    out = open_sink(engine, owner, tmp_path)
    scalars = {"energy": math.nan, "variance": math.inf, "odd": math.nan, "fine": 1.0}
    out.put(MetricsEvent(step=1, phase="train", scalars=scalars, arrays={"c": np.array([1.0, np.nan])}))
    out.finish("stopped")
    event = next(event for event in story(engine, owner.run_id) if event["kind"] == "metrics")
    assert event["scalars"] == {"fine": 1.0}
    assert event["arrays"] == {"c": [1.0, None]}


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
    assert full[-ingest.KEPT_SNAPSHOTS :] == list(range(301 - ingest.KEPT_SNAPSHOTS, 301))
    assert full[:3] == [1, 2, 3]
    assert len(full) < 80
    assert all(EVENT.validate_python({k: v for k, v in e.items() if k not in ("seq", "t", "attempt")}) for e in shots)


def test_the_summary_is_that_of_the_current_series(engine: sa.Engine, tmp_path: Path) -> None:
    first = begin(engine)
    out = open_sink(engine, first, tmp_path)
    for step in range(1, 151):
        out.put(metrics(step, odd=1.0 * step))
    out.finish("queued")
    second = begin(engine, first.run_id)
    out = open_sink(engine, second, tmp_path)
    out.put(RewindEvent(step=100))
    for step in range(101, 131):
        out.put(metrics(step, odd=1000.0 * step))
    out.finish("stopped")
    series = {step: 1.0 * step for step in range(1, 101)} | {step: 1000.0 * step for step in range(101, 131)}
    expected = []
    for low in range(1, 131, lod.STEPS):
        part = {step: value for step, value in series.items() if low <= step < low + lod.STEPS}
        x = list(part.values())
        expected.append((min(part), max(part), len(x), pytest.approx(np.mean(x)), min(x), max(x)))
    found = store.read_lod(engine, first.run_id, ["odd", "energy"])
    assert [tuple(row.values()) for row in found["odd"]] == expected
    assert [row["n"] for row in found["energy"]] == [64, 64, 2]


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


# ---- faults


def test_a_lost_answer_to_commit_writes_nothing_twice(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, real = random.Random(0), ingest.flush
    lost, longer = [], []

    def flaky(engine: sa.Engine, owner: ingest.Owner, acked: int, records: list, *rest: Any) -> ingest.Flushed:
        answer = real(engine, owner, acked, records, *rest)
        if not answer.fresh:
            longer.append(len(records) > answer.done)
        elif records and len(lost) < 10 and chance.random() < 0.5:
            lost.append(len(records))
            raise OperationalError("commit", {}, Exception("connection lost after COMMIT was sent"))
        return answer

    monkeypatch.setattr(ingest, "flush", flaky)
    monkeypatch.setattr(sink, "PAUSE", 0.01)
    owner = begin(engine)
    out = open_sink(engine, owner, tmp_path)
    step = 0
    while len(lost) < 10:
        step += 1
        out.put(metrics(step))
        time.sleep(0.003)  # so that the next try is longer than what was committed
    out.finish("stopped")
    assert steps(engine, owner.run_id) == list(range(1, step + 1))
    assert any(longer)
    assert sum(row["n"] for row in store.read_lod(engine, owner.run_id, ["energy"])["energy"]) == step


def test_without_the_check_of_acked_records_a_lost_answer_doubles_rows(engine: sa.Engine) -> None:
    """The broken twin: what the test above would find if the database did not count the records it has."""
    owner = begin(engine)
    record = {"t": 1.0, **metrics(1).model_dump()}
    ingest.flush(engine, owner, 0, [record], {}, {})
    ingest.flush(engine, owner, 1, [record], {}, {})  # a retry that believes the record is new
    assert steps(engine, owner.run_id) == [1, 1]
    answer = ingest.flush(engine, owner, 0, [record, record, record], {}, {})
    assert (answer.done, answer.fresh) == (2, False)


def test_training_goes_on_while_the_database_is_locked(engine: sa.Engine, tmp_path: Path) -> None:
    owner = begin(engine)
    out = open_sink(engine, owner, tmp_path)
    out.put(metrics(1))
    wait(lambda: row(engine, owner.run_id)["step"] == 1)
    blocker = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    for step in range(2, 1202):
        out.put(metrics(step))
    time.sleep(0.3)
    assert len(spool.read(tmp_path, 1, 0)) == 1201
    assert row(engine, owner.run_id)["step"] == 1
    blocker.execute("COMMIT")
    blocker.close()
    assert out.finish("stopped")
    assert steps(engine, owner.run_id) == list(range(1, 1202))


def test_a_zombie_cannot_write(engine: sa.Engine, tmp_path: Path) -> None:
    zombie = begin(engine)
    exits = Exits()
    out = open_sink(engine, zombie, tmp_path, exit=exits)
    out.put(metrics(1))
    wait(lambda: row(engine, zombie.run_id)["step"] == 1)
    assert store.lost(engine, *zombie[:2], "asleep") == "queued"
    heir = begin(engine, zombie.run_id)
    before = story(engine, zombie.run_id)
    out.put(metrics(2))
    wait(lambda: exits == [sink.FENCED])
    assert not out.finish("done", result={"energy": 0.0})
    assert story(engine, zombie.run_id) == before
    assert row(engine, zombie.run_id)["state"] == "running"
    assert store.finish(engine, *heir, "stopped")


def test_what_kill_9_left_in_the_spool_is_written_by_the_next_attempt(engine: sa.Engine, tmp_path: Path) -> None:
    dead = begin(engine)
    left = spool.Spool(tmp_path, dead.attempt, segment=4)
    lines = [spool.encode({"t": 1.0, **metrics(step).model_dump()}) for step in range(1, 11)]
    lines.insert(
        5,
        spool.encode({"t": 1.0, "kind": "checkpoint", "step": 5, "path": "p", "bytes": 1, "sha256": "", "kept": ["p"]}),
    )
    for line in lines:
        left.append(line, lambda: False, lambda: None)
    left.close(remove=False)
    ingest.flush(engine, dead, 0, [spool.decode(line) for line in lines[:3]], {}, {})
    with open(spool.segments(tmp_path, 1)[-1][1], "ab") as file:
        file.write(lines[0][:20])  # killed in the middle of a line
    assert store.lost(engine, *dead[:2], "ended by signal 9") == "queued"
    # An heir that dies before it can replay must not lose anything either.
    early = begin(engine, dead.run_id)
    assert store.lost(engine, *early[:2], "ended by signal 9") == "queued"
    heir = begin(engine, dead.run_id)
    assert sink.recover(engine, heir, tmp_path) == 8
    assert sink.recover(engine, heir, tmp_path) == 0
    assert steps(engine, dead.run_id) == list(range(1, 11))
    assert {event["attempt"] for event in story(engine, dead.run_id) if event["kind"] == "metrics"} == {1}
    assert not list(tmp_path.glob("spool*"))
    assert store.read_lod(engine, dead.run_id, ["energy"])["energy"][0]["n"] == 10


def test_replaying_is_for_the_owner_and_once(engine: sa.Engine, tmp_path: Path) -> None:
    dead = begin(engine)
    assert store.lost(engine, *dead[:2], "gone") == "queued"
    heir = begin(engine, dead.run_id)
    records = [{"t": 1.0, **metrics(1).model_dump()}]
    with pytest.raises(ingest.FencedError):
        ingest.replay(engine, dead, 1, records)
    assert ingest.replay(engine, heir, 1, records)
    assert not ingest.replay(engine, heir, 1, records)  # the answer to the first COMMIT may have been lost
    assert steps(engine, dead.run_id) == [1]


def test_a_full_disk_holds_the_run_and_drops_nothing(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = begin(engine)
    out = open_sink(engine, owner, tmp_path)
    room, real = threading.Event(), out._spool._file

    class Full:
        closed = False

        def write(self, line: bytes) -> int:
            if not room.is_set():
                real.write(line[:7])  # a full disk takes a part
                raise OSError(28, "No space left on device")
            return real.write(line)

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    out.put(metrics(1))
    monkeypatch.setattr(out._spool, "_file", Full())
    held = threading.Thread(target=lambda: [out.put(metrics(step)) for step in (2, 3)])
    held.start()
    time.sleep(0.15)
    assert held.is_alive()
    room.set()
    held.join()
    assert [record["step"] for record in spool.read(tmp_path, 1, 0)] == [1, 2, 3]
    room.clear()
    out.terminate()
    with pytest.raises(spool.HeldError):
        out.put(metrics(4))
    room.set()
    assert out.finish("queued")
    assert steps(engine, owner.run_id) == [1, 2, 3]


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


def test_segments_that_the_database_has_are_removed(tmp_path: Path) -> None:
    out = spool.Spool(tmp_path, 1, segment=10)
    for i in range(35):
        out.append(spool.encode({"i": i}), lambda: False, lambda: None)
    for acked, first in ((9, 0), (10, 10), (29, 20), (35, 30)):
        out.trim(acked)
        assert spool.segments(tmp_path, 1)[0][0] == first
        assert [record["i"] for record in spool.read(tmp_path, 1, max(acked, first))] == list(
            range(max(acked, first), 35)
        )
    out.close(remove=True)
    assert spool.segments(tmp_path, 1) == []
