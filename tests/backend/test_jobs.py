"""Reference jobs and measurements through the runner, on systems small enough to know the answer."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend import models, references, runner, store
from backend.references import matching
from backend.settings import Settings
from backend.sink import Sink
from nqs_core import reference
from nqs_core.config import ReferenceJob, RunConfig, parse_as
from nqs_core.events import EVENT
from tests.backend.helpers import QUICK, row, story

RING = {
    "lattice": {"name": "chain", "params": {"length": 8}},
    "hamiltonian": {"name": "heisenberg", "params": {"J": 2.0}},
}
E_RING = 2.0 * -3.651093408937176  # Bethe


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, checkpoint_seconds=30.0, **{**QUICK, "grace_seconds": 30.0})


@pytest.fixture
def engine(settings: Settings) -> Iterator[sa.Engine]:
    engine = store.open_engine(settings.db_url)
    yield engine
    engine.dispose()


def job(engine: sa.Engine, method: str, **changes: Any) -> str:
    """Submit a reference job, as the service does."""
    plan = references.plan_job(parse_as(ReferenceJob, {**RING, "method": method, **changes}))
    config = plan.job.model_dump(mode="json")
    return store.submit(
        engine, config, kind=plan.job.method, n_steps=max(1, plan.n_sweeps), system=references.system_of(plan.job)
    )


def attempt(settings: Settings, engine: sa.Engine, run_id: str) -> dict[str, Any]:
    """Work on a run here, once; the run afterwards."""
    claimed = store.claim_next(engine)
    assert claimed is not None
    assert claimed[0] == run_id
    assert runner.run(settings, *claimed, None) == 0
    return row(engine, run_id)


def table(engine: sa.Engine, which: sa.Table, run_id: str) -> list[dict[str, Any]]:
    with store.reading(engine) as connection:
        rows = connection.execute(sa.select(which).where(which.c.run_id == run_id).order_by(which.c.id))
        return [dict(found) for found in rows.mappings()]


def of_kind(engine: sa.Engine, run_id: str, kind: str) -> list[dict[str, Any]]:
    return [event for event in story(engine, run_id) if event["kind"] == kind]


# ---- DMRG


def test_dmrg_tells_sweeps_and_points_and_fills_the_table(
    settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "CHEAP_SECONDS", -1.0)  # else exact diagonalisation would know better
    xxz = {"lattice": RING["lattice"], "hamiltonian": {"name": "xxz", "params": {"J": 2.0, "Delta": 0.5}}}
    exact = reference.compute(parse_as(RunConfig, xxz), method="exact")[0].energy
    alike, other = ({**xxz, "sector": {"sz": sz}} for sz in (0.0, 1.0))
    alike, other = (
        store.submit(engine, config, system=references.system_of(parse_as(RunConfig, config)))
        for config in (alike, other)
    )
    for waiting in (alike, other):
        store.request_stop(engine, waiting)
    run_id = job(engine, "dmrg", chi=[3, 6, 16], **xxz)
    assert row(engine, run_id)["n_steps"] == 24
    run = attempt(settings, engine, run_id)
    assert (run["state"], run["kind"], run["phase"], run["error"]) == ("done", "dmrg", None, None)
    sweeps, points = of_kind(engine, run_id, "metrics"), of_kind(engine, run_id, "point")
    assert [sweep["step"] for sweep in sweeps] == list(range(1, len(sweeps) + 1))
    assert run["step"] == run["n_steps"] == len(sweeps)
    expected = {"energy", "energy_per_site", "chi", "sweep", "truncation_error", "max_entropy", "elapsed"}
    assert all(expected <= set(sweep["scalars"]) for sweep in sweeps)
    assert [point["chi"] for point in points] == [3, 6, 16]
    assert [point["step"] for point in points] == [
        sum(sweep["scalars"]["chi"] <= chi for sweep in sweeps) for chi in (3, 6, 16)
    ]
    assert points[-1]["energy"] == pytest.approx(exact, abs=1e-7)
    for event in points:
        EVENT.validate_python({k: v for k, v in event.items() if k not in ("seq", "t", "attempt")})
    result = run["result"]
    assert (run["energy"], result["chi"], result["n_steps"]) == (result["energy"], [3, 6, 16], len(sweeps))
    assert result["energy_per_site"] == result["energy"] / 8
    assert result["bound"] == "upper"  # the last state is exact: nothing to extrapolate
    assert "truncation error" in result["refused"]
    assert {"sentence", "method", "uncertainty", "uncertainty_kind", "fits", "note", "seconds"} <= set(result)
    series = table(engine, models.reference_series, run_id)
    assert [(found["chi"], found["energy"]) for found in series] == [
        (point["chi"], pytest.approx(point["energy"] / 2)) for point in points
    ]
    kept, checked = table(engine, models.reference_energies, run_id)
    assert (kept["origin"], kept["energy"]) == ("computed", pytest.approx(result["energy"] / 2))
    assert (checked["bound"], checked["energy"], result["exact"]) == ("exact", pytest.approx(exact / 2), exact)
    assert "above the exact energy" in result["sentence"]
    given = row(engine, alike)["reference"]
    assert (given["method"], given["bound"]) == ("exact diagonalisation", "exact")
    assert given["energy"] == pytest.approx(exact, abs=1e-7)
    assert of_kind(engine, alike, "log")[-1]["message"].startswith("reference: ")
    assert row(engine, other)["reference"] is None


def stopping(monkeypatch: pytest.MonkeyPatch, when: Callable[[list[Any]], bool], act: Callable[[Sink], Any]) -> None:
    """Do `act` when the events of a run pass a test, and wait until the process knows."""
    put, told = Sink.put, []

    def wrapped(self: Sink, event: Any) -> None:
        put(self, event)
        told.append(event)
        if when(told) and not self._stop:
            act(self)
            while not self._stop:
                threading.Event().wait(0.01)

    monkeypatch.setattr(Sink, "put", wrapped)


def n_points(told: list[Any]) -> int:
    return sum(event.kind == "point" for event in told)


@pytest.mark.parametrize("how", ["stop", "terminate"])
def test_dmrg_keeps_what_is_finished_and_goes_on_with_the_rest(
    settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    run_id = job(engine, "dmrg", chi=[3, 6, 16])

    def act(sink: Sink) -> None:
        store.request_stop(engine, run_id) if how == "stop" else sink.terminate()

    with monkeypatch.context() as patch:
        stopping(patch, lambda told: n_points(told) == 1 and told[-1].kind == "metrics", act)
        run = attempt(settings, engine, run_id)
    first = of_kind(engine, run_id, "point")
    assert [point["chi"] for point in first] == [3]
    assert run["state"] == ("stopped" if how == "stop" else "queued")
    if how == "stop":
        assert run["result"]["chi"] == [3]
        assert len(table(engine, models.reference_series, run_id)) == 1
        store.request_resume(engine, run_id)
    else:
        assert run["result"] is None
    run = attempt(settings, engine, run_id)
    assert run["state"] == "done"
    points = of_kind(engine, run_id, "point")
    assert [point["chi"] for point in points] == [3, 6, 16]
    assert points[0] == first[0]
    (rewind,) = of_kind(engine, run_id, "rewind")
    assert rewind["step"] == first[0]["step"]
    later = [event["step"] for event in of_kind(engine, run_id, "metrics") if event["attempt"] == 2]
    assert later == list(range(rewind["step"] + 1, run["step"] + 1))
    assert run["step"] == run["n_steps"]
    elapsed = [event["scalars"]["elapsed"] for event in of_kind(engine, run_id, "metrics") if event["attempt"] == 2]
    assert elapsed == sorted(elapsed)
    assert run["result"]["energy"] == pytest.approx(E_RING, abs=1e-7)
    assert [found["chi"] for found in table(engine, models.reference_series, run_id)] == [3, 6, 16]
    assert [found["bound"] for found in table(engine, models.reference_energies, run_id)] == ["upper", "exact"]


def test_dmrg_stopped_before_its_first_point_has_no_result(
    settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = job(engine, "dmrg", chi=[3, 6])
    with monkeypatch.context() as patch:
        stopping(patch, lambda told: told[-1].kind == "metrics", lambda _: store.request_stop(engine, run_id))
        run = attempt(settings, engine, run_id)
    assert (run["state"], run["result"]) == ("stopped", None)
    assert of_kind(engine, run_id, "point") == table(engine, models.reference_energies, run_id) == []
    store.request_resume(engine, run_id)
    assert attempt(settings, engine, run_id)["state"] == "done"


def test_dmrg_whose_process_vanishes_fails_and_keeps_its_points(
    settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = job(engine, "dmrg", chi=[3, 6])
    events = reference.dmrg.Job.events

    def cut(self: reference.dmrg.Job, *args: float) -> Iterator[Any]:
        for event in events(self, *args):
            yield event
            if isinstance(event, reference.dmrg.Sweep) and event.chi == 6:
                return

    with monkeypatch.context() as patch:
        patch.setattr(reference.dmrg.Job, "events", cut)
        run = attempt(settings, engine, run_id)
    assert run["state"] == "failed"
    assert "the bond dimensions that it had finished are kept" in run["error"]
    store.request_resume(engine, run_id)
    assert attempt(settings, engine, run_id)["state"] == "done"
    assert [point["chi"] for point in of_kind(engine, run_id, "point")] == [3, 6]


def test_dmrg_whose_process_is_killed_goes_back_to_the_queue_and_then_names_memory(
    settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = job(engine, "dmrg", chi=[3, 6])
    with engine.begin() as connection:
        connection.execute(sa.update(models.runs).where(models.runs.c.id == run_id).values(max_failures=2))
    begin = reference.dmrg.Job.__init__

    def killed(self: reference.dmrg.Job, *args: Any) -> None:
        begin(self, *args)
        os.kill(self.pid, signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(reference.dmrg.Job, "__init__", killed)
        run = attempt(settings, engine, run_id)
        assert (run["state"], run["error"]) == ("queued", None)
        run = attempt(settings, engine, run_id)
    assert run["state"] == "failed"
    assert "possibly out of memory" in run["error"]
    store.request_resume(engine, run_id)
    assert attempt(settings, engine, run_id)["state"] == "done"


def test_dmrg_with_all_points_only_concludes(
    settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process was lost between its last point and its last word."""
    run_id = job(engine, "dmrg", chi=[3, 6])

    def fail(*_: Any) -> None:
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr(references, "record", fail)
        assert attempt(settings, engine, run_id)["state"] == "failed"
    monkeypatch.setattr(reference.dmrg, "Job", fail)
    store.request_resume(engine, run_id)
    run = attempt(settings, engine, run_id)
    assert (run["state"], run["result"]["chi"]) == ("done", [3, 6])


