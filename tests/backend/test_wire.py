"""Infinite, undefined and missing are three things, wherever a run's numbers go."""

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from pydantic import TypeAdapter

from backend import console, spool, store
from backend.export import export
from backend.feed import Topic
from backend.models import metrics, runs
from backend.references import judge
from backend.strict import dumps
from nqs_core.events import MetricsEvent, Real, decoded, real
from tests.backend.feeding import Feeder
from tests.backend.helpers import row, story

ODD = {"r_hat": math.inf, "ess": math.nan, "variance": -math.inf, "own": math.nan, "other": math.inf}
WIRE = {"r_hat": "Infinity", "ess": "NaN", "variance": "-Infinity", "own": "NaN", "other": "Infinity"}


@pytest.fixture
def feeder(tmp_path: Path) -> Iterator[Feeder]:
    engine = store.open_engine(f"sqlite:///{tmp_path}/test.db")
    feeder = Feeder(engine, "NaN")
    feeder.train(1, **ODD)
    feeder.train(1)
    yield feeder
    engine.dispose()


def finish(feeder: Feeder, **result: Any) -> dict[str, Any]:
    assert store.finish(feeder.engine, *feeder.owner, "done", result={"energy": -1.0, **result})
    return row(feeder.engine, feeder.run)


def same(found: dict[str, Any], given: dict[str, Any]) -> bool:
    """Equal, with NaN equal to NaN, and of the same types."""
    return {name: repr(found.get(name)) for name in given} == {name: repr(value) for name, value in given.items()}


def test_the_schema_has_one_encoding() -> None:
    event = MetricsEvent(step=1, phase="train", scalars=ODD)
    assert json.loads(event.model_dump_json())["scalars"] == WIRE
    assert json.loads(dumps({"a": [ODD]}))["a"] == [WIRE]
    assert same(MetricsEvent.model_validate_json(event.model_dump_json()).scalars, ODD)
    kinds = TypeAdapter(Real).json_schema(mode="serialization")["anyOf"]
    assert {"type": "number"} in kinds
    assert [kind["enum"] for kind in kinds if "enum" in kind] == [["NaN", "Infinity", "-Infinity"]]


def test_decoding_leaves_words_alone() -> None:
    assert [real(x) for x in ("Infinity", 2, None, "x", True)] == [math.inf, 2.0, None, None, None]
    assert decoded({"kind": "log", "message": "NaN", "scalars": {"a": "-Infinity"}}) == {
        "kind": "log", "message": "NaN", "scalars": {"a": -math.inf},
    }  # fmt: skip


def test_the_spool_and_the_database_keep_all_three(feeder: Feeder) -> None:
    line = spool.encode({"kind": "metrics", "scalars": ODD | {"absent": None}})
    assert same(spool.decode(line)["scalars"], ODD | {"absent": None})
    first, second = (event["scalars"] for event in story(feeder.engine, feeder.run) if event["kind"] == "metrics")
    assert same(first, ODD)
    assert not set(ODD) & set(second)  # a gap stays a gap
    assert same(row(feeder.engine, feeder.run), {name: ODD[name] for name in ("r_hat", "ess", "variance")})
    with feeder.engine.connect() as connection:
        kinds = connection.execute(sa.select(sa.func.typeof(metrics.c.ess), sa.func.typeof(metrics.c.r_hat))).all()
    assert [tuple(kind) for kind in kinds] == [("text", "real"), ("null", "null")]


def test_a_result_keeps_them_and_its_values_lead(feeder: Feeder) -> None:
    run = finish(feeder, energy_error=math.nan, r_hat=math.inf, ess=None, observables={"m": {"error": [math.nan, 1.0]}})
    assert same(run["result"], {"energy_error": math.nan, "r_hat": math.inf, "ess": None})
    assert same(run, {"energy_error": math.nan, "r_hat": math.inf, "ess": None, "name": "NaN"})
    assert repr(run["result"]["observables"]) == "{'m': {'error': [nan, 1.0]}}"
    told = json.loads(dumps(run))
    assert [told[name] for name in ("energy_error", "r_hat", "ess")] == ["NaN", "Infinity", None]


def test_undefined_values_sort_and_compare_as_nothing_else(feeder: Feeder) -> None:
    with feeder.engine.begin() as connection:
        connection.execute(sa.update(runs).values(energy=math.nan, reference_energy=-2.0))
    assert row(feeder.engine, feeder.run)["relative_error"] is None  # SQLite would count with 0
    other = Feeder(feeder.engine, "finite")
    other.train(1)
    for sort in ("energy", "-energy"):
        found, _ = store.list_runs(feeder.engine, sort=sort)
        assert len(found) == 2
    assert [run["name"] for run in store.list_runs(feeder.engine, sort="energy")[0]] == ["finite", "NaN"]


def test_an_undefined_error_excludes_nothing() -> None:
    reference = {"energy": -2.0, "bound": "exact", "method": "exact"}
    told = judge({"reference": reference, "energy": -2.5, "energy_error": math.nan})
    assert told == judge({"reference": reference, "energy": -2.5, "energy_error": None})


def test_the_files_tell_them_apart(feeder: Feeder) -> None:
    run = finish(feeder, r_hat=math.inf)
    document = json.loads(export(feeder.engine, run, "json")[2])
    assert document["metrics"][0].items() >= WIRE.items()
    assert "r_hat" not in document["metrics"][1]
    assert document["result"]["r_hat"] == "Infinity"
    table = list(csv.DictReader(io.StringIO(export(feeder.engine, run, "csv")[2].decode())))
    assert [[line[name] for name in ODD] for line in table] == [["inf", "nan", "-inf", "nan", "inf"], [""] * 5]
    assert same({name: float(table[0][name]) for name in ODD}, ODD)


def test_the_feed_tells_a_gap_from_what_is_undefined(feeder: Feeder) -> None:
    feeder.train(2, ess=math.nan, own=1e300)
    topic = Topic(feeder.run)
    events, last = store.read_events(feeder.engine, feeder.run)
    topic.curve.extend(events, last)
    whole, late = topic.curve.slice(0), topic.curve.slice(last - 1)
    assert whole.undefined == {"ess": [(0, 1), (2, 4)], "own": [(0, 1)]}
    assert (late.n, late.undefined) == (1, {"ess": [(0, 1)]})
    assert ("ess", "f4") in late.columns  # though nothing in it is a number
    columns = {name: np.frombuffer(data, kind) for (name, kind), data in zip(whole.columns, whole.blocks, strict=True)}
    assert str(columns["r_hat"].tolist()) == "[inf, nan, nan, nan]"
    assert np.isfinite(columns["own"][2:]).all()  # float32 has no 1e300, but it is no infinity
    assert json.loads(topic.entry(0).header)["undefined"]["own"] == [[0, 1]]


def test_the_terminal_tells_them_apart() -> None:
    unknown = dict.fromkeys(("reference", "relative_error", "absolute_error", "health"))
    content = dict.fromkeys(console.RESULT, 1.0) | unknown
    odd = {"energy_error": math.nan, "r_hat": math.inf, "acceptance": None, "v_score": math.nan}
    words = console.summary(content | odd)
    assert "1 ± undefined" in words
    assert "R-hat ∞" in words
    assert "acceptance -" in words
    assert "V-score undefined" in words
