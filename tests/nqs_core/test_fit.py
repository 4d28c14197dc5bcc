"""Extrapolation in the bond dimension: known curves come back, and every reason of refusal has its series."""

import ast
import csv
import re
from pathlib import Path

import numpy as np
import pytest

from nqs_core.reference import data_folder, fit
from nqs_core.reference.fit import extrapolate

CHI = [25, 50, 100, 200]
NO_VARIANCE = [None] * 4
FALLING = [1e-4, 3e-5, 1e-5, 3e-6]


def curve(a, b, c, d, chi=CHI):
    return [a + b * (x + c) ** d for x in chi]


@pytest.mark.parametrize(("c", "d"), [(-5.0, -2.0), (10.0, -1.5), (40.0, -3.0)])
def test_power_law_is_recovered(c, d):
    found = fit.power(CHI, curve(-20.0, 300.0, c, d))
    assert found.accepted
    assert found.a == pytest.approx(-20.0, abs=1e-8)
    assert (found.c, found.d) == (pytest.approx(c, abs=1e-3), pytest.approx(d, abs=1e-4))
    assert found.rms is not None
    assert found.rms < 1e-10


def test_interval_spans_the_lowest_accepted_fit_and_the_last_energy():
    energy = curve(-20.0, 300.0, 10.0, -1.5)
    found = extrapolate(CHI, energy, FALLING, NO_VARIANCE, [True, True, False, True])
    lowest = min(f.a for f in found.fits if f.accepted and f.a is not None)
    assert found.uncertainty is not None
    assert found.energy - found.uncertainty == pytest.approx(lowest)
    assert found.energy + found.uncertainty == pytest.approx(energy[-1])
    assert "100" in found.note
    assert not found.reason


@pytest.mark.parametrize("kind", ["variance", "truncation"])
def test_linear_fit_is_recovered(kind):
    found = fit.linear(kind, FALLING, [-20.0 + 700.0 * x for x in FALLING])
    assert found.accepted
    assert (found.a, found.b) == (pytest.approx(-20.0, abs=1e-8), pytest.approx(700.0, rel=1e-8))


@pytest.mark.parametrize(
    ("chi", "energy", "truncation", "why"),
    [
        (CHI[:2], [-1.0, -1.1], FALLING[:2], "too few"),
        (CHI[:3], [-1.0, -1.1, -1.11], [1e-4, 9e-5, 8e-5], "needs 4"),
        (CHI, [-1.0, -1.1, -1.1, -1.2], FALLING, "do not fall"),
        (CHI, [-1.0, -1.1, -1.15, -1.16], [1e-4, 1e-6, 1e-9, 1e-13], "last energy is the answer"),
        (CHI, [-1.0, -1.1, -1.19, -1.27], [1e-4, 9e-5, 8e-5, 7e-5], "twice the last step"),
        (CHI, [-1.0, -1.364, -1.3648, -1.3959], [1e-4, 9e-5, 8e-5, 7e-5], "no fit with b > 0"),
        (CHI, [-1.0 + 1e-3 * 2 ** (-x / 10) for x in CHI], [1e-4, 9e-5, 8e-5, 7e-5], "at its bound"),
    ],
)
def test_refusals_leave_the_last_energy(chi, energy, truncation, why):
    found = extrapolate(chi, energy, truncation, [None] * len(chi))
    assert found.energy == energy[-1]
    assert found.uncertainty is None
    assert why in found.reason


def test_an_abscissa_that_hardly_falls_is_refused():
    assert "fall by 2" in fit.linear("variance", [4.0, 3.0, 1.0], [-1.0, -1.1, -1.2]).reason
    assert "not known" in fit.linear("variance", [4.0, None, 1.0], [-1.0, -1.1, -1.2]).reason


def test_a_line_above_the_last_energy_or_far_below_it_is_refused():
    above = fit.linear("variance", [8.0, 4.0, 2.0, 1.0], [-1.0, -1.01, -1.011, -1.3])
    assert above.reason == "the fit lies above the last energy"
    far = fit.linear("truncation", [1.0, 0.5, 0.25, 0.12], [-1.0, -1.5, -1.75, -1.751])
    assert "twice the last step" in far.reason
    assert not above.accepted
    assert not far.accepted


def test_three_points_are_enough_for_a_line_but_not_for_a_power():
    energy = [-20.0 + 700.0 * x for x in FALLING[:3]]
    found = extrapolate(CHI[:3], energy, [1e-4, 9e-5, 8e-5], FALLING[:3])
    assert [fit.kind for fit in found.fits if fit.accepted] == ["variance"]
    assert "needs 4" in found.fits[0].reason
    assert found.uncertainty is not None
    assert found.energy - found.uncertainty == pytest.approx(-20.0, abs=1e-8)


def test_every_reason_of_refusal_has_a_test():
    """The words that the tests of this file look for cover each sentence of the module."""
    source, here = Path(fit.__file__).read_text("utf-8"), ast.parse(Path(__file__).read_text("utf-8"))
    said = re.findall(r'(?:Fit\(\w+|Fit\("power"|return|reason =),? f?"([^"]{12,})"', source)
    assert len(said) >= 9
    constants = [node.value for node in ast.walk(here) if isinstance(node, ast.Constant)]
    looked_for = [value for value in constants if isinstance(value, str) and len(value) >= 7]
    for sentence in said:
        assert any(words in sentence for words in looked_for), sentence


def test_torus_of_6x6_holds_the_exact_energy():
    with (data_folder() / "dmrg_series.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["key"] == "tfim|square|6x6|PP|J=1,h=3" and int(r["chi"]) <= 200]
    assert [int(r["chi"]) for r in rows] == CHI
    columns = {name: [float(r[name]) for r in rows] for name in ("energy", "truncation_error", "variance")}
    found = extrapolate(CHI, columns["energy"], columns["truncation_error"], columns["variance"])
    assert found.uncertainty is not None
    assert abs(found.energy - -115.232707304) < found.uncertainty < np.diff(columns["energy"])[-1] * -1
