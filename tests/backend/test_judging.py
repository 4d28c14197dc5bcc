"""The judgement of a run in the database: live, final, of earlier versions, and in every order of the list."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend import judging, store
from backend.models import runs
from backend.store import ingest
from nqs_core import health
from nqs_core.events import Event, MetricsEvent, WarningEvent
from tests.backend.helpers import begin

RING = {
    "lattice": {"name": "chain", "params": {"length": 8}},
    "hamiltonian": {"name": "tfim", "params": {"J": 1.0, "h": 1.0}},
    "n_steps": 10,
    "sector": None,
    "init_from": None,
}
EXACT = {"energy": -10.2517, "bound": "exact", "method": "analytic"}
GOOD = {"energy_error": 0.01, "acceptance": 0.3, "r_hat": 1.01, "ess": 0.5, "n_samples": 1024.0, "distinct": 200.0}


@pytest.fixture
def engine(tmp_path: Path):
    engine = store.open_engine(f"sqlite:///{tmp_path / 'runs.db'}")
    yield engine
    engine.dispose()


def step(k: int, energy: float, phase: Any = "train", **scalars: float) -> MetricsEvent:
    return MetricsEvent(step=k, phase=phase, scalars={**GOOD, "energy": energy, **scalars})


class Writer:
    """An attempt that writes events as its process would."""

    def __init__(self, engine: sa.Engine, run_id: str | None = None, **config: Any) -> None:
        self.engine = engine
        self.run = run_id or store.submit(engine, RING | config, reference=EXACT, kind=config.pop("kind", "vmc"))
        self.owner = begin(engine, self.run)
        self.acked = 0

    def write(self, *events: Event, **values: Any) -> dict[str, Any] | None:
        records = [{"t": 0.0, **event.model_dump()} for event in events]
        self.acked += ingest.flush(self.engine, self.owner, self.acked, records, values).done
        return self.health

    def end(self, state: str = "done", **about: Any) -> dict[str, Any] | None:
        assert store.finish(self.engine, *self.owner, state, **about)
        return self.health

    @property
    def health(self) -> dict[str, Any] | None:
        run = store.get_run(self.engine, self.run)
        assert run is not None
        return run["health"]


def codes(found: dict[str, Any] | None) -> tuple[str, set[str]]:
    assert found is not None
    return found["level"], {reason["code"] for reason in found["reasons"]}


def test_a_run_is_judged_while_it_goes_and_when_it_has_ended(engine: sa.Engine) -> None:
    writer = Writer(engine)
    assert writer.write(spectrum=[-16.0, 16.0]) is None
    assert codes(writer.write(step(1, -8.0))) == ("good", set())  # it has only begun
    assert codes(writer.write(step(6, -7.9))) == ("doubtful", {"no_descent", "above_reference"})
    assert codes(writer.write(step(7, -30.0))) == ("impossible", {"outside"})
    assert codes(writer.write(step(8, -10.2))) == ("good", set())
    assert codes(writer.write(*(step(9, -10.2, r_hat=math.inf) for _ in range(health.RECENT)))) == (
        "doubtful",
        {"r_hat"},
    )
    assert codes(writer.write(step(9, -10.2, "measure"))) == ("good", set())  # training is over
    result = GOOD | {"energy": -10.25, "acceptance": 0.0, "ess": 0.001, "n_samples_final": 16384}
    assert codes(writer.end(result=result)) == ("doubtful", {"ess"})  # it agrees with the reference
    store.set_reference(engine, writer.run, EXACT | {"energy": -10.5})
    assert codes(writer.health) == ("doubtful", {"ess", "no_moves"})


def test_where_a_run_began_decides_what_is_expected_of_it(engine: sa.Engine) -> None:
    warm = Writer(engine, init_from={"run": "a" * 36, "step": 3})
    warm.write(step(1, -9.9), spectrum=[-16.0, 16.0])
    assert codes(warm.end("stopped")) == ("good", set())
    cold = Writer(engine)
    cold.write(step(1, -9.9), spectrum=[-16.0, 16.0])
    assert codes(cold.end("stopped")) == ("doubtful", {"no_descent"})


def test_a_run_that_gave_up_is_impossible_until_it_is_resumed(engine: sa.Engine) -> None:
    writer = Writer(engine)
    writer.write(step(1, -8.0), step(2, -10.2))
    words = "the energy became nan at step 3; a smaller learning_rate keeps the steps short"
    found = writer.write(WarningEvent(step=3, code=health.DIVERGED, message=words))
    assert found == {"level": "impossible", "reasons": [{"code": "diverged", "text": words}]}
    assert codes(writer.end("failed", reason=words)) == ("impossible", {"diverged"})
    store.request_resume(engine, writer.run)
    again = Writer(engine, writer.run)
    assert codes(again.write(step(3, -10.2))) == ("good", set())


def test_a_measurement_is_judged_and_a_computation_is_not(engine: sa.Engine) -> None:
    parent = store.submit(engine, RING, reference=EXACT)
    begin(engine, parent)
    for kind in ("measure", "exact"):
        run = store.submit(engine, RING, reference=EXACT, kind=kind, parent=parent)
        writer = Writer(engine, run)
        writer.write(step(10, -8.0, "measure"))
        found = writer.end(result=GOOD | {"energy": -8.0, "n_samples_final": 1024})
        assert found is None if kind == "exact" else codes(found) == ("doubtful", {"above_reference"})
    assert [child["health"]["level"] for child in store.children(engine, parent) if child["health"]] == ["doubtful"]


def test_impossible_runs_come_last_in_every_order(engine: sa.Engine) -> None:
    for name, energy in (("a", -30.0), ("b", -10.2), ("c", -10.1), ("d", math.nan)):
        run = store.submit(engine, RING, name=name, reference=EXACT)
        writer = Writer(engine, run)
        writer.write(spectrum=[-16.0, 16.0])
        writer.end(result=GOOD | {"energy": energy, "n_samples_final": 1024})
    waiting = store.submit(engine, RING, name="e")

    def names(sort: str | None) -> list[str]:
        return [run["name"] for run in store.list_runs(engine, sort=sort)[0]]

    for key in ("energy", "relative_error", "name", "created", "r_hat"):
        for sign in ("", "-"):
            order = names(sign + key)
            assert set(order[-2:]) == {"a", "d"}, (sign + key, order)
    assert names("energy")[:3] == ["b", "c", "e"]
    assert names(None) == ["e", "d", "c", "b", "a"]
    assert store.get_run(engine, waiting)["health"] is None  # type: ignore[index]


def test_runs_of_earlier_versions_are_judged_when_the_server_starts(engine: sa.Engine) -> None:
    configs = [RING, RING | {"hamiltonian": {"name": "gone"}}, {}]
    ids = []
    for config in configs:
        run = store.submit(engine, config, reference=EXACT)
        writer = Writer(engine, run)
        writer.end(result={"energy": -17.0, "energy_error": 0.01, "acceptance": 0.2})
        ids.append(run)
    with engine.begin() as connection:
        connection.execute(sa.update(runs).values(health=None, spectrum=None))
    judging.start(engine)
    found = [codes(store.get_run(engine, run)["health"]) for run in ids]  # type: ignore[index]
    assert found[0] == ("impossible", {"outside"})
    assert found[1] == found[2] == ("doubtful", {"below_reference"})
    assert store.unjudged(engine) == []
