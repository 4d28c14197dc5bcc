"""How DMRG guards against local minima, what it says of the truth, and how its process may end."""

import dataclasses
import os
import signal

import numpy as np
import pytest

from nqs_core import reference
from nqs_core.errors import NQSError
from nqs_core.reference import dmrg, dmrg_model
from tests.nqs_core.dmrg_series import config, point


def test_only_what_was_checked_is_called_close_to_the_truth():
    system, saturated = config("chain", {"length": 10}, "heisenberg", {}), point(64, -4.5, 1e-15, chi_used=32)
    found, extrapolation = reference.conclude(system, [saturated])
    assert "the last energy is the answer" in extrapolation.reason
    assert (found.bound, found.bond_dimension, found.uncertainty) == ("upper", 32, None)
    assert reference.sentence(found).startswith("upper bound, distance to the truth unknown: no other start was tried")
    agreed = reference.upper_bound(system, [dataclasses.replace(saturated, starts=4, spread=1e-9, variance=1e-30)])
    assert agreed.uncertainty == pytest.approx(4.5e-8)
    assert "about 4e-08 above the truth" in reference.sentence(agreed)
    apart = reference.upper_bound(system, [dataclasses.replace(saturated, starts=4, spread=0.02, variance=1e-30)])
    assert apart.uncertainty is None
    assert "4 starts ended up to 0.02 apart" in reference.sentence(apart)
    stuck = reference.upper_bound(system, [saturated], known=-4.6)
    assert stuck.uncertainty == pytest.approx(0.1)
    assert "above the exact energy, DMRG ended in a local minimum" in reference.sentence(stuck)
    reached = reference.upper_bound(system, [saturated], known=-4.5 - 3e-9)
    assert reference.sentence(reached) == "upper bound, 3e-09 above the exact energy"
    open_end = reference.upper_bound(system, [point(64, -4.5, 1e-15, converged=False, starts=4)])
    assert open_end.uncertainty is None
    assert "not converged" in open_end.detail


def test_starts_that_disagree_refuse_an_extrapolation():
    system = config("square", {"extent": [6, 6]}, "tfim", {"h": 3.0})
    series = [point(c, -10.0 + 100.0 * c**-2.0, 1e-3 / c) for c in (10, 20, 40, 80)]
    assert reference.conclude(system, series)[0].bound == "estimate"
    series[0] = dataclasses.replace(series[0], starts=4, spread=0.9)  # truncation explains it
    assert reference.conclude(system, series)[0].bound == "estimate"
    series[0] = dataclasses.replace(series[0], spread=1.5)
    found, extrapolation = reference.conclude(system, series)
    assert (found.bound, found.uncertainty) == ("upper", None)
    assert "local minimum" in extrapolation.reason
    assert "local minimum" in reference.sentence(found)


GLASS = {"disorder": "gaussian", "disorder_seed": 4, "h": 0.02}


def free_fermions(couplings, h):
    """Ground state of an open chain -Σ J_i ZZ - h Σ X: minus the sum of the singular values of a bidiagonal matrix."""
    matrix = h * np.eye(len(couplings) + 1) + np.diag(couplings, 1)
    return -np.linalg.svd(matrix, compute_uv=False).sum()


def test_starts_are_compared_where_no_exact_energy_is_known():
    """A nearly classical glass of 24 spins, whose configurations are all but eigenstates."""
    system = config("chain", {"length": 24, "periodic": False}, "spin_glass", GLASS)
    plan = reference.plan_dmrg(system, [8])
    events = [event for event in dmrg.Job(plan).events() if event is not None]
    [found] = [event for event in events if isinstance(event, dmrg.Point)]
    ends = {event.start: event.energy for event in events if isinstance(event, dmrg.Sweep)}
    assert len(ends) == found.starts == 4
    assert found.spread == pytest.approx(max(ends.values()) - min(ends.values()), abs=1e-6)
    assert found.energy == pytest.approx(min(ends.values()), abs=1e-9)
    couplings = np.random.default_rng(4).standard_normal(23)
    assert found.energy == pytest.approx(free_fermions(couplings, 0.02), rel=1e-8)


def test_no_word_of_the_library_reaches_a_user(caplog):
    plan = reference.plan_dmrg(config("chain", {"length": 6}, "tfim", {}))
    broken = dataclasses.replace(plan, job=plan.job | {"charge": "nonsense"})
    with pytest.raises(NQSError) as raised:
        list(dmrg.Job(broken).events())
    assert "nonsense" not in str(raised.value)
    assert "nonsense" in caplog.text


def test_a_killed_process_is_told_from_one_that_failed():
    job = dmrg.Job(reference.plan_dmrg(config("chain", {"length": 6}, "tfim", {})))
    os.kill(job.pid, signal.SIGKILL)
    with pytest.raises(dmrg.Killed, match="possibly out of memory"):
        list(job.events())


@pytest.mark.parametrize("charge", ["Sz", "parity", None])
def test_further_starts_stay_in_the_sector_and_are_low_along_z(charge):
    rng = np.random.default_rng(0)
    strings = {(i, i + 1): {"ZZ": float(rng.normal())} for i in range(9)}
    first = ["up", "down", "down", *["up"] * 7] if charge == "Sz" else ["up"] * 10
    low, *drawn = dmrg_model.further_starts(10, strings, charge, first)
    signs = 1 - 2 * ((np.arange(2**10)[:, None] >> np.arange(10)) & 1)
    energies = sum(row["ZZ"] * signs[:, i] * signs[:, j] for (i, j), row in strings.items())
    inside = signs.sum(axis=1) == 6 if charge == "Sz" else np.ones(2**10, bool)
    found = dmrg_model.low_configuration(10, strings, 8 if charge == "Sz" else None)
    here = sum(row["ZZ"] * found[i] * found[j] for (i, j), row in strings.items())
    assert here == pytest.approx(np.asarray(energies)[inside].min())
    if charge == "Sz":
        assert all(start.count("up") == 8 for start in (low, *drawn))
    elif charge == "parity":
        assert low == {"cat": found, "parity": 1}
        assert all(start.count("down") % 2 == 0 for start in drawn)
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize(
    ("case", "charge", "energy"),
    [
        (("all_to_all", {"size": 6}, "tfim", {"h": 0.0}), "parity", -15.0),
        (("chain", {"length": 6}, "tfim", {"J": 0.0, "h": 1.0}, {"spin_flip": -1}), "parity", -4.0),
        (("chain", {"length": 6}, "tfim", {"h": 0.0}, {"sz": 1}), "Sz", -2.0),
    ],
)
def test_operators_without_a_path_to_their_end_are_no_fault(case, charge, energy):
    """What the exact minimum spares DMRG where it is small enough."""
    plan = reference.plan_dmrg(config(*case))
    assert plan.charge == charge
    [found] = [event for event in dmrg.Job(plan, energy).events() if isinstance(event, dmrg.Point)]
    assert found.energy == pytest.approx(energy, abs=1e-9)
