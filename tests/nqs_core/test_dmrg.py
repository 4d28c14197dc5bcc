"""DMRG against exact diagonalisation, its process, and what it refuses before it starts."""

import csv
import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from nqs_core import reference
from nqs_core.errors import ConfigError, NQSError, TooLargeError
from nqs_core.reference import dmrg, dmrg_model, literature
from tests.nqs_core.dmrg_series import alone, config, point, points

# Conserves S^z, with complex hopping.
MORIYA = "\n".join(
    f"0.5 X{i} Y{i + 1}\n-0.5 Y{i} X{i + 1}\n0.2 X{i} X{i + 1}\n0.2 Y{i} Y{i + 1}\n{0.1 * i} Z{i}" for i in range(6)
)
SMALL = [
    ("square", {"extent": [4, 4]}, "tfim", {"h": 3.044}, None, "parity"),
    ("chain", {"length": 8}, "tfim", {"h": -0.7}, {"spin_flip": -1}, "parity"),
    ("chain", {"length": 8}, "tfim", {"h": -0.7, "h_z": 0.3}, None, None),
    ("chain", {"length": 8}, "long_range_tfim", {"J": 2.0, "alpha": 2.0}, None, "parity"),
    ("all_to_all", {"size": 8}, "spin_glass", {"model": "sherrington_kirkpatrick"}, None, "parity"),
    ("kagome", {"extent": [2, 2]}, "tfim", {"J": -1.0, "h_z": 0.2}, None, None),
    ("chain", {"length": 9, "periodic": False}, "heisenberg", {}, None, "Sz"),
    ("square", {"extent": [3, 4], "periodic": [True, False]}, "xxz", {"Delta": 0.5}, {"sz": 1}, "Sz"),
    ("chain", {"length": 6}, "custom", {"strings": "0.7 X0 Y3\n-1 Y4 X1\n0.5 Z2 X5\n1 Y0\n-0.3 X2"}, None, None),
    ("chain", {"length": 8}, "xxz", {"Delta": -2.0}, None, None),
    ("chain", {"length": 7, "periodic": False}, "custom", {"strings": MORIYA}, {"sz": 0.5}, "Sz"),
]


@pytest.mark.parametrize(("on", "shape", "name", "couplings", "sector", "charge"), SMALL)
def test_equals_exact_diagonalisation(on, shape, name, couplings, sector, charge):
    system = config(on, shape, name, couplings, sector)
    plan = reference.plan_dmrg(system)
    assert plan.charge == charge
    exact = reference.compute(system, method="exact")[0].energy
    found = points(plan, exact)[-1]
    assert found.energy == pytest.approx(exact, rel=1e-7)
    assert found.energy > exact - 1e-10 * abs(exact)


def test_majumdar_ghosh_ends_in_one_product_of_dimers():
    [found] = points(alone(reference.plan_dmrg(config("chain", {"length": 16}, "j1j2", {"J1": 1.0, "J2": 0.5}))))
    assert (found.chi, found.chi_used) == (256, 2)
    assert found.energy == pytest.approx(-6.0, abs=1e-7)


def couplings_of(channels):
    """V_ij from the channels, product by product."""
    n = len(channels.last)
    matrix = np.zeros((n, n))
    for i in range(n - 1):
        row = channels.onward[i][-1]
        for j in range(i + 1, n):
            matrix[i, j] = row @ channels.last[j]
            if j < n - 1:
                row = row @ channels.onward[j][:-1]
    return matrix


def power_law(n, alpha):
    distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    return np.triu(np.maximum(1, np.minimum(distance, n - distance)) ** -alpha, 1)


def test_few_channels_carry_all_couplings():
    for matrix, dimension in (
        (np.triu(np.random.default_rng(0).normal(size=(12, 12)), 1), 8),
        (power_law(16, 4.0), 10),
        (power_law(16, 0.0), 3),
        (np.triu(np.ones((9, 9)), 1) - np.triu(np.ones((9, 9)), 2), 3),
    ):
        found = dmrg_model.compress(matrix)
        assert found.dimension == dimension
        np.testing.assert_allclose(couplings_of(found), matrix, atol=1e-12)


@pytest.mark.parametrize(("n", "alpha", "error"), [(150, 4.0, 1e-8), (150, 2.0, 1e-5), (60, 2.0, 1e-4)])
def test_what_the_channels_leave_out_is_known(n, alpha, error):
    matrix = power_law(n, alpha)
    found = dmrg_model.compress(matrix)
    assert found.dimension == 18
    assert np.abs(couplings_of(found) - matrix).max() == pytest.approx(found.error, rel=1e-6, abs=1e-13)
    assert found.error < error