# ---- exact


def test_exact_levels(settings: Settings, engine: sa.Engine) -> None:
    chain = {"name": "chain", "params": {"length": 6, "periodic": False}}
    run_id = job(engine, "exact", lattice=chain, levels=4)
    run = attempt(settings, engine, run_id)
    assert (run["state"], run["step"], run["n_steps"], run["n_sites"]) == ("done", 1, 1, 6)
    known = reference.compute(parse_as(ReferenceJob, {**RING, "lattice": chain}), 4, "exact")
    result = run["result"]
    assert [level["energy"] for level in result["levels"]] == pytest.approx([level.energy for level in known])
    assert [level["level"] for level in result["levels"]] == [0, 1, 2, 3]
    assert (run["energy"], result["energy_per_site"]) == (result["energy"], result["energy"] / 6)
    assert (result["method"], result["bound"]) == ("exact diagonalisation", "exact")
    assert "residual" in result["sentence"]
    kept = table(engine, models.reference_energies, run_id)
    assert [found["level"] for found in kept] == [0, 1, 2, 3]


def test_a_closed_form_is_taken_at_any_size(settings: Settings, engine: sa.Engine) -> None:
    big = {"lattice": {"name": "chain", "params": {"length": 200}}, "hamiltonian": {"name": "tfim"}}
    run = attempt(settings, engine, job(engine, "auto", **big))
    assert (run["kind"], run["state"], run["result"]["method"]) == ("exact", "done", "analytic")


def test_what_is_too_large_says_what_it_would_need(settings: Settings, engine: sa.Engine) -> None:
    config = {**RING, "lattice": {"name": "square", "params": {"extent": [6, 6]}}, "method": "exact", "levels": 1}
    run = attempt(settings, engine, store.submit(engine, config, kind="exact"))
    assert run["state"] == "failed"
    assert "GB" in run["error"]


@pytest.mark.parametrize("how", ["stop", "terminate"])
def test_an_exact_computation_can_be_stopped(
    settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    run_id = job(engine, "exact", lattice={"name": "chain", "params": {"length": 14, "periodic": False}})

    def act(sink: Sink) -> None:
        store.request_stop(engine, run_id) if how == "stop" else sink.terminate()

    with monkeypatch.context() as patch:
        stopping(patch, lambda told: told[-1].kind == "state", act)
        run = attempt(settings, engine, run_id)
    assert (run["state"], run["result"], run["step"]) == ("stopped" if how == "stop" else "queued", None, 0)
    if how == "stop":
        store.request_resume(engine, run_id)
    assert attempt(settings, engine, run_id)["state"] == "done"
