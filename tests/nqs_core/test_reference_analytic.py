"""Closed forms against known sums and dense spectra."""

import math

import numpy as np
import pytest

from nqs_core import reference
from nqs_core.config import parse
from nqs_core.errors import ConfigError
from nqs_core.reference import analytic, load_table
from nqs_core.sector import Sector
from tests.nqs_core import kron


def config(length, periodic, name, sector=None, **couplings):
    return parse(
        {
            "lattice": {"name": "chain", "params": {"length": length, "periodic": periodic}},
            "hamiltonian": {"name": name, "params": couplings},
            "sector": sector,
        }
    )


@pytest.mark.parametrize("n", [3, 4, 10, 17, 64, 1000])
def test_critical_ising_ring(n):
    found = reference.compute(config(n, True, "tfim"), levels=2, method="analytic")
    assert found[0].energy == pytest.approx(-2 / math.sin(math.pi / (2 * n)), rel=1e-13)
    assert found[1].energy == pytest.approx(-2 / math.tan(math.pi / (2 * n)), rel=1e-13)
    assert all(r.bound == "exact" and r.method == "analytic" and (r.uncertainty or 0.0) < 1e-6 for r in found)


def test_printed_values_of_the_ising_ring():
    for n, energy in ((10, -12.784906443), (64, -81.495512669)):
        assert round(reference.compute(config(n, True, "tfim"))[0].energy, 9) == energy


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize(
    ("J", "h"), [(1.0, 0.3), (1.0, 1.0), (1.0, 1.7), (-1.0, 0.3), (-0.8, -1.7), (0.0, 1.0), (1.0, 0.0)]
)
def test_ising_levels_with_multiplicity(n, periodic, J, h):
    dense = np.linalg.eigvalsh(kron.hamiltonian("tfim", "chain", (n,), (periodic,), {"J": J, "h": h}))
    found = reference.compute(config(n, periodic, "tfim", J=J, h=h), levels=12, method="analytic")
    np.testing.assert_allclose([r.energy for r in found], dense[:12], atol=1e-10)
    assert [r.level for r in found] == list(range(min(12, 2**n)))


def test_the_wrong_vacuum_of_the_odd_sector_would_be_noticed():
    """Without the sign of the mode at q = 0 the gap 2 (h - J) closes: that error must be visible to the test above."""
    n, J, h = 8, 1.0, 1.7
    q = 2 * np.pi * np.arange(n) / n
    wrong = -np.sqrt(J * J + h * h - 2 * J * h * np.cos(q)).sum()
    right = reference.compute(config(n, True, "tfim", J=J, h=h), levels=2)
    assert abs(wrong - right[1].energy) > 1.0


@pytest.mark.parametrize("n", [4, 6, 8])
def test_bethe_equations_against_dense(n):
    dense = np.linalg.eigvalsh(kron.hamiltonian("heisenberg", "chain", (n,), (True,), {"J": 1.5}))
    for sector in (None, {"sz": 0.0}):
        found = reference.compute(config(n, True, "heisenberg", sector, J=1.5, marshall=True), method="analytic")
        assert found[0].energy == pytest.approx(dense[0], abs=1e-10)


def test_bethe_equations_at_known_sizes():
    assert round(analytic.heisenberg_ring(16) / 16, 9) == -0.446393523
    # 1/4 - ln 2 per site, approached as -π²/12 N⁻² and faster than the correction beyond it.
    for n in (256, 1024):
        assert analytic.heisenberg_ring(n) / n == pytest.approx(0.25 - math.log(2) - math.pi**2 / 12 / n**2, abs=2e-7)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 8, 9, 10])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("J", [1.0, -0.7])
def test_xx_levels_with_multiplicity_in_the_whole_space_and_in_every_sector(n, periodic, J):
    dense = kron.hamiltonian("xxz", "chain", (n,), (periodic,), {"J": J, "Delta": 0.0})
    sectors = [(None, np.arange(2**n)), *((m - n / 2, Sector(n, m - n / 2).indices()) for m in range(n + 1))]
    for sz, states in sectors:
        expected = np.linalg.eigvalsh(dense[np.ix_(states, states)])[:12]
        system = config(n, periodic, "xxz", None if sz is None else {"sz": sz}, J=J, Delta=0.0)
        found = reference.compute(system, levels=12, method="analytic")
        np.testing.assert_allclose([r.energy for r in found], expected, atol=1e-10)


