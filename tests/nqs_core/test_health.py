"""The judgement of a run: a table of facts, and small runs of the cases that once looked better than they were."""

import contextlib
import dataclasses
import math
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from nqs_core import driver, health, operators, problem
from nqs_core.divergence import Guard
from nqs_core.errors import DivergedError
from nqs_core.events import MetricsEvent, WarningEvent
from nqs_core.health import Facts, Record, judge
from nqs_core.optimizers import OPTIMIZERS
from nqs_core.reference import compute
from tests.nqs_core.systems import config, dense

# A TFIM ring of 8 at its critical point after a good training.
GOOD = Facts(
    energy=-10.25, error=0.01, first=-8.0, first_error=0.1, spectrum=(-16.0, 16.0), acceptance=0.3, r_hat=1.01,
    effective=5000.0, distinct=200.0, reference=-10.2517, reference_bound="exact",
)  # fmt: skip

NAMES = ("error", "first", "spectrum", "acceptance", "r_hat", "effective", "distinct", "reference")
UNKNOWN: dict[str, Any] = dict.fromkeys(NAMES)

TABLE: list[tuple[str, dict[str, Any], str, set[str]]] = [
    ("as it should be", {}, "good", set()),
    ("nothing but an energy is known", UNKNOWN, "good", set()),
    ("not a number", {"energy": math.nan}, "impossible", {"not_finite"}),
    ("infinite", {"energy": -math.inf}, "impossible", {"not_finite"}),
    ("gave up", {"diverged": "the energy became nan at step 3"}, "impossible", {"diverged"}),
    ("gave up at once", {"energy": None, "diverged": "it became nan"}, "impossible", {"diverged"}),
    ("below every state", {"energy": -16.2, "reference": None}, "impossible", {"outside"}),
    ("below every state, within 5 errors", {"energy": -16.04, "reference": None}, "good", set()),
    ("above every state", {"energy": 17.0, "first": None, "reference": None}, "impossible", {"outside"}),
    ("far outside with an error as large", {"energy": -3e13, "error": 1.7e13, "reference": None}, "impossible",
     {"outside"}),
    ("outside without an error", {"energy": -17.0, "error": math.nan, "reference": None}, "impossible", {"outside"}),
    ("no state of the sector is known", {"energy": -17.0, "spectrum": None, "reference": None}, "good", set()),
    ("nothing accepted", {"acceptance": 0.0, "energy": -10.0}, "doubtful", {"no_moves"}),
    ("one configuration", {"distinct": 1.0, "energy": -10.0}, "doubtful", {"one_configuration"}),
    ("nothing accepted, but exact", {"acceptance": 0.0, "distinct": 1.0, "first": -10.25}, "good", set()),
    ("right within 1e-3", {"acceptance": 0.0, "energy": -10.245, "error": 0.0}, "good", set()),
    ("right within its error", {"acceptance": 0.0, "energy": -10.20, "error": 0.06}, "good", set()),
    ("an error that agrees with anything", {"acceptance": 0.0, "energy": -9.5, "error": 0.3}, "doubtful",
     {"no_moves"}),
    ("an error without end", {"acceptance": 0.0, "energy": -9.5, "error": math.inf}, "doubtful", {"no_moves"}),
    ("an upper bound proves nothing", {"acceptance": 0.0, "reference_bound": "upper"}, "doubtful", {"no_moves"}),
    ("no descent", {"first": -9.9, "energy": -9.9, "reference": None}, "doubtful", {"no_descent"}),
    ("a descent within the noise", {"first": -9.5, "first_error": 0.5, "energy": -9.9, "reference": None}, "doubtful",
     {"no_descent"}),
    ("no first step, as after a warm start", {"first": None, "energy": -9.9, "reference": None}, "good", set()),
    ("training has only begun", {"first": -8.0, "energy": -8.0, "progress": 0.1}, "good", set()),
    ("training is half over", {"first": -8.0, "energy": -8.0, "progress": 0.5}, "doubtful",
     {"no_descent", "above_reference"}),
    ("above the middle", {"energy": 4.08, "first": 4.5, "reference": None}, "doubtful", {"high"}),
    ("above the middle of all sectors", {"energy": 4.08, "first": 4.5, "reference": None, "restricted": True}, "good",
     set()),
    ("chains disagree", {"r_hat": 1.11}, "doubtful", {"r_hat"}),
    ("chains that never met", {"r_hat": math.inf}, "doubtful", {"r_hat"}),
    ("R-hat at its limit", {"r_hat": 1.1}, "good", set()),
    ("R-hat undefined", {"r_hat": math.nan}, "good", set()),
    ("few samples", {"effective": 99.0}, "doubtful", {"ess"}),
    ("enough samples", {"effective": 100.0}, "good", set()),
    ("10 % above", {"energy": -9.2}, "doubtful", {"above_reference"}),
    ("9 % above", {"energy": -9.4}, "good", set()),
    ("above an upper bound", {"energy": -9.2, "reference_bound": "upper"}, "doubtful", {"above_reference"}),
    ("lower than it can be", {"energy": -10.4}, "doubtful", {"below_reference"}),
    ("lower within 3 errors", {"energy": -10.28}, "good", set()),
    ("an upper bound is beaten", {"energy": -10.4, "reference_bound": "upper"}, "good", set()),
    ("E0 = 0", {"energy": 0.0, "first": 0.0, "error": 0.0, "reference": 0.0, "spectrum": (0.0, 0.0)}, "good", set()),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "level", "codes"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_facts_are_judged(changes: dict[str, Any], level: str, codes: set[str]) -> None:
    found = judge(dataclasses.replace(GOOD, **changes))
    assert found is not None
    assert (found.level, {reason.code for reason in found.reasons}) == (level, codes)
    assert all(reason.text and not reason.text.endswith(".") for reason in found.reasons)


def test_nothing_is_said_before_there_is_an_energy() -> None:
    assert judge(Facts()) is None
    assert judge(Record(latest={"r_hat": 3.0}).facts()) is None


def test_a_run_that_goes_is_judged_by_the_median_of_its_newest_steps() -> None:
    rows = [{"energy": -10.0, "energy_error": 0.1, "acceptance": 0.3, "r_hat": 1.0, "ess": 0.5, "n_samples": 400}] * 15
    one_bad = Record(recent=[*rows[:7], rows[0] | {"r_hat": 5.0, "acceptance": 0.0, "ess": 0.1}, *rows[7:]])
    assert judge(one_bad.facts()) == health.Health("good")
    most_bad = Record(recent=[*rows[:3], *[rows[0] | {"r_hat": "Infinity", "ess": 0.1}] * 4])
    found = judge(most_bad.facts())
    assert found is not None
    assert {reason.code for reason in found.reasons} == {"r_hat", "ess"}
    assert "infinite" in found.reasons[0].text
    measured = Record(recent=rows, result={"energy": -10.0, "r_hat": 1.2, "ess": 0.004, "n_samples_final": 16384})
    found = judge(measured.facts())
    assert found is not None
    assert {reason.code for reason in found.reasons} == {"r_hat", "ess"}


def test_the_judgement_needs_no_jax() -> None:
    code = "import sys, nqs_core.health; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("model", [{"name": "tfim", "params": {"J": -0.7, "h": 1.3}}, {"name": "heisenberg"}])
def test_bounds_hold_every_energy(model: dict[str, Any]) -> None:
    terms = problem.build(config(hamiltonian=model)).hamiltonian.terms()
    levels = np.linalg.eigvalsh(dense(terms, 6))
    low, high = operators.spectrum(terms)
    assert low <= levels[0] < levels[-1] <= high
    assert low > 3 * levels[0]


def test_turning_a_spin_takes_its_bonds_and_its_field() -> None:
    terms = problem.build(config(hamiltonian={"name": "tfim", "params": {"J": -2.0, "h": 0.5}})).hamiltonian.terms()
    assert operators.flip_energy(terms, 6) == 2 * (2 * 2.0 + 0.5)


def drive(run: Any) -> tuple[list[Any], health.Health | None]:
    """Every event of a run, and its judgement against the exact energy."""
    built = problem.build(run)
    events: list[Any] = []
    with contextlib.suppress(DivergedError):
        events += (event for event, _ in driver.run(built, driver.init(built, 0)))
    steps = [event for event in events if isinstance(event, MetricsEvent)]
    recent = [event.scalars for event in steps if event.phase == steps[-1].phase][-health.RECENT :]
    record = Record(
        result=getattr(events[-1], "result", None),
        first=steps[0].scalars,
        recent=recent,
        reference=dataclasses.asdict(compute(run)[0]),
        spectrum=built.spectrum,
        diverged="".join(e.message for e in events if isinstance(e, WarningEvent) and e.code == health.DIVERGED),
    )
    return events, judge(record.facts())


CHAINS = {"name": "metropolis", "params": {"n_samples": 256, "n_chains": 32}}
SMALL: dict[str, Any] = {"observables": [], "sampler": CHAINS, "measure": 1024}


@pytest.mark.parametrize("h", [0.8, 0.0])
def test_a_run_that_is_right_is_not_accused(h: float) -> None:
    """Without a field the chains of the classical ground state stand still, and are right."""
    _, found = drive(config(hamiltonian={"name": "tfim", "params": {"h": h}}, n_steps=80, **SMALL))
    assert found is not None
    assert {reason.code for reason in found.reasons} <= {"r_hat", "ess"} if h == 0 else found.level == "good"


def test_a_run_that_blows_up_is_impossible_and_ends_with_advice() -> None:
    wild = {"name": "sgd", "params": {"learning_rate": 10.0, "max_fs_step": 100.0}}
    events, found = drive(config(optimizer=wild, n_steps=12, **SMALL))
    assert found is not None
    assert found.level == "impossible"
    assert found.reasons[0].code == health.DIVERGED
    assert "max_fs_step" in found.reasons[0].text
    assert [event.code for event in events if isinstance(event, WarningEvent)] == ["outside", health.DIVERGED]


def test_a_network_that_cannot_come_down_is_doubtful() -> None:
    frustrated = {"name": "j1j2", "params": {"J2": 0.5, "marshall": False}}
    _, found = drive(config(hamiltonian=frustrated, n_steps=12, **SMALL))
    assert found is not None
    assert found.level == "doubtful"
    assert {"no_descent", "high", "above_reference"} <= {reason.code for reason in found.reasons}


@pytest.mark.parametrize("value", [math.nan, -1e6])
def test_a_run_ends_where_its_energy_cannot_be(value: float) -> None:
    """At once where it is no number, else after several steps in a row; the warning comes before the error."""
    guard, heard = Guard(problem.build(config())), []
    n_steps = 1 if math.isnan(value) else health.OUTSIDE_STEPS
    scalars = {"energy": value, "energy_error": 1.0}
    for step in range(n_steps - 1):
        heard += guard.look(scalars, step)
    assert list(guard.look({"energy": -6.0, "energy_error": 0.1}, 9)) == []  # a good one in between: counted anew
    for step in range(n_steps - 1):
        heard += guard.look(scalars, step)
    looks = guard.look(scalars, 17)
    last = next(looks)
    with pytest.raises(DivergedError, match="at step 17"):
        next(looks)
    assert last.code == health.DIVERGED
    assert [event.code for event in heard] == ([] if n_steps == 1 else ["outside"])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_advice_names_parameters_that_the_optimizer_has(name: str) -> None:
    remedy = OPTIMIZERS[name].remedy
    named = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", remedy))
    assert "learning_rate" in named
    assert named <= OPTIMIZERS.model(name).model_fields.keys()
    built = problem.build(config(optimizer={"name": name}))
    with pytest.raises(DivergedError, match=re.escape(remedy)):
        list(Guard(built).look({"energy": math.nan}, 1))


@pytest.mark.parametrize(
    ("name", "rate", "warned"),
    [("sgd", 0.3, False), ("sgd", 1.0, True), ("minsr", 0.1, False), ("minsr", 3.0, True), ("adam", 0.1, False),
     ("adam", 0.2, True)],
)  # fmt: skip
def test_a_rate_out_of_scale_is_warned_of(name: str, rate: float, warned: bool) -> None:
    """The limits are where runs of the ring of 8 begin to fail: sgd at 1, adam at 0.2."""
    spec = {"name": name, "params": {"learning_rate": rate}}
    said = problem.warnings(problem.build(config(optimizer=spec, hamiltonian={"name": "tfim"})))
    assert [f"learning_rate = {rate:g}" in words for words in said] == [True] * warned


def test_the_scale_of_a_rate_is_that_of_the_couplings() -> None:
    spec = {"name": "minsr", "params": {"learning_rate": 0.02}}
    strong = {"name": "tfim", "params": {"J": 100.0}}
    assert problem.warnings(problem.build(config(optimizer=spec, hamiltonian=strong)))
    assert not problem.warnings(problem.build(config(optimizer=spec)))


def test_many_short_chains_that_mix_are_judged_by_the_nested_r_hat() -> None:
    """256 chains of 16 draws that mix have R-hat above 1.1; chains that are stuck have both above it."""
    mixed = Record(result={"energy": -10.0, "r_hat": 1.2, "r_hat_nested": 1.02})
    stuck = Record(result={"energy": -10.0, "r_hat": "Infinity", "r_hat_nested": 1.4})
    found = [judge(record.facts()) for record in (mixed, stuck)]
    assert [health.level if health else None for health in found] == ["good", "doubtful"]


def test_few_samples_a_step_are_a_choice_and_few_effective_ones_are_not() -> None:
    row = {"energy": -10.0, "energy_error": 0.1, "acceptance": 0.3, "n_samples": 64}
    found = [judge(Record(recent=[row | {"ess": ess}] * 4).facts()) for ess in (1.0, 0.3)]
    assert [health.level if health else None for health in found] == ["good", "doubtful"]
