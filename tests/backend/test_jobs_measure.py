"""A measurement of a run equals measuring directly, and leaves the run as it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend import runner, store
from backend.jobs.vmc import Core
from backend.models import METRICS
from backend.settings import Settings
from nqs_core import checkpoint, driver
from nqs_core.config import parse
from nqs_core.problem import build
from tests.backend.helpers import row, story, timeless
from tests.backend.test_jobs import attempt, engine, of_kind, settings, stopping
from tests.backend.test_runner import TFIM

__all__ = ["engine", "settings"]  # fixtures


def trained(settings: Settings, engine: sa.Engine) -> str:
    """A finished run."""
    full = build(parse(TFIM | {"observables": ["correlation"]})).config
    assert full is not None
    run_id = store.submit(engine, full.model_dump(mode="json"))
    assert attempt(settings, engine, run_id)["state"] == "done"
    return run_id


def again(engine: sa.Engine, parent: str, **changes: Any) -> str:
    config = row(engine, parent)["config"] | {"seed": 7, "measure": 640, "observables": ["magnetisation"], **changes}
    return store.submit(engine, config, kind="measure", parent=parent)


def directly(settings: Settings, engine: sa.Engine, parent: str, run_id: str) -> dict[str, Any]:
    """The result without the runner."""
    drive, config = Core(), row(engine, run_id)["config"]
    like = driver.blank(drive.build(row(engine, parent)["config"], None))
    found = checkpoint.latest(settings.run_folder(parent) / "checkpoints", like)
    problem = drive.build(config, None)
    *_, (last, _) = driver.run(problem, driver.remeasure(problem, found.state, config["seed"]))
    return timeless(last.result)  # type: ignore[union-attr]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def own(run: dict[str, Any]) -> dict[str, Any]:
    """A run without the numbers that a better measurement may fill."""
    return {name: value for name, value in run.items() if name not in (*METRICS, "leading", "relative_error")}


def test_it_equals_measuring_directly_and_the_run_stays(settings: Settings, engine: sa.Engine) -> None:
    parent = trained(settings, engine)
    before = own(row(engine, parent)), story(engine, parent), files(settings.run_folder(parent))
    run_id = again(engine, parent)
    run = attempt(settings, engine, run_id)
    assert (run["state"], run["error"]) == ("done", None)
    assert timeless(run["result"]) == directly(settings, engine, parent, run_id)
    assert run["result"]["n_samples_final"] >= 640
    assert "magnetisation" in run["result"]["observables"]
    assert "correlation" not in run["result"]["observables"]
    assert run["energy"] == run["result"]["energy"]
    batches = of_kind(engine, run_id, "metrics")
    assert {event["phase"] for event in batches} == {"measure"}
    assert run["step"] == run["n_steps"] == len(batches) > 1
    assert (own(row(engine, parent)), story(engine, parent), files(settings.run_folder(parent))) == before
    assert row(engine, parent)["leading"] in (None, run_id)  # which of the two errors is smaller is chance
    (child,) = store.children(engine, parent)
    assert (child["id"], child["n_samples"], child["result"]) == (run_id, 640, run["result"])
    other = attempt(settings, engine, again(engine, parent, seed=8))
    assert other["result"]["energy"] != run["result"]["energy"]


def test_it_can_be_stopped_and_goes_on(settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = trained(settings, engine)
    run_id = again(engine, parent)
    with monkeypatch.context() as patch:
        stopping(
            patch,
            lambda told: sum(event.kind == "metrics" for event in told) == 3,
            lambda _: store.request_stop(engine, run_id),
        )
        run = attempt(settings, engine, run_id)
    assert (run["state"], run["result"]) == ("stopped", None)
    assert 3 <= run["step"] < run["n_steps"]
    store.request_resume(engine, run_id)
    run = attempt(settings, engine, run_id)
    assert timeless(run["result"]) == directly(settings, engine, parent, run_id)
    numbers = [event["scalars"]["batch"] for event in of_kind(engine, run_id, "metrics") if event["attempt"] == 2]
    assert numbers[-1] == run["n_steps"]
    assert numbers[0] > 3


def test_a_run_without_a_checkpoint_cannot_be_measured(settings: Settings, engine: sa.Engine) -> None:
    parent = store.submit(engine, TFIM, name="empty")
    store.request_stop(engine, parent)
    run = attempt(settings, engine, again(engine, parent))
    assert (run["state"], run["error"]) == ("failed", "the run 'empty' has no checkpoint to measure")


def test_a_damaged_checkpoint_is_named(settings: Settings, engine: sa.Engine) -> None:
    parent = trained(settings, engine)
    folder = settings.run_folder(parent) / "checkpoints"
    newest, *older = checkpoint.files(folder)
    newest.write_bytes(newest.read_bytes()[:-1])
    run = attempt(settings, engine, again(engine, parent))
    if older:
        assert run["state"] == "done"
        assert run["warnings"] == 1
    else:
        assert run["state"] == "failed"
        assert f"{newest.name}: the file is damaged" in run["error"]
    shutil.rmtree(folder)
    assert attempt(settings, engine, again(engine, parent))["state"] == "failed"


def test_a_run_that_is_gone_cannot_be_measured(settings: Settings, engine: sa.Engine) -> None:
    run_id = store.submit(engine, TFIM, kind="measure", parent="nobody")
    run = attempt(settings, engine, run_id)
    assert (run["state"], run["error"]) == ("failed", "the run that was to be measured is gone")
    assert runner.run(settings, run_id, 1, None) == 75