def test_xx_ring_is_the_sum_of_the_lowest_cosines():
    for n in (10, 64, 4096):  # half of them odd and half even: n / 2 = 5, 32, 2048
        shift = 0.0 if n // 2 % 2 else 0.5
        cosines = np.sort(np.cos(2 * np.pi * (np.arange(n) + shift) / n))
        found = reference.compute(config(n, True, "xxz", Delta=0.0), method="analytic")[0]
        assert found.energy == pytest.approx(cosines[: n // 2].sum(), rel=1e-12)
        assert found.energy == pytest.approx(-1 / math.sin(math.pi / n), rel=1e-12)
    with pytest.raises(ConfigError, match="no closed form"):
        reference.compute(config(64, True, "xxz", Delta=0.0), levels=65, method="analytic")
    assert len(reference.compute(config(64, True, "xxz", Delta=0.0), levels=64)) == 64


def test_the_wrong_boundary_condition_of_the_fermions_would_be_noticed():
    right, wrong = (analytic.xx_chain(8, 1.0, True, [4], 1)[0], np.sort(np.cos(np.pi * np.arange(8) / 4))[:4].sum())
    assert abs(right - wrong) > 0.1


@pytest.mark.parametrize(
    ("n", "periodic"), [(2, True), (4, False), (6, True), (8, True), (8, False), (5, True), (4, True)]
)
def test_majumdar_ghosh_point(n, periodic):
    dense = np.linalg.eigvalsh(kron.hamiltonian("j1j2", "chain", (n,), (periodic,), {"J1": 1.2, "J2": 0.6}))
    for method in ("auto", "exact"):
        found = reference.compute(config(n, periodic, "j1j2", J1=1.2, J2=0.6), method=method)[0]
        assert found.energy == pytest.approx(dense[0], abs=1e-10)
    assert (found.energy == pytest.approx(-3 / 8 * 1.2 * n)) == (n % 2 == 0 and not (periodic and n == 4))


@pytest.mark.parametrize(
    ("config_", "levels"),
    [
        (config(6, True, "tfim", h_z=0.2), 1),
        (config(6, False, "heisenberg"), 1),
        (config(7, True, "heisenberg"), 1),
        (config(2, True, "heisenberg"), 1),
        (config(6, True, "heisenberg", J=-1.0), 1),
        (config(6, True, "heisenberg"), 2),
        (config(6, True, "heisenberg", {"sz": 1.0}), 1),
        (config(6, True, "xxz", Delta=0.1), 1),
        (config(6, True, "xxz", {"sz": 0.0, "momentum": [0]}, Delta=0.0), 1),
    ],
)
def test_where_no_closed_form_is_known_it_says_so_and_the_matrix_is_used(config_, levels):
    with pytest.raises(ConfigError, match="no closed form"):
        reference.compute(config_, levels, method="analytic")
    assert reference.compute(config_, levels)[0].method == "exact diagonalisation"


def test_the_analytic_rows_of_the_table_are_reproduced():
    compared = 0
    for row in load_table():
        if row["method"] != "analytic" or row["level"] > 1:
            continue
        periodic = row["boundary"] == "P"
        if row["hamiltonian"] != "tfim" and (row["level"] > 0 or row["sector"] not in ("full", "Sz=0")):
            continue
        found = reference.compute(
            config(row["n_sites"], periodic, row["hamiltonian"], **row["couplings"]), row["level"] + 1, "analytic"
        )
        assert found[row["level"]].energy == pytest.approx(row["energy"], rel=1e-12, abs=1e-11)
        compared += 1
    assert compared > 700


def test_a_form_that_is_asked_for_with_every_key_press_is_evaluated_once():
    for found in (analytic.tfim_open(6, 1.0, 0.7, 2), analytic.tfim_ring(6, 1.0, 0.7, 2)):
        with pytest.raises(ValueError, match="read-only"):
            found[0] = 0.0
    assert analytic.tfim_open(6, 1.0, 0.7, 2) is analytic.tfim_open(6, 1.0, 0.7, 2)
    before = analytic.heisenberg_ring.cache_info().misses
    assert analytic.heisenberg_ring(12) == analytic.heisenberg_ring(12)
    assert analytic.heisenberg_ring.cache_info().misses <= before + 1
