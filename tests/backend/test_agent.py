"""Real processes: started, killed, put to sleep and drained; the run ends as if nothing had happened."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend import agent as agents
from backend import store
from backend.agent import Agent
from backend.engine import Local
from backend.engine import local as engine_local
from backend.engine.local import Orphan, find_slots, is_runner, slot_environment
from backend.settings import Settings
from nqs_core import checkpoint
from tests.backend.helpers import QUICK, row, story

COMMAND = (sys.executable, "-m", "tests.backend.toy")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, checkpoint_seconds=0.2, **{**QUICK, "grace_seconds": 20.0})


class Crew:
    """Agents on one database, and every process that they started."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = store.open_engine(settings.db_url)
        self.agents: list[Agent] = []

    def agent(
        self, *, slots: int = 1, spares: bool = False, command: tuple[str, ...] = COMMAND, **changes: Any
    ) -> Agent:
        settings = dataclasses.replace(self.settings, **changes)
        local = Local(settings, [f"cpu:{i}" for i in range(slots)], command=command, spares=spares)
        self.agents.append(Agent(settings, self.engine, local))
        return self.agents[-1]

    def submit(self, **config: Any) -> str:
        return store.submit(self.engine, {"n_steps": 60, "seed": 5, **config})

    def until(self, agent: Agent, run_id: str, test: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Tick until the run passes the test."""
        deadline = time.monotonic() + 120
        while not test(run := row(self.engine, run_id)):
            assert time.monotonic() < deadline, f"it never happened: {run} {self.logs(run_id)}"
            agent.tick()
            time.sleep(0.02)
        return run

    def logs(self, run_id: str) -> str:
        return "".join(p.read_text() for p in sorted(self.settings.run_folder(run_id).glob("log-*")))

    def curve(self, run_id: str) -> dict[int, Any]:
        return {event["step"]: event["scalars"] for event in story(self.engine, run_id) if event["kind"] == "metrics"}

    def close(self) -> None:
        for agent in self.agents:
            agent.local.close(0.0)
        self.engine.dispose()


@pytest.fixture
def crew(settings: Settings) -> Iterator[Crew]:
    crew = Crew(settings)
    yield crew
    crew.close()


def done(run: dict[str, Any]) -> bool:
    return run["state"] == "done"


def started(run: dict[str, Any]) -> bool:
    return run["state"] == "running" and run["step"] >= 5


def put_to_sleep(crew: Crew, pid: int) -> None:
    """Stop a process, but not in the middle of writing: who sleeps with the lock on SQLite stops everybody."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        connection = sqlite3.connect(crew.settings.data_dir / "spinscope.db", timeout=0.5)
        try:
            connection.execute("begin immediate")
            return
        except sqlite3.OperationalError:
            os.kill(pid, signal.SIGCONT)
        finally:
            connection.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """The curve of a run that nobody interrupts."""
    crew = Crew(Settings(data_dir=tmp_path_factory.mktemp("whole"), **QUICK))
    run_id = crew.submit()
    try:
        crew.until(crew.agent(), run_id, done)
        return crew.curve(run_id)
    finally:
        crew.close()


def test_kill_9_of_the_runner_changes_no_bit(crew: Crew, whole: dict[int, Any]) -> None:
    agent, run_id = crew.agent(), crew.submit(pause=0.03)
    for attempt in (1, 2):
        run = crew.until(
            agent, run_id, lambda run, n=attempt: started(run) and run["attempt"] == n and run["step"] > 15 * n
        )
        os.kill(run["pid"], signal.SIGKILL)
    run = crew.until(agent, run_id, done)
    assert run["attempt"] == 3
    assert crew.curve(run_id) == whole
    told = story(crew.engine, run_id)
    assert [event["attempt"] for event in told if event["kind"] == "rewind"] == [2, 3]
    assert any("signal 9" in event.get("reason", "") for event in told)
    assert {event["attempt"] for event in told if event["kind"] == "metrics"} == {1, 2, 3}


def test_draining_queues_the_run_and_the_next_agent_goes_on(crew: Crew, whole: dict[int, Any]) -> None:
    first, run_id = crew.agent(spares=True), crew.submit(pause=0.03)
    crew.until(first, run_id, started)
    first.close()
    run = row(crew.engine, run_id)
    assert (run["state"], run["desired"], run["pid"]) == ("queued", "run", None)
    newest = checkpoint.files(crew.settings.run_folder(run_id) / "checkpoints")[0]
    assert newest.name == f"step-{run['step']:012d}.ckpt"
    assert not store.agent_status(crew.engine)["alive"]
    crew.until(crew.agent(), run_id, done)
    assert crew.curve(run_id) == whole
    with crew.engine.connect() as connection:
        assert connection.execute(sa.text("select failures from runs")).scalar() == 0


def test_the_run_outlives_its_agent_and_its_slot_stays_taken(crew: Crew, whole: dict[int, Any]) -> None:
    first, run_id = crew.agent(), crew.submit(pause=0.03)
    waiting = crew.submit()
    crew.until(first, run_id, started)
    heir = crew.agent()  # as after kill -9 of the first: it knows nothing but the database
    for _ in range(3):
        heir.tick()
    assert heir.local.nfree() == 0
    assert row(crew.engine, waiting)["state"] == "queued"
    run = crew.until(heir, run_id, done)
    assert run["attempt"] == 1
    assert crew.curve(run_id) == whole
    crew.until(heir, waiting, done)


def test_draining_reaches_the_processes_of_an_earlier_agent(crew: Crew, whole: dict[int, Any]) -> None:
    first, run_id = crew.agent(), crew.submit(pause=0.03)
    crew.until(first, run_id, started)
    second = crew.agent()
    second.tick()
    second.close()
    run = row(crew.engine, run_id)
    assert (run["state"], run["attempt"]) == ("queued", 1)
    third = crew.agent()
    run = crew.until(third, run_id, lambda run: started(run) and run["attempt"] == 2)
    fourth = crew.agent(lost_seconds=600.0)
    fourth.tick()
    os.kill(run["pid"], signal.SIGKILL)  # an adopted process is watched, not only its heartbeat
    third.local.reap()
    crew.until(fourth, run_id, done)
    assert crew.curve(run_id) == whole


def test_a_sleeper_is_replaced_and_cannot_write_when_it_wakes(
    crew: Crew, whole: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, run_id = crew.agent(slots=2, lost_seconds=1.0), crew.submit(pause=0.03)
    crew.until(agent, run_id, started)
    popen = agent.local._live[run_id, 1].popen
    assert isinstance(popen, subprocess.Popen)
    monkeypatch.setattr(agent.local, "kill", lambda *_: None)  # as on a host that does not answer
    put_to_sleep(crew, popen.pid)
    crew.until(agent, run_id, lambda run: run["attempt"] == 2 and run["state"] == "running")
    popen.send_signal(signal.SIGCONT)
    crew.until(agent, run_id, done)
    assert popen.wait(30) == 75
    assert crew.curve(run_id) == whole
    assert "fenced out" in (crew.settings.run_folder(run_id) / "log-0001.txt").read_text()


def test_a_process_that_hangs_is_stopped_after_its_grace(crew: Crew) -> None:
    agent, run_id = crew.agent(grace_seconds=0.5), crew.submit(fail={"8": "hang"})
    crew.until(agent, run_id, started)
    store.request_stop(crew.engine, run_id)
    run = crew.until(agent, run_id, lambda run: run["state"] == "stopped")
    assert run["step"] == 7
    crew.until(agent, run_id, lambda _: not agent.local.live())


def test_a_process_that_cannot_even_end_itself_is_ended(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "BLIND_SECONDS", 0.5)
    agent, run_id = crew.agent(grace_seconds=0.5, lost_seconds=60.0), crew.submit(pause=0.03)
    run = crew.until(agent, run_id, started)
    put_to_sleep(crew, run["pid"])
    store.request_stop(crew.engine, run_id)
    crew.until(agent, run_id, lambda run: run["state"] == "stopped")


def test_a_spare_process_takes_the_run(crew: Crew, whole: dict[int, Any]) -> None:
    agent = crew.agent(spares=True)
    agent.tick()
    (spare,) = agent.local._spares
    run_id = crew.submit(pause=0.01)
    run = crew.until(agent, run_id, started)
    assert run["pid"] == spare.pid
    assert agent.local._spares == []  # the only slot is taken
    crew.until(agent, run_id, done)
    assert crew.curve(run_id) == whole
    assert store.agent_status(crew.engine)["slots"] == 1
    crew.until(agent, run_id, lambda _: agent.local._spares)


def test_a_spare_process_ends_with_its_agent(settings: Settings) -> None:
    env = os.environ | settings.environment()
    with subprocess.Popen([*COMMAND, "--spare"], stdin=subprocess.PIPE, env=env) as spare:
        assert spare.stdin is not None
        spare.stdin.close()
        assert spare.wait(60) == 0


def test_a_runner_that_does_not_start_is_given_up(crew: Crew) -> None:
    agent, run_id = crew.agent(command=(sys.executable, "-c", "raise SystemExit(3)")), crew.submit()
    run = crew.until(agent, run_id, lambda run: run["state"] == "failed")
    assert "status 3" in run["error"]
    assert run["attempt"] == 3
    agent = crew.agent(command=("/nowhere/python",))
    run_id = crew.submit()
    run = crew.until(agent, run_id, lambda run: run["state"] == "failed")
    assert "could not be started" in run["error"]


def test_nothing_is_lost_while_the_agent_was_blind(crew: Crew) -> None:
    agent, run_id = crew.agent(lost_seconds=0.3), crew.submit()
    assert store.claim_next(crew.engine) is not None
    assert store.claim_attempt(crew.engine, run_id, 1, "token", pid=1, host="elsewhere", slot="cpu:0") is not None
    agent.tick()
    agent._looked -= 60  # the machine was asleep
    for watch in agent._seen.values():
        watch.since -= 60
    agent.tick()
    assert row(crew.engine, run_id)["state"] == "running"
    time.sleep(0.4)
    agent.tick()
    assert row(crew.engine, run_id)["state"] == "queued"


@pytest.mark.parametrize("proc", ["/proc", "/nowhere"])
def test_a_runner_is_told_from_what_else_has_its_number(monkeypatch: pytest.MonkeyPatch, proc: str) -> None:
    if not (Path(proc).exists() or shutil.which("ps")):
        pytest.skip("neither /proc nor ps")
    monkeypatch.setattr(engine_local, "PROC", Path(proc))
    sleep = [sys.executable, "-c", "input()", "x" * 300, "backend.runner"]
    with subprocess.Popen(sleep, stdin=subprocess.PIPE) as popen:
        assert is_runner(popen.pid)
        assert not is_runner(popen.pid, "another.module")
        assert Orphan(popen.pid, "backend.runner").poll() is None
        popen.kill()
        os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
        assert not is_runner(popen.pid)  # a zombie
    assert not is_runner(popen.pid)
    assert Orphan(popen.pid, "backend.runner").poll() == 0


def test_slots_come_from_gpus_or_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = "GPU 0: NVIDIA H200 (UUID: GPU-a)\nGPU 1: NVIDIA H200 (UUID: GPU-b)\n"

    def smi(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, listing, "")

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(subprocess, "run", smi)
    assert find_slots(0) == (["gpu:0.0", "gpu:1.0"], "NVIDIA H200")
    assert find_slots(3)[0] == ["gpu:0.0", "gpu:1.0", "gpu:0.1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    slots, _ = find_slots(0)
    assert slots == ["gpu:1.0"]
    assert slot_environment(slots[0])["CUDA_VISIBLE_DEVICES"] == "1"

    def no_smi(*_: Any, **__: Any) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", no_smi)
    slots, name = find_slots(0)
    assert len(slots) >= 1
    assert name.startswith("CPU")
    assert slot_environment(slots[0])["JAX_PLATFORMS"] == "cpu"
