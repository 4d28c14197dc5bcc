"""A run as one file holds the current series, exactly."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from backend import models, store
from backend.export import export
from backend.store.ingest import Owner, flush
from tests.backend.feeding import Feeder


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = store.open_engine(f"sqlite:///{tmp_path}/test.db")
    yield engine
    engine.dispose()


@pytest.fixture
def feeder(engine: Engine) -> Feeder:
    feeder = Feeder(engine, 'A "name", with/../<signs>')
    feeder.train(6)
    feeder.put({"kind": "warning", "code": "w", "message": "look, here", "step": 6})
    feeder.restart(4)
    feeder.train(2, jsd=0.125)
    for energy in (-3.0, -5.0):
        scalars = {"energy": energy}
        feeder.put({"kind": "metrics", "phase": "measure", "step": 6, "scalars": scalars})
    return feeder


def exported(feeder: Feeder, form: str) -> tuple[str, bytes]:
    run = store.get_run(feeder.engine, feeder.run)
    assert run is not None
    name, _, content = export(feeder.engine, run, form)
    return name, content


def test_csv_has_one_row_for_each_current_step(feeder: Feeder) -> None:
    name, content = exported(feeder, "csv")
    assert name == f"A-name-with-..-signs-{feeder.run[:8]}.csv"
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [float(row["energy"]) for row in rows] == [*[-k - 1e-12 for k in (1, 2, 3, 4)], -5 - 2e-12, -6 - 2e-12]
    assert [row["jsd"] for row in rows] == ["", "", "", "", "0.125", "0.125"]
    assert next(iter(rows[0])) == "step"


def test_json_has_everything_of_the_run(feeder: Feeder) -> None:
    name, content = exported(feeder, "json")
    assert name.endswith(".json")
    document = json.loads(content)
    assert document["config"]["lattice"]["name"] == "square"
    assert document["run"]["id"] == feeder.run
    assert [row["step"] for row in document["metrics"]] == [1, 2, 3, 4, 5, 6]
    assert document["metrics"][-1]["energy"] == -6 - 2e-12
    assert [row["energy"] for row in document["measure"]] == [-3.0, -5.0]
    assert document["warnings"] == [{"step": 6, "code": "w", "message": "look, here"}]
    assert {"spinscope", "reference", "result", "versions"} <= set(document)
    assert document["versions"] == {}
    assert "commit" not in document


def test_what_a_run_was_computed_with_is_in_its_file(feeder: Feeder) -> None:
    recorded = {"spinscope": "1", "jax": "2", "commit": "a" * 40}
    with feeder.engine.begin() as connection:
        connection.execute(models.runs.update().values(versions=recorded))
    document = json.loads(exported(feeder, "json")[1])
    assert document["versions"] == {"spinscope": "1", "jax": "2"}
    assert document["commit"] == "a" * 40


def test_batches_that_are_measured_again_count_once(feeder: Feeder) -> None:
    def measure(*batches: int) -> None:
        for batch in batches:
            scalars = {"energy": 100.0 * feeder.owner.attempt + batch, "batch": float(batch)}
            feeder.put({"kind": "metrics", "phase": "measure", "step": 6, "scalars": scalars})

    feeder.restart(6)
    measure(1, 2, 3, 4)
    feeder.restart(6)
    measure(3, 4, 5)
    document = json.loads(exported(feeder, "json")[1])
    assert [row["energy"] for row in document["measure"]] == [301, 302, 403, 404, 405]


def finished(engine: Engine, kind: str, result: dict[str, Any], *records: dict[str, Any]) -> tuple[dict, list[dict]]:
    """The two files of a run of this kind that has said these records."""
    run_id = store.submit(engine, {"lattice": {"name": "chain"}}, name="job", kind=kind)
    claimed = store.claim_next(engine)
    assert claimed is not None
    owner = Owner(*claimed, "token")
    store.claim_attempt(engine, *owner, pid=1, host="here", slot=None)
    flush(engine, owner, 0, [{"t": 0.0, **record} for record in records], {})
    store.finish(engine, *owner, "done", result=result)
    run = store.get_run(engine, run_id)
    assert run is not None
    content = [export(engine, run, form)[2].decode() for form in ("json", "csv")]
    return json.loads(content[0]), list(csv.DictReader(io.StringIO(content[1])))


def test_a_series_of_dmrg_has_its_sweeps_points_and_fits(engine: Engine) -> None:
    def sweep(step: int, chi: int) -> dict[str, Any]:
        scalars = {"energy": -1.0 - step / 7, "chi": float(chi), "truncation_error": 1e-7}
        return {"kind": "metrics", "phase": "train", "step": step, "scalars": scalars}

    def point(step: int, chi: int) -> dict[str, Any]:
        return {"kind": "point", "step": step, "chi": chi, "energy": -2.0 - chi / 3, "converged": True}

    result = {"energy": -5.0, "fits": [{"kind": "power", "a": -5.0}]}
    document, rows = finished(
        engine, "dmrg", result, sweep(1, 4), sweep(2, 4), point(2, 4), sweep(3, 8), {"kind": "rewind", "step": 2},
        sweep(3, 8), sweep(4, 8), point(4, 8),
    )  # fmt: skip
    assert (document["run"]["kind"], document["result"]) == ("dmrg", result)
    assert [row["step"] for row in document["metrics"]] == [1, 2, 3, 4]
    assert [(found["chi"], found["energy"]) for found in document["points"]] == [(4, -2 - 4 / 3), (8, -2 - 8 / 3)]
    assert [(row["step"], row["chi"], row["point_chi"]) for row in rows] == [
        ("1", "4.0", ""), ("2", "4.0", "4"), ("3", "8.0", ""), ("4", "8.0", "8")
    ]  # fmt: skip
    assert float(rows[1]["energy"]) == -1 - 2 / 7
    assert float(rows[3]["point_energy"]) == -2 - 8 / 3


def test_levels_and_batches_are_rows(engine: Engine) -> None:
    levels = [{"level": k, "energy": -1.0 / (k + 3), "uncertainty": 1e-9} for k in range(3)]
    document, rows = finished(engine, "exact", {"energy": -1 / 3, "levels": levels})
    assert document["result"]["levels"] == levels
    assert [{name: float(value) for name, value in row.items()} for row in rows] == levels
    batches = [
        {"kind": "metrics", "phase": "measure", "step": 9, "scalars": {"energy": -1.0 / k, "batch": float(k)}}
        for k in (1, 2)
    ]
    document, rows = finished(engine, "measure", {"energy": -0.75}, *batches)
    assert [row["energy"] for row in document["measure"]] == [-1.0, -0.5]
    assert [(float(row["batch"]), float(row["energy"])) for row in rows] == [(1, -1.0), (2, -0.5)]


@pytest.mark.parametrize(("kind", "head"), [("dmrg", "step"), ("exact", "level"), ("measure", "batch")])
def test_a_job_without_events_is_a_file_too(engine: Engine, kind: str, head: str) -> None:
    run = store.get_run(engine, store.submit(engine, {"lattice": {"name": "chain"}}, kind=kind))
    assert run is not None
    assert export(engine, run, "csv")[2] == f"{head}\n".encode()
    assert json.loads(export(engine, run, "json")[2])["points"] == []


def test_a_run_without_events_is_a_file_too(engine: Engine) -> None:
    run = store.get_run(engine, store.submit(engine, {"name": "", "lattice": {"name": "chain"}}))
    assert run is not None
    assert export(engine, run, "csv")[::2] == (f"run-{run['id'][:8]}.csv", b"step\n")
    assert json.loads(export(engine, run, "json")[2])["metrics"] == []
