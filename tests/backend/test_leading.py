"""The better of two measurements speaks for a run, as long as it is of the parameters that the run ended with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend import store
from tests.backend.feeding import CONFIG, Feeder
from tests.backend.helpers import row

GOOD: dict[str, Any] = {
    "energy": -6.0, "energy_error": 0.1, "energy_per_site": -1.0, "variance": 1.0, "r_hat": 1.0, "acceptance": 0.5,
    "n_samples_final": 100, "n_steps": 3,
}  # fmt: skip
BETTER = GOOD | {"energy": -6.2, "energy_error": 0.02, "n_samples_final": 2500}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = store.open_engine(f"sqlite:///{tmp_path}/test.db")
    yield engine
    engine.dispose()


def trained(engine: sa.Engine, state: str = "done", result: dict[str, Any] | None = GOOD) -> str:
    feeder = Feeder(engine)
    feeder.train(3)
    assert store.finish(engine, *feeder.owner, state, result=result)
    return feeder.run


def measured(engine: sa.Engine, parent: str, result: dict[str, Any]) -> str:
    child = store.submit(engine, CONFIG, kind="measure", parent=parent)
    assert store.claim_next(engine) == (child, 1)
    assert store.claim_attempt(engine, child, 1, "token", pid=1, host="here", slot=None) is not None
    assert store.finish(engine, child, 1, "token", "done", result=result)
    return child


def shown(engine: sa.Engine, run: str) -> tuple[Any, ...]:
    found = row(engine, run)
    return found["energy"], found["energy_error"], found["leading"]


def test_the_smaller_error_leads_and_the_own_result_stays(engine: sa.Engine) -> None:
    run = trained(engine)
    child = measured(engine, run, BETTER)
    assert shown(engine, run) == (-6.2, 0.02, child)
    assert row(engine, run)["result"] == GOOD
    measured(engine, run, BETTER | {"energy_error": 0.05})
    assert shown(engine, run) == (-6.2, 0.02, child)
    last = measured(engine, run, BETTER | {"energy_error": 0.01})
    assert shown(engine, run) == (-6.2, 0.01, last)


@pytest.mark.parametrize(
    "bad",
    [{"r_hat": 1.3}, {"r_hat": math.inf}, {"acceptance": 0.0}, {"energy_error": math.nan}, {"energy": math.nan},
     {"energy_error": 0.2}, {"n_steps": 2}],
)  # fmt: skip
def test_what_cannot_be_trusted_or_is_of_other_parameters_does_not_lead(engine: sa.Engine, bad: dict[str, Any]) -> None:
    run = trained(engine)
    measured(engine, run, BETTER | bad)
    assert shown(engine, run) == (-6.0, 0.1, None)


def test_good_chains_lead_bad_ones_whatever_the_error(engine: sa.Engine) -> None:
    run = trained(engine, result=GOOD | {"r_hat": 2.0, "energy_error": 0.001})
    child = measured(engine, run, GOOD)
    assert shown(engine, run) == (-6.0, 0.1, child)


def test_a_measurement_that_is_deleted_leads_no_longer(engine: sa.Engine, tmp_path: Path) -> None:
    run, stopped = trained(engine), trained(engine, "stopped", None)
    for owner, before in ((run, (-6.0, 0.1, None)), (stopped, (-3 - 1e-12, 0.1, None))):
        assert shown(engine, owner) == before
        child = measured(engine, owner, BETTER)
        assert shown(engine, owner)[2] == child
        store.delete_run(engine, child, None)
        assert shown(engine, owner) == before


def test_training_on_ends_the_lead(engine: sa.Engine) -> None:
    run = trained(engine, "stopped", None)
    assert measured(engine, run, BETTER) == shown(engine, run)[2]
    store.request_resume(engine, run)
    assert row(engine, run)["leading"] is None


def test_runs_that_were_measured_before_get_their_leader(engine: sa.Engine) -> None:
    run = trained(engine)
    child = measured(engine, run, BETTER)
    with engine.begin() as connection:
        connection.execute(sa.text("update runs set leading = null, energy = -6.0 where id = :run"), {"run": run})
    store.lead_all(engine)
    assert shown(engine, run) == (-6.2, 0.02, child)
