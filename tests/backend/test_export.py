"""A run as one file holds the current series, exactly."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from backend import store
from backend.export import export
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


def test_a_run_without_events_is_a_file_too(engine: Engine) -> None:
    run = store.get_run(engine, store.submit(engine, {"name": "", "lattice": {"name": "chain"}}))
    assert run is not None
    assert export(engine, run, "csv")[::2] == (f"run-{run['id'][:8]}.csv", b"step\n")
    assert json.loads(export(engine, run, "json")[2])["metrics"] == []
