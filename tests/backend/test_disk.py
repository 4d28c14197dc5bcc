"""A disk without room holds runs and loses nothing; it is said in a sentence, and runs can be deleted from it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from backend import agent as agents
from backend import disk, main, models, store
from backend.agent import Agent
from backend.disk import Room
from backend.engine import Local
from backend.main import create_app
from backend.settings import Settings
from backend.store import ingest
from tests.backend.helpers import QUICK, begin, metrics, open_sink, row, steps, story, wait
from tests.backend.serving import free_port, serving

GOOD: dict[str, Any] = {
    "lattice": {"name": "chain", "params": {"length": 4}},
    "hamiltonian": {"name": "tfim"},
    "n_steps": 3,
}


@pytest.fixture(autouse=True)
def _cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server traces its first configuration in a thread, which these short lives would not see the end of."""
    monkeypatch.setattr(main, "_warm_up", lambda _: None)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB, where this user may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    with contextlib.suppress(OSError):
        if subprocess.run(mount, capture_output=True).returncode == 0:
            yield folder
            subprocess.run(["umount", "-l", str(folder)], check=True)
            return
    pytest.skip("no file system can be mounted here")


def fill(folder: Path) -> Path:
    """Leave no room for another byte."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), open(ballast, "ab", buffering=0) as file:
        for size in (1_000_000, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size) == size:
                    pass
    return ballast


@pytest.fixture
def stuffed(tmp_path: Path) -> Iterator[tuple[sa.Engine, Callable[[bool], None]]]:
    """A database, and what takes all room from it or gives it back."""
    engine = store.open_engine(f"sqlite:///{tmp_path / 'runs.db'}", busy_seconds=0.1)
    full = False

    def take(value: bool) -> None:
        nonlocal full
        full = value
        engine.pool.dispose()

    @event.listens_for(engine, "connect")
    def _(connection: Any, _: object) -> None:
        if full:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages}")

    yield engine, take
    engine.dispose()


# ---- what is said


def test_no_room_is_a_sentence_that_names_the_file(stuffed: Any, tmp_path: Path) -> None:
    engine, take = stuffed
    run = store.submit(engine, {"n_steps": 5})
    take(True)
    with pytest.raises(
        store.DiskFullError, match=r"^the disk is full: nothing can be written to .*runs\.db; free some"
    ):
        store.update_run(engine, run, notes="x" * 100_000)
    assert row(engine, run)["notes"] == ""
    take(False)
    store.update_run(engine, run, notes="y" * 100_000)
    assert len(row(engine, run)["notes"]) == 100_000


def test_room_is_looked_for_where_there_is_little_or_something_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[Path] = []

    def takes(folder: Path) -> bool:
        tries.append(folder)
        return False

    monkeypatch.setattr(disk, "takes", takes)
    free = 2 * disk.PLENTY
    monkeypatch.setattr(Room, "free", lambda _: free)
    room = Room(tmp_path)
    assert (room.full(), tries) == (False, [])
    room.notice()  # a quota, of which the disk says nothing
    assert (room.full(), room.full(), tries) == (True, True, [tmp_path])
    monkeypatch.setattr(disk, "SECONDS", 0.0)
    free, room = 1000, Room(tmp_path)
    assert room.full()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES])
def test_only_a_full_disk_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(**_: Any) -> None:
        raise OSError(number, os.strerror(number))

    assert disk.takes(tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(disk.tempfile, "TemporaryFile", refuse)
    assert disk.takes(tmp_path) is (number == errno.EACCES)


def test_the_reserve_is_kept_given_up_and_kept_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(tmp_path)
    room.keep()
    assert (tmp_path / "reserve").stat().st_size == disk.RESERVE
    room.give_up()
    assert not (tmp_path / "reserve").exists()
    monkeypatch.setattr(Room, "free", lambda _: 9 * disk.RESERVE)
    room.keep()
    assert not (tmp_path / "reserve").exists()  # others need the room more


# ---- what runs do


def test_a_run_lives_and_hears_a_stop_though_its_records_find_no_room(
    stuffed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = stuffed
    real, full = ingest.flush, True

    def flush(engine: sa.Engine, owner: ingest.Owner, acked: int, records: Any, values: Any) -> ingest.Flushed:
        if full and records:
            raise store.DiskFullError("runs.db")
        return real(engine, owner, acked, records, values)

    monkeypatch.setattr(ingest, "flush", flush)
    owner = begin(engine)
    out = open_sink(engine, owner, tmp_path, grace_seconds=30.0)
    out.put(metrics(1))

    def beats() -> int:
        with store.reading(engine) as connection:
            return connection.execute(sa.select(models.runs.c.hb)).scalar_one()

    before = beats()
    wait(lambda: beats() >= before + 3)
    store.request_stop(engine, owner.run_id)
    wait(lambda: out.stop_requested() == "stopped")
    assert steps(engine, owner.run_id) == []
    full = False
    assert out.finish("stopped")
    assert steps(engine, owner.run_id) == [1]


@pytest.mark.parametrize("why", ["no room", "no beat", "nothing"])
def test_nobody_is_taken_for_dead_where_nobody_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(agents, "RETRY_SECONDS", 0.0)
    settings = Settings(data_dir=tmp_path, **QUICK, lost_seconds=0.2)
    engine = store.open_engine(settings.db_url)
    owner = begin(engine)
    agent = Agent(settings, engine, Local(settings, ["cpu:0"], spares=False))
    agent.tick()
    if why == "no room":
        agent.room.full = lambda: True  # type: ignore[method-assign]
    for _ in range(3):
        time.sleep(0.15)
        if why == "no beat":
            agent._beaten = time.monotonic() - 60  # the database takes nothing from this process either
        agent._watch(store.work(engine).active)
    assert row(engine, owner.run_id)["state"] == ("queued" if why == "nothing" else "running")
    engine.dispose()


def test_no_run_is_started_without_room(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, **QUICK)
    engine = store.open_engine(settings.db_url)
    run = store.submit(engine, {"n_steps": 5})
    agent = Agent(settings, engine, Local(settings, ["cpu:0"], spares=False, command=("true",)))
    agent.room.full = lambda: True  # type: ignore[method-assign]
    agent.tick()
    assert row(engine, run)["state"] == "queued"
    agent.room.full = lambda: False  # type: ignore[method-assign]
    agent.tick()
    assert row(engine, run)["state"] == "starting"
    agent.local.close(0.0)
    engine.dispose()


def test_a_run_holds_on_a_full_disk_and_goes_on_when_there_is_room(small: Path) -> None:
    settings = Settings(data_dir=small, checkpoint_seconds=0.2, **{**QUICK, "grace_seconds": 20.0}, lost_seconds=1.5)
    engine = store.open_engine(settings.db_url)
    run = store.submit(engine, {"n_steps": 150, "seed": 5, "pause": 0.02})
    command = (sys.executable, "-m", "tests.backend.toy")
    agent = Agent(settings, engine, Local(settings, ["cpu:0"], command=command, spares=False))

    def tick() -> dict[str, Any]:
        with contextlib.suppress(store.DiskFullError):
            agent.tick()
        time.sleep(0.02)
        return row(engine, run)

    try:
        wait_long(lambda: tick()["step"] >= 5)
        ballast = fill(small)
        held, until = tick(), time.monotonic() + 2.5 * settings.lost_seconds
        while time.monotonic() < until:
            held = tick()
        assert (held["state"], held["attempt"]) == ("running", 1)
        assert held["step"] < 150
        ballast.unlink()
        wait_long(lambda: tick()["state"] == "done")
    finally:
        agent.local.close(0.0)
    assert steps(engine, run) == list(range(1, 151))
    assert not [event for event in story(engine, run) if event["kind"] == "rewind"]
    engine.dispose()


def wait_long(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not until():
        assert time.monotonic() < deadline, "it never happened"


# ---- what a user can do


def test_on_a_full_disk_the_api_says_so_and_runs_can_be_stopped_and_deleted(small: Path) -> None:
    settings = Settings(data_dir=small, ui_port=free_port())
    engine = store.open_engine(settings.db_url)
    (small / "reserve").write_bytes(os.urandom(disk.RESERVE // 2))  # so small a disk gets none by itself
    held = begin(engine).run_id
    ended = store.submit(engine, {"n_steps": 5})
    store.request_stop(engine, ended)
    store.update_run(engine, ended, notes="x" * 500_000)
    settings.run_folder(ended).mkdir(parents=True)
    (settings.run_folder(ended) / "checkpoint").write_bytes(b"x" * 100_000)
    with serving(create_app(settings)) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as api:
        assert api.get("/api/health").json()["disk"]["problem"] is None
        fill(small)
        for method, path, body in (
            ("POST", "/api/runs", GOOD | {"name": "x" * 200, "n_steps": 4}),
            ("PATCH", f"/api/runs/{ended}", {"notes": "y" * 19_000}),
        ):
            answer = api.request(method, path, json=body)
            for _ in range(200):  # what SQLite has left in its log is room, too
                if answer.status_code == 507:
                    break
                answer = api.request(method, path, json=body)
            assert answer.status_code == 507
            assert "the disk is full" in answer.json()["detail"]
        wait(lambda: "until then runs wait" in (api.get("/api/health").json()["disk"]["problem"] or ""))
        assert api.post(f"/api/runs/{held}/stop").status_code == 202
        fill(small)
        assert api.delete(f"/api/runs/{ended}").status_code == 204
        assert api.get(f"/api/runs/{ended}").status_code == 404
        assert not settings.run_folder(ended).exists()
    engine.dispose()


def test_deleting_takes_files_first_where_rows_find_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=tmp_path, ui_port=free_port())
    engine = store.open_engine(settings.db_url)
    Room(tmp_path).keep()
    active, ended = begin(engine).run_id, store.submit(engine, {"n_steps": 5})
    store.request_stop(engine, ended)
    for run in (active, ended):
        settings.run_folder(run).mkdir(parents=True)
    real = store.delete_run

    def delete(engine: sa.Engine, run: str, folder: Path) -> None:
        if settings.run_folder(ended).exists() or (tmp_path / "reserve").exists():
            raise store.DiskFullError("runs.db")
        real(engine, run, folder)

    monkeypatch.setattr(store, "delete_run", delete)
    with serving(create_app(settings)) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as api:
        assert api.delete(f"/api/runs/{active}").status_code == 409
        assert settings.run_folder(active).exists()
        assert api.delete(f"/api/runs/{ended}").status_code == 204
        assert api.get(f"/api/runs/{ended}").status_code == 404
    engine.dispose()


def test_files_that_find_no_room_are_said_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = dataclasses.replace(Settings(data_dir=tmp_path), ui_port=free_port())

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "submit", refuse)
    with serving(create_app(settings)) as port:
        answer = httpx.post(f"http://127.0.0.1:{port}/api/runs", json=GOOD, timeout=60)
    assert answer.status_code == 507
    assert "free some space" in answer.json()["detail"]
