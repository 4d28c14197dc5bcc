"""Runs of several kinds, what hangs on a run, and the reference that all runs of a system share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend import models, store
from tests.backend.helpers import row, story
from tests.backend.test_store import CONFIG, EXACT, start

KEY = "tfim|chain|8|P|J=1,h=1"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = store.open_engine(f"sqlite:///{tmp_path / 'runs.db'}")
    yield engine
    engine.dispose()


def test_kinds_are_listed_apart(engine: sa.Engine) -> None:
    ids = {kind: store.submit(engine, CONFIG, kind=kind) for kind in models.KINDS}
    assert ids["vmc"] == store.list_runs(engine)[0][0]["id"]
    for kind, run_id in ids.items():
        found, total = store.list_runs(engine, kind=kind)
        assert (total, found[0]["id"], found[0]["kind"]) == (1, run_id, kind)
    assert store.list_runs(engine, kind="dmrg,exact")[1] == 2
    assert store.list_runs(engine, kind="any")[1] == 4


def test_a_run_says_what_it_is_about(engine: sa.Engine) -> None:
    run_id = store.submit(engine, {"chi": [4, 8]}, kind="dmrg", n_steps=16, system=(KEY, "full"))
    run = row(engine, run_id)
    expected = {"kind": "dmrg", "n_steps": 16, "system_key": KEY, "system_sector": "full", "parent": None}
    assert {name: run[name] for name in expected} == expected


def test_measurements_belong_to_their_run(engine: sa.Engine, tmp_path: Path) -> None:
    parent, other = store.submit(engine, CONFIG), store.submit(engine, CONFIG)
    parts = [store.submit(engine, CONFIG | {"measure": n}, kind="measure", parent=parent) for n in (10, 20)]
    assert [(part["id"], part["n_samples"]) for part in store.children(engine, parent)] == list(
        zip(parts, (10, 20), strict=True)
    )
    assert store.children(engine, other) == []
    for run_id in (parent, *parts):
        (tmp_path / run_id).mkdir()
    start(engine, parent)
    store.finish(engine, parent, 1, "token1", "done")
    start(engine, other)
    start(engine, parts[0])
    with pytest.raises(store.StateError, match="a measurement of the run is running; stop it"):
        store.delete_run(engine, parent, tmp_path / parent)
    assert (tmp_path / parts[0]).exists()
    store.finish(engine, parts[0], 1, "token1", "done", result={"energy": -1.0})
    assert store.children(engine, parent)[0]["result"] == {"energy": -1.0}
    store.delete_run(engine, parent, tmp_path / parent)
    assert [run["id"] for run in store.list_runs(engine, kind="any")[0]] == [other]
    assert not any((tmp_path / run_id).exists() for run_id in (parent, *parts))


def test_a_measurement_goes_alone(engine: sa.Engine) -> None:
    parent = store.submit(engine, CONFIG)
    part = store.submit(engine, CONFIG, kind="measure", parent=parent)
    store.delete_run(engine, part, None)
    assert store.children(engine, parent) == []
    assert store.get_run(engine, parent) is not None


def test_runs_of_a_system_get_their_reference_when_it_is_known(engine: sa.Engine) -> None:
    runs = [store.submit(engine, CONFIG, system=(KEY, sector), reference=EXACT) for sector in ("full", "P=+1")]
    store.submit(engine, CONFIG, system=("tfim|chain|9|P|J=1,h=1", "full"))
    found = store.same_system(engine, KEY)
    assert {run["id"]: run["system_sector"] for run in found} == dict(zip(runs, ("full", "P=+1"), strict=True))
    assert {(run["kind"], run["config"]["n_steps"], run["reference"]["energy"]) for run in found} == {
        ("vmc", 10, -10.0)
    }
    better = {"energy": -11.0, "bound": "estimate", "method": "dmrg", "uncertainty": 0.25, "label": "estimate (dmrg)"}
    assert store.set_reference(engine, runs, better) == runs
    assert store.set_reference(engine, [*runs, "nobody"], better) == []  # nothing new, nothing said
    for run_id in runs:
        assert row(engine, run_id)["reference"] == better
        (told,) = [event for event in story(engine, run_id) if event["kind"] == "log"]
        assert told["message"] == "reference: -11 ± 0.25, estimate (dmrg)"


@pytest.mark.parametrize("bound", ["exact", "estimate", "upper"])
def test_a_new_reference_changes_the_relative_error(engine: sa.Engine, bound: str) -> None:
    run_id = store.submit(engine, CONFIG, reference=EXACT)
    start(engine, run_id)
    store.finish(engine, run_id, 1, "token1", "done", result={"energy": -9.0})
    store.set_reference(engine, run_id, {"energy": -20.0, "bound": bound, "method": "dmrg"})
    run = row(engine, run_id)
    assert run["relative_error"] == (None if bound == "upper" else pytest.approx(11 / 20))
    assert run["state"] == "done"
    store.set_reference(engine, run_id, None)
    assert row(engine, run_id)["reference"] is None
    assert row(engine, run_id)["relative_error"] is None


def test_a_reference_can_be_part_of_a_larger_transaction(engine: sa.Engine) -> None:
    run_id = store.submit(engine, CONFIG)

    def change() -> None:
        with engine.begin() as connection:
            store.set_reference(connection, run_id, EXACT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change()
    assert row(engine, run_id)["reference"] is None
    assert row(engine, run_id)["last_seq"] == 1