@pytest.mark.parametrize("J", [-2.0, 4.75])
def test_long_range_ring_of_16(J):
    system = config("chain", {"length": 16}, "long_range_tfim", {"J": J, "alpha": 4.0})
    plan = reference.plan_dmrg(system)
    assert plan.mpo_dimension == 10
    [found] = points(alone(plan))
    exact = reference.compute(system, method="exact")[0].energy
    assert exact - 1e-10 < found.energy < exact + 1e-8


def test_approximate_channels_still_give_an_upper_bound_with_the_exact_couplings(monkeypatch):
    monkeypatch.setattr(dmrg_model, "MAX_CHANNELS", 3)
    monkeypatch.setattr(dmrg_model, "_ROUGH", 1e-2)
    system = config("chain", {"length": 12}, "long_range_tfim", {"J": 4.75, "alpha": 2.0})
    plan = reference.plan_dmrg(system)
    assert plan.mpo_dimension == 6
    assert not plan.job["channels"]["exact"]
    events = [event for event in dmrg.Job(alone(plan)).events() if event is not None]
    sweep, found = events[-2:]
    assert isinstance(found, dmrg.Point)
    exact = reference.compute(system, method="exact")[0].energy
    assert exact < found.energy < exact + 1e-3
    assert abs(sweep.energy - exact) > 10 * (found.energy - exact)  # of the approximate couplings
    assert found.variance is None


def test_a_series_falls_and_its_reference_says_what_it_is():
    system = config("chain", {"length": 14}, "heisenberg", {})
    events = list(dmrg.Job(alone(reference.plan_dmrg(system, [4, 8, 12]))).events())
    found = [e for e in events if isinstance(e, dmrg.Point)]
    sweeps = [e for e in events if isinstance(e, dmrg.Sweep)]
    assert [p.chi for p in found] == [4, 8, 12]
    assert all(p.sweeps == sum(s.chi == p.chi for s in sweeps) for p in found)
    exact = reference.compute(system, method="exact")[0].energy
    assert found[0].energy > found[1].energy > found[2].energy > exact
    shown, extrapolation = reference.conclude(system, found)
    assert (shown.bound == "upper") == (extrapolation.uncertainty is None)
    upper, _ = reference.conclude(system, found[:1])
    assert (upper.bound, upper.method, upper.energy) == ("upper", "dmrg", found[0].energy)
    with pytest.raises(ConfigError, match="before the first"):
        reference.conclude(system, [])


