"""A run starts from the parameters of another, whatever becomes of that one; what does not fit is refused."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import sqlalchemy as sa

from backend import runner, store
from backend.engine.local import RUNNER
from backend.jobs.vmc import Core
from backend.service import Service
from backend.settings import Settings
from backend.store import StateError
from backend.strict import Invalid
from nqs_core import checkpoint, driver, warm_start
from nqs_core.errors import NQSError
from nqs_core.events import MetricsEvent
from tests.backend.helpers import QUICK, row, story, timeless
from tests.backend.test_agent import Crew, done
from tests.backend.test_runner import TFIM, Stopping, curve

TEACHER = {**TFIM, "name": "teacher", "ansatz": {"name": "rbm", "params": {"alpha": 1}}, "observables": []}
PUPIL = {**TEACHER, "name": "pupil", "seed": 3, "n_steps": 8}


class Place(NamedTuple):
    """A data folder with one finished run."""

    settings: Settings
    engine: sa.Engine
    service: Service
    teacher: str

    def work(self, run_id: str, drive: Any = None) -> dict[str, Any]:
        """One attempt of a queued run, here; the run afterwards."""
        claimed = store.claim_next(self.engine)
        assert claimed is not None
        assert claimed[0] == run_id
        assert runner.run(self.settings, *claimed, None, drive) == 0
        return row(self.engine, run_id)

    def submit(self, body: Any, **options: Any) -> dict[str, Any]:
        return self.service.submit(self.service.plan(body), **options)

    def clone(self, run_id: str, patch: Any) -> dict[str, Any]:
        config, tags = self.service.cloned(run_id, patch)
        return self.submit(config, cloned_from=run_id, tags=tags)

    def pupil(self, step: int | None = None, **changes: Any) -> str:
        """Queue a run that starts from the teacher."""
        origin = {"run": self.teacher} if step is None else {"run": self.teacher, "step": step}
        return self.submit({**PUPIL, "init_from": origin, **changes})["id"]

    def checkpoints(self, run_id: str) -> list[Path]:
        return checkpoint.files(self.settings.run_folder(run_id) / "checkpoints")

    def folders(self) -> set[str]:
        return {path.name for path in (self.settings.data_dir / "runs").iterdir()}

    def drop(self, run_id: str) -> None:
        store.delete_run(self.engine, run_id, self.settings.run_folder(run_id))


def open_place(settings: Settings) -> Iterator[Place]:
    engine = store.open_engine(settings.db_url)
    runs = store.list_runs(engine, search="teacher")[0]
    yield Place(settings, engine, Service(settings, engine, "boot"), runs[0]["id"] if runs else "")
    engine.dispose()


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run is trained once, with a checkpoint at every step."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("school"), checkpoint_seconds=0.0, **QUICK)
    for place in open_place(settings):
        run = place.work(place.submit(TEACHER)["id"])
        assert (run["state"], run["error"]) == ("done", None)
    return settings.data_dir


@pytest.fixture
def place(school: Path, tmp_path: Path) -> Iterator[Place]:
    shutil.copytree(school, tmp_path / "data")
    quiet = {**QUICK, "grace_seconds": 30.0}
    yield from open_place(Settings(data_dir=tmp_path / "data", checkpoint_seconds=30.0, **quiet))


def directly(place: Place, run_id: str, path: Path) -> list[dict[str, float]]:
    """The scalars of every step without the backend, from the parameters in `path`."""
    config = row(place.engine, run_id)["config"]
    built = Core().build(config, None)
    start = warm_start.start(built, warm_start.read(path), config["seed"])
    told = [e.scalars for e, _ in driver.run(built, start) if isinstance(e, MetricsEvent) and e.phase == "train"]
    return [timeless(scalars) for scalars in told]


def trained(place: Place, run_id: str) -> list[dict[str, float]]:
    return [scalars for (phase, _), scalars in curve(place.engine, run_id).items() if phase == "train"]


def params(path: Path) -> dict[str, bytes]:
    return {name: np.asarray(leaf).tobytes() for name, leaf in warm_start.read(path).params.items()}


@pytest.mark.parametrize("fate", ["stays", "archived", "deleted"])
def test_a_run_goes_on_from_the_parameters_of_another(place: Place, fate: str, tmp_path: Path) -> None:
    latest = shutil.copy(place.checkpoints(place.teacher)[0], tmp_path)
    run_id = place.pupil()
    assert row(place.engine, run_id)["config"]["init_from"] == {"run": place.teacher, "step": 12}
    assert params(place.settings.start_file(run_id)) == params(Path(latest))
    if fate == "archived":
        store.update_run(place.engine, place.teacher, archived=True)
    if fate == "deleted":
        place.drop(place.teacher)
    run = place.work(run_id)
    assert (run["state"], run["error"]) == ("done", None)
    steps = trained(place, run_id)
    assert steps == directly(place, run_id, Path(latest))
    cold = place.submit(PUPIL)["id"]
    place.work(cold)
    assert steps[0]["energy"] < trained(place, cold)[0]["energy"]


def test_the_step_can_be_chosen_and_is_on_record(place: Place) -> None:
    path = place.checkpoints(place.teacher)[-1]
    step = checkpoint.step_of(path)
    assert step < 12
    assert place.service.validate({**PUPIL, "init_from": {"run": place.teacher, "step": step}})["init_from"] == {
        "run": place.teacher,
        "step": step,
        "name": "teacher",
    }
    run_id = place.pupil(step)
    assert row(place.engine, run_id)["config"]["init_from"] == {"run": place.teacher, "step": step}
    assert params(place.settings.start_file(run_id)) == params(path)
    assert params(path) != params(place.checkpoints(place.teacher)[0])


def test_stop_and_resume_of_a_warm_start_change_no_bit(place: Place) -> None:
    whole = place.pupil()
    parts, waiting = place.pupil(), place.pupil()
    store.request_stop(place.engine, waiting)
    place.work(whole)
    core = Core(place.settings.start_file(parts))
    assert place.work(parts, Stopping(core, place.engine, 3))["state"] == "stopped"
    place.drop(place.teacher)
    store.request_resume(place.engine, parts)
    run = place.work(parts)
    assert (run["state"], run["attempt"]) == ("done", 2)
    assert curve(place.engine, parts) == curve(place.engine, whole)
    # A process that is lost before its first checkpoint begins again with the same parameters.
    store.request_resume(place.engine, waiting)
    claimed = store.claim_next(place.engine)
    assert claimed is not None
    store.lost(place.engine, *claimed, "killed by signal 9")
    assert place.work(waiting)["attempt"] == 2
    assert curve(place.engine, waiting) == curve(place.engine, whole)
    results = [timeless(row(place.engine, run_id)["result"]) for run_id in (whole, parts, waiting)]
    assert results[0] == results[1] == results[2]


def test_kill_9_of_a_warm_start_changes_no_bit(place: Place) -> None:
    whole, killed = (place.pupil(n_steps=60, measure=64) for _ in range(2))
    place.drop(place.teacher)
    place.engine.dispose()
    crew = Crew(dataclasses.replace(place.settings, checkpoint_seconds=0.05))
    try:
        agent = crew.agent(command=RUNNER)
        crew.until(agent, whole, done)
        run = crew.until(agent, killed, lambda run: run["state"] == "running" and run["checkpoint_step"] > 5)
        os.kill(run["pid"], signal.SIGKILL)
        run = crew.until(agent, killed, done)
        assert (run["state"], run["attempt"]) == ("done", 2)
        rewind = next(event for event in story(crew.engine, killed) if event["kind"] == "rewind")
        assert rewind["step"] > 0
        assert curve(crew.engine, killed) == curve(crew.engine, whole)
    finally:
        crew.close()


def test_a_clone_starts_as_its_original_did(place: Place) -> None:
    first = place.pupil()
    kept = params(place.settings.start_file(first))
    second = place.clone(first, {"seed": 9})["id"]
    place.drop(place.teacher)
    third = place.clone(first, {"n_steps": 4})["id"]
    store.request_stop(place.engine, first)
    place.drop(first)
    # From the form, as a plain submission: another run still keeps the parameters.
    config = row(place.engine, third)["config"]
    assert place.service.validate(config)["init_from"] == {"run": place.teacher, "step": 12, "name": ""}
    fourth = place.submit({**config, "precision": "float64"})["id"]
    for run_id in (second, third, fourth):
        assert row(place.engine, run_id)["config"]["init_from"] == {"run": place.teacher, "step": 12}
        assert params(place.settings.start_file(run_id)) == kept
    fresh = place.clone(third, {"init_from": None})["id"]
    assert row(place.engine, fresh)["config"]["init_from"] is None
    assert not place.settings.start_file(fresh).exists()
    for run_id in (second, third, fourth):
        store.request_stop(place.engine, run_id)
        place.drop(run_id)
    with pytest.raises(Invalid, match=rf"^init_from\.run: there is no run '{place.teacher}'$"):
        place.submit(config)


def test_what_is_kept_stands_in_for_a_checkpoint_that_is_gone(place: Place) -> None:
    """The run that was trained may go on and replace its checkpoints."""
    step = checkpoint.step_of(place.checkpoints(place.teacher)[-1])
    first = place.pupil(step)
    place.checkpoints(place.teacher)[-1].unlink()
    second = place.clone(first, {})["id"]
    assert params(place.settings.start_file(second)) == params(place.settings.start_file(first))


def test_a_warm_start_can_be_measured_again(place: Place) -> None:
    run_id = place.pupil()
    place.drop(place.teacher)
    assert place.work(run_id)["state"] == "done"
    again = place.service.measure(run_id, place.service.plan(place.service.measured(run_id, {"samples": 64})))["id"]
    run = place.work(again)
    assert (run["state"], run["error"], run["config"]["init_from"]) == ("done", None, None)
    with pytest.raises(Invalid, match="it is a job of kind measure; only a run that trains has parameters"):
        place.submit({**PUPIL, "init_from": {"run": again}})


def test_the_same_key_queues_one_run_and_leaves_nothing_else(place: Place) -> None:
    body = {**PUPIL, "init_from": {"run": place.teacher}}
    first, second = (place.submit(body, idem_key="once")["id"] for _ in range(2))
    assert first == second
    assert place.folders() == {place.teacher, first}
    assert place.settings.start_file(first).exists()


def empty(place: Place) -> str:
    run_id = store.submit(place.engine, TEACHER, name="empty")
    store.request_stop(place.engine, run_id)
    return run_id


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "no run": ({"init_from": {"run": "abc"}}, "init_from.run: there is no run 'abc'"),
    "markup": ({"init_from": {"run": "'; drop"}}, 'init_from.run: there is no run "\'; drop"'),
    "no checkpoint": ({"init_from": {"run": "EMPTY"}}, "init_from.run: the run 'empty' has no checkpoint"),
    "no such step": (
        {"init_from": {"run": "TEACHER", "step": 5}},
        "init_from.step: the run 'teacher' has no checkpoint of step 5; on record: 10, 11, 12",
    ),
    "another network": (
        {"init_from": {"run": "TEACHER"}, "ansatz": {"name": "jastrow"}},
        "init_from: the run trained the network 'rbm', this one has 'jastrow'",
    ),
    "another size": (
        {"init_from": {"run": "TEACHER"}, "lattice": {"name": "chain", "params": {"length": 6}}},
        "init_from: the parameter hidden/bias has shape 4 in the run and 6 here; networks that fit lattices of other",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_start_is_refused_before_anything_is_queued(place: Place, case: str) -> None:
    change, why = REFUSALS[case]
    names = {"TEACHER": place.teacher, "EMPTY": empty(place) if case == "no checkpoint" else ""}
    origin = change["init_from"]
    body = {**PUPIL, **change, "init_from": {**origin, "run": names.get(origin["run"], origin["run"])}}
    before = store.counts(place.engine)
    for ask in (place.service.validate, place.submit):
        with pytest.raises(NQSError) as caught:
            ask(body)
        assert str(caught.value).startswith(why)
    assert store.counts(place.engine) == before
    assert place.folders() == {place.teacher}


def test_a_damaged_checkpoint_gives_way_to_the_one_before(place: Place) -> None:
    newest, *older = place.checkpoints(place.teacher)
    newest.write_bytes(newest.read_bytes()[:-1])
    run_id = place.pupil()
    assert row(place.engine, run_id)["config"]["init_from"]["step"] == checkpoint.step_of(older[0])
    for path in older:
        path.write_bytes(b"")
    with pytest.raises(NQSError, match=r"^init_from: step-000000000012\.ckpt cannot be used: the file is damaged$"):
        place.service.validate({**PUPIL, "init_from": {"run": place.teacher}})


def test_a_checkpoint_that_is_not_on_record_is_not_used(place: Place) -> None:
    newest, before, _ = place.checkpoints(place.teacher)
    shutil.copy(before, newest)
    assert row(place.engine, place.pupil())["config"]["init_from"]["step"] == checkpoint.step_of(before)


def test_a_full_disk_is_told_and_queues_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = store.counts(place.engine)
    monkeypatch.setattr(checkpoint, "write", full)
    with pytest.raises(NQSError, match=r"^the disk is full: nothing can be written to .*; free some space"):
        place.pupil()
    assert store.counts(place.engine) == before
    assert place.folders() == {place.teacher}


def test_a_copy_is_whole_before_its_run_exists(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two, a submission leaves a copy that nobody asks for, never a run without its parameters."""

    def killed(*_: Any, **__: Any) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "submit", killed)
        with pytest.raises(KeyboardInterrupt):
            place.pupil()
    assert store.counts(place.engine) == {"done": 1}
    (orphan,) = place.folders() - {place.teacher}
    assert params(place.settings.start_file(orphan)) == params(place.checkpoints(place.teacher)[0])


def test_a_run_whose_copy_is_gone_says_so(place: Place) -> None:
    run_id = place.pupil()
    place.settings.start_file(run_id).unlink()
    run = place.work(run_id)
    assert (run["state"], run["error"]) == (
        "failed",
        "init_from: start.ckpt cannot be read: No such file or directory",
    )


def test_a_reference_job_has_no_parameters(place: Place) -> None:
    job = store.submit(place.engine, {"n_steps": 1}, kind="exact")
    with pytest.raises(Invalid, match="it is a job of kind exact"):
        place.service.validate({**PUPIL, "init_from": {"run": job}})
    with pytest.raises(StateError):
        place.clone(job, {})
