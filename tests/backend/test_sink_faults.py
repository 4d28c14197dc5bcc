"""Every record reaches the database once and in order, whatever fails on the way."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from backend import sink, spool, store
from backend.store import ingest
from tests.backend.helpers import Exits, begin, metrics, open_sink, row, steps, story, wait


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = store.open_engine(f"sqlite:///{tmp_path / 'runs.db'}", busy_seconds=0.1)
    yield engine
    engine.dispose()


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


def test_without_the_check_of_acked_records_a_lost_answer_doubles_rows(engine: sa.Engine) -> None:
    """The broken twin: what the test above would find if the database did not count the records it has."""
    owner = begin(engine)
    record = {"t": 1.0, **metrics(1).model_dump()}
    ingest.flush(engine, owner, 0, [record], {})
    ingest.flush(engine, owner, 1, [record], {})  # a retry that believes the record is new
    assert steps(engine, owner.run_id) == [1, 1]
    answer = ingest.flush(engine, owner, 0, [record, record, record], {})
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
    ingest.flush(engine, dead, 0, [spool.decode(line) for line in lines[:3]], {})
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