def test_a_stored_series_gives_its_reference_without_a_new_computation():
    system = config("square", {"extent": [6, 6]}, "tfim", {"J": 2.0, "h": 6.0})
    with (reference.data_folder() / "dmrg_series.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["key"] == "tfim|square|6x6|PP|J=1,h=3" and int(r["chi"]) <= 200]
    series = [
        point(int(r["chi"]), 2 * float(r["energy"]), float(r["truncation_error"]), variance=4 * float(r["variance"]))
        for r in rows
    ]
    found, extrapolation = reference.conclude(system, series)
    assert (found.method, found.bound, found.bond_dimension) == ("dmrg extrapolated", "estimate", 200)
    assert found.uncertainty is not None
    assert abs(found.energy + 2 * 115.232707304) < found.uncertainty == extrapolation.uncertainty
    assert "chi = 25, 50, 100, 200" in found.detail
    assert reference.sentence(found).endswith("(DMRG, extrapolated; not a rigorous bound)")
    last = reference.upper_bound(system, series)
    assert (last.method, last.bound, last.energy) == ("dmrg", "upper", series[-1].energy)
    assert (last.variance, last.truncation_error) == (series[-1].variance, series[-1].truncation_error)
    row = literature.as_row(last, system)
    assert (row["key"], row["energy"]) == (rows[0]["key"], pytest.approx(float(rows[-1]["energy"]), rel=1e-14))
    assert row["variance"] == pytest.approx(float(rows[-1]["variance"]), rel=1e-13)


def test_a_bond_dimension_that_the_budget_does_not_hold_is_not_begun():
    system = config("chain", {"length": 8}, "tfim", {})
    plan = reference.plan_dmrg(system, [2, 4])
    short = dataclasses.replace(plan, job=plan.job | {"seconds": [0.0, 1e9]})
    assert [p.chi for p in points(alone(short))] == [2]


def test_sigterm_ends_within_a_sweep_and_keeps_finished_points():
    plan = reference.plan_dmrg(config("square", {"extent": [6, 6]}, "heisenberg", {}), [4, 400])
    job, found, asked = dmrg.Job(alone(plan)), [], 0.0
    for event in job.events():
        found.append(event)
        if isinstance(event, dmrg.Point):
            os.kill(job.pid, signal.SIGTERM)
            asked = time.monotonic()
    took = time.monotonic() - asked
    assert [e.chi for e in found if isinstance(e, dmrg.Point)] == [4]
    assert took < 2.0
    with pytest.raises(ProcessLookupError):
        os.kill(job.pid, 0)


def test_the_caller_is_asked_while_a_sweep_runs_and_leaving_ends_the_process():
    job = dmrg.Job(alone(reference.plan_dmrg(config("square", {"extent": [6, 6]}, "heisenberg", {}), [4, 400])))
    events, found, longest = job.events(tick_seconds=0.05), [], 0.0
    while found[-20:] != [None] * 20:  # only the sweeps of chi = 400 take a second
        asked = time.monotonic()
        found.append(next(events))
        longest = max(longest, time.monotonic() - asked)
    assert longest < 1.0
    events.close()
    with pytest.raises(ProcessLookupError):
        os.kill(job.pid, 0)


def test_a_series_may_be_finished_by_another_process():
    system = config("chain", {"length": 14}, "heisenberg", {})
    begun = points(alone(reference.plan_dmrg(system, [4, 8])))
    whole = [*begun, *points(alone(reference.plan_dmrg(system, [12])))]
    assert [p.chi for p in whole] == [4, 8, 12]
    assert whole[0].energy > whole[1].energy > whole[2].energy
    assert reference.conclude(system, whole)[0].energy <= whole[2].energy


class Enough(Exception):
    pass


@pytest.mark.parametrize(
    ("case", "method"),
    [
        (("chain", {"length": 12}, "tfim", {"h_z": 0.1}), "exact"),
        (("chain", {"length": 14}, "heisenberg", {}, {"sz": 1}), "exact"),
        (("square", {"extent": [6, 6]}, "heisenberg", {}), "dmrg"),
    ],
)
def test_a_computation_can_be_stopped_from_outside(case, method):
    calls = 0

    def tick():
        nonlocal calls
        calls += 1
        if calls == 7:
            raise Enough

    with pytest.raises(Enough):
        reference.compute(config(*case), method=method, tick=tick)
    assert calls == 7


@pytest.mark.parametrize(
    ("case", "chi", "error", "why"),
    [
        (("chain", {"length": 6}, "custom", {"strings": "1 Z0 Z1 Z2"}), None, ConfigError, "one or two sites"),
        (("chain", {"length": 8}, "heisenberg", {}, {"momentum": [4]}), None, ConfigError, "momentum"),
        (("chain", {"length": 8}, "heisenberg", {}, {"spin_flip": 1}), None, ConfigError, "spin_flip"),
        (("chain", {"length": 8}, "tfim", {"h_z": 1.0}, {"spin_flip": 1}), None, NQSError, "spin_flip"),
        (("chain", {"length": 8}, "tfim", {}, {"sz": 0}), None, ConfigError, "conserves S"),
        (("chain", {"length": 8}, "tfim", {}), (8, 4), ConfigError, "rise"),
        (("chain", {"length": 3}, "tfim", {}), None, ConfigError, "4 to"),
        (("chain", {"length": 1000}, "tfim", {}), None, TooLargeError, "4 to"),
        (("square", {"extent": [20, 20]}, "heisenberg", {}), (5000,), TooLargeError, "GB"),
    ],
)
def test_refusals_come_before_the_start(case, chi, error, why):
    with pytest.raises(error, match=why):
        reference.plan_dmrg(config(*case), chi)


def test_too_many_couplings_are_refused_before_they_are_compressed(monkeypatch):
    monkeypatch.setattr(dmrg, "MAX_COUPLINGS", 100)
    with pytest.raises(TooLargeError, match="up to 100 couplings; this system has 190"):
        reference.plan_dmrg(config("all_to_all", {"size": 20}, "spin_glass", {}))


def test_levels_and_a_missing_tenpy_are_refused(monkeypatch):
    system = config("chain", {"length": 8}, "tfim", {})
    with pytest.raises(ConfigError, match="levels = 2"):
        reference.compute(system, levels=2, method="dmrg")
    monkeypatch.setattr(dmrg.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="extra `dmrg`"):
        reference.plan_dmrg(system)


@pytest.mark.parametrize("shape", [[4, 4], [6, 6]])
def test_mpo_dimension_is_that_of_the_torus(shape):
    plan = reference.plan_dmrg(config("square", {"extent": shape}, "tfim", {}))
    assert plan.mpo_dimension == {4: 10, 6: 14}[shape[0]]


def test_the_open_axis_runs_along_the_chain():
    for periodic in ([True, False], [False, True]):
        system = config("square", {"extent": [6, 6], "periodic": periodic}, "tfim", {})
        assert reference.plan_dmrg(system).mpo_dimension == 8


def test_importing_the_core_does_not_import_tenpy():
    code = "import sys, nqs_core.driver, nqs_core.reference; sys.exit('tenpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
