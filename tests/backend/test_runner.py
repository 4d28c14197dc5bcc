"""A run ends as it would have ended without interruption, and says why where it fails."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend import runner, store
from backend.engine.base import FENCED
from backend.jobs import vmc
from backend.settings import Settings
from nqs_core import checkpoint
from tests.backend.helpers import QUICK, row, story, timeless
from tests.backend.toy import Drive

TFIM = {
    "lattice": {"name": "chain", "params": {"length": 4}},
    "hamiltonian": {"name": "tfim"},
    "sampler": {"name": "metropolis", "params": {"n_samples": 64, "n_chains": 16}},
    "n_steps": 12,
    "measure": 256,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, checkpoint_seconds=0.02, **{**QUICK, "grace_seconds": 30.0})


@pytest.fixture
def engine(settings: Settings) -> Iterator[sa.Engine]:
    engine = store.open_engine(settings.db_url)
    yield engine
    engine.dispose()


def work(settings: Settings, engine: sa.Engine, run_id: str | None, drive: Any = None, **config: Any) -> str:
    """Submit a run, or take one that is queued, and run one attempt of it here."""
    if run_id is None:
        run_id = store.submit(engine, {"n_steps": 40, "seed": 5, **config})
    claimed = store.claim_next(engine)
    assert claimed is not None
    assert claimed[0] == run_id
    assert runner.run(settings, *claimed, None, drive or Drive()) == 0
    return run_id


def curve(engine: sa.Engine, run_id: str) -> dict[tuple[str, int], Any]:
    """Training scalars by step, the highest attempt last; the wall time of a step is no part of the physics."""
    out = {}
    for event in story(engine, run_id):
        if event["kind"] == "metrics":
            out[event["phase"], event["step"]] = timeless(event["scalars"])
    return out


class Stopping:
    """Asks the store to stop the run when it reaches a step, and waits until the process has heard of it."""

    def __init__(self, inner: Any, engine: sa.Engine, step: int) -> None:
        self.inner, self.engine, self.step = inner, engine, step
        self.build, self.init = inner.build, inner.init

    def run(self, problem: Any, state: Any) -> Iterator[tuple[Any, Any]]:
        for event, after in self.inner.run(problem, state):
            if event.kind == "metrics" and event.step == self.step:
                run_id = store.list_runs(self.engine, state="running")[0][0]["id"]
                store.request_stop(self.engine, run_id)
                threading.Event().wait(0.2)
            yield event, after


def test_a_run_goes_from_queued_to_done(settings: Settings, engine: sa.Engine) -> None:
    run_id = work(settings, engine, None)
    run = row(engine, run_id)
    expected = {"state": "done", "step": 40, "attempt": 1, "n_sites": 4, "device": "cpu", "phase": None, "pid": None}
    assert {name: run[name] for name in expected} == expected
    assert run["energy"] == run["result"]["energy"]
    told = story(engine, run_id)
    assert [e["state"] for e in told if e["kind"] == "state"] == ["queued", "starting", "running", "running", "done"]
    assert [e["step"] for e in told if e["kind"] == "metrics"] == list(range(1, 41))
    files = checkpoint.files(settings.run_folder(run_id) / "checkpoints")
    assert files[0].name == "step-000000000040.ckpt"
    assert len(files) <= 3
    assert not list(settings.run_folder(run_id).glob("spool*"))


def test_stop_and_resume_change_no_bit(settings: Settings, engine: sa.Engine) -> None:
    whole = work(settings, engine, None)
    parts = work(settings, engine, None, Stopping(Drive(), engine, 13))
    stopped = row(engine, parts)
    assert stopped["state"] == "stopped"
    assert 13 <= stopped["step"] < 40
    store.request_resume(engine, parts)
    work(settings, engine, parts)
    assert curve(engine, parts) == curve(engine, whole)
    assert row(engine, parts)["result"] == row(engine, whole)["result"]
    rewinds = [event for event in story(engine, parts) if event["kind"] == "rewind"]
    assert [event["step"] for event in rewinds] == [stopped["step"]]


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_damaged_checkpoints_cost_steps_and_no_bits(settings: Settings, engine: sa.Engine, lost: int) -> None:
    whole = work(settings, engine, None)
    parts = work(settings, engine, None, Stopping(Drive(), engine, 30), pause=0.005)
    files = checkpoint.files(settings.run_folder(parts) / "checkpoints")
    assert len(files) == 3
    for path in files[:lost]:
        path.write_bytes(path.read_bytes()[:-1])
    store.request_resume(engine, parts)
    work(settings, engine, parts)
    assert curve(engine, parts) == curve(engine, whole)
    assert row(engine, parts)["warnings"] == lost
    rewind = next(event for event in story(engine, parts) if event["kind"] == "rewind")
    assert rewind["step"] == (0 if lost == 3 else int(files[lost].stem.split("-")[1]))


def test_a_checkpoint_that_the_database_does_not_know_is_not_used(settings: Settings, engine: sa.Engine) -> None:
    """One that a process left behind after it had lost the run: its steps are nowhere."""
    whole = work(settings, engine, None)
    parts = work(settings, engine, None, Stopping(Drive(), engine, 10))
    folder = settings.run_folder(parts) / "checkpoints"
    for path in checkpoint.files(settings.run_folder(whole) / "checkpoints"):
        shutil.copy(path, folder)
    store.request_resume(engine, parts)
    work(settings, engine, parts)
    assert curve(engine, parts) == curve(engine, whole)


def test_another_device_is_a_warning(settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = work(settings, engine, None, Stopping(Drive(), engine, 10))
    store.request_resume(engine, run_id)
    monkeypatch.setattr(vmc, "versions", lambda *packages: {"jax": "99"})
    work(settings, engine, run_id)
    warning = next(event for event in story(engine, run_id) if event["kind"] == "warning")
    assert warning["code"] == "device"
    assert "not bit for bit" in warning["message"]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"fail": {"3": "diverge"}}, "the energy became nan at step 3; a smaller learning rate keeps"),
        ({"fail": {"3": "memory"}}, "out of memory; fewer samples, a smaller network"),
        ({"fail": {"3": "gpu memory"}}, "out of memory; fewer samples, a smaller network"),
        ({"fail": {"3": "bug"}}, "KeyError: 'rbm' (the run's log has more)"),
        ({"bad": True}, "unknown lattice 'moebius'; choose one of chain, square"),
    ],
)
def test_a_failure_has_its_reason(settings: Settings, engine: sa.Engine, what: dict, reason: str) -> None:
    run_id = work(settings, engine, None, **what)
    run = row(engine, run_id)
    assert run["state"] == "failed"
    assert run["error"].startswith(reason)
    assert story(engine, run_id)[-1]["reason"] == run["error"]
    assert store.claim_next(engine) is None  # a mistake is not tried again


def test_a_stop_before_the_first_step_is_heard(settings: Settings, engine: sa.Engine) -> None:
    run_id = store.submit(engine, {"n_steps": 5, "pause": 0.3})
    claimed = store.claim_next(engine)
    assert claimed is not None
    store.request_stop(engine, run_id)
    assert runner.run(settings, *claimed, None, Drive()) == 0
    assert row(engine, run_id)["state"] == "stopped"
    assert row(engine, run_id)["step"] <= 1


def test_a_second_delivery_of_an_attempt_leaves_at_once(settings: Settings, engine: sa.Engine) -> None:
    run_id = work(settings, engine, None)
    before = story(engine, run_id)
    assert runner.run(settings, run_id, 1, None, Drive()) == FENCED
    assert story(engine, run_id) == before


def test_the_core_continues_bit_for_bit(
    settings: Settings, engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """The product's own driver: stopped while training, then while measuring."""
    caplog.set_level("INFO", logger="spinscope.vmc")
    settings = dataclasses.replace(settings, checkpoint_seconds=30.0)
    whole = store.submit(engine, TFIM)
    work(settings, engine, whole, vmc.Core())
    assert "minSR kernel, layers by inputs and signals: hidden (1 x 4 -> 8)" in caplog.text
    parts = store.submit(engine, TFIM)
    work(settings, engine, parts, Stopping(vmc.Core(), engine, 5))
    assert row(engine, parts)["state"] == "stopped"
    assert row(engine, parts)["step"] < 12
    store.request_resume(engine, parts)
    work(settings, engine, parts, Stopping(vmc.Core(), engine, 12))
    assert row(engine, parts)["state"] == "stopped"
    store.request_resume(engine, parts)
    work(settings, engine, parts, vmc.Core())
    first, second = (curve(engine, run_id) for run_id in (whole, parts))
    assert [step for phase, step in first if phase == "train"] == list(range(1, 13))
    assert second == first
    results = [timeless(row(engine, run_id)["result"]) for run_id in (whole, parts)]
    assert results[0] == results[1]
