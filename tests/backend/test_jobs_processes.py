"""DMRG in real processes: terminated, killed and watched; no point is lost, none comes twice, no child stays behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend import references, store
from backend.engine.local import PROC, RUNNER, is_runner
from backend.settings import Settings
from nqs_core.config import ReferenceJob, parse_as
from tests.backend.helpers import QUICK, row, story, wait
from tests.backend.test_agent import Crew, done

LADDER = {
    "lattice": {"name": "square", "params": {"extent": [4, 4]}},
    "hamiltonian": {"name": "heisenberg"},
    "method": "dmrg",
    "chi": [4, 8, 24],
}
ENDLESS = {**LADDER, "lattice": {"name": "square", "params": {"extent": [6, 6]}}, "chi": [4, 300]}


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    crew = Crew(Settings(data_dir=tmp_path, **{**QUICK, "grace_seconds": 60.0}))
    yield crew
    crew.close()


def submit(crew: Crew, config: dict[str, Any]) -> str:
    job = parse_as(ReferenceJob, config)
    system = references.system_of(job)
    return store.submit(crew.engine, job.model_dump(mode="json"), kind="dmrg", n_steps=24, system=system)


def points(crew: Crew, run_id: str) -> list[dict[str, Any]]:
    return [event for event in story(crew.engine, run_id) if event["kind"] == "point"]


def child(pid: int) -> int:
    """The process of DMRG that a runner has started."""
    if not PROC.joinpath("self").exists():
        pytest.skip("no /proc")
    for path in PROC.glob("[0-9]*"):
        found = int(path.name)
        if is_runner(found, "dmrg_process"):
            parent = int(path.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                return found
    raise AssertionError("there is no such process")


def test_draining_ends_dmrg_with_its_child_and_keeps_what_is_finished(crew: Crew) -> None:
    first, run_id = crew.agent(command=RUNNER, spares=True), submit(crew, ENDLESS)
    run = crew.until(first, run_id, lambda run: run["state"] == "running" and points(crew, run_id))
    working = child(run["pid"])
    first.close()
    assert not is_runner(working, "dmrg_process")
    run = row(crew.engine, run_id)
    assert (run["state"], run["desired"], run["pid"]) == ("queued", "run", None)
    assert "everything is in the database" in crew.logs(run_id)
    kept = points(crew, run_id)
    assert [point["chi"] for point in kept] == [4]
    second = crew.agent(command=RUNNER)
    sweeping = lambda run: run["attempt"] == 2 and run["step"] > kept[0]["step"]  # noqa: E731
    run = crew.until(second, run_id, sweeping)
    working = child(run["pid"])
    store.request_stop(crew.engine, run_id)
    run = crew.until(second, run_id, lambda run: run["state"] == "stopped")
    wait(lambda: not is_runner(working, "dmrg_process"))
    assert run["result"]["chi"] == [4]
    assert points(crew, run_id) == kept


def test_kill_9_of_the_runner_costs_no_point(crew: Crew) -> None:
    agent, run_id = crew.agent(command=RUNNER), submit(crew, LADDER)
    for attempt, n_points in ((1, 1), (2, 2)):

        def far(run: dict[str, Any], attempt: int = attempt, n_points: int = n_points) -> bool:
            return run["attempt"] == attempt and run["state"] == "running" and len(points(crew, run_id)) == n_points

        run = crew.until(agent, run_id, far)
        working = child(run["pid"])
        os.kill(run["pid"], signal.SIGKILL)
        wait(lambda working=working: not is_runner(working, "dmrg_process"))
    run = crew.until(agent, run_id, done)
    assert run["attempt"] == 3
    found = points(crew, run_id)
    assert [(point["chi"], point["attempt"]) for point in found] == [(4, 1), (8, 2), (24, 3)]
    rewinds = [event for event in story(crew.engine, run_id) if event["kind"] == "rewind"]
    assert [event["step"] for event in rewinds] == [found[0]["step"], found[1]["step"]]
    assert run["step"] == run["n_steps"] == found[-1]["step"]
    assert run["result"]["chi"] == [4, 8, 24]
