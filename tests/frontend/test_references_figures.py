"""DMRG plots, look-ups and estimates: what is drawn and what is said."""

from typing import Any

import pytest

from frontend.figures import reference_details as details
from frontend.figures import reference_lookup as lookup
from frontend.figures import reference_series as series
from nqs_core.reference.fit import extrapolate

CHI = (25, 50, 100, 200)
LIMIT = -10.0


def power(chi: float) -> float:
    return LIMIT + 3.0 * (chi + 5.0) ** -2.0


def made(**changes: Any) -> dict[str, Any]:
    """A series whose energies follow a power law, as the API returns it."""
    energies = [power(c) for c in CHI]
    truncation, variance = [1e-4, 2e-5, 4e-6, 8e-7], [None] * 4
    found = extrapolate(CHI, energies, truncation, variance)
    points = [
        {"chi": c, "chi_used": c, "energy": e, "truncation_error": t, "variance": None, "max_entropy": 0.5,
         "sweeps": 8, "converged": c != 50, "cpu_seconds": 1.0}
        for c, e, t in zip(CHI, energies, truncation, strict=True)
    ]  # fmt: skip
    names = ("kind", "a", "b", "c", "d", "rms", "accepted", "reason")
    fits = [{name: getattr(fit, name) for name in names} for fit in found.fits]
    return {"points": points, "fits": fits, "energy": found.energy, "uncertainty": found.uncertainty,
            "reason": found.reason, "note": found.note} | changes  # fmt: skip


def refused() -> dict[str, Any]:
    fit = {"kind": "power", "a": -12.0, "b": 3.0, "c": 5.0, "d": -2.0, "rms": 0.1, "accepted": False,
           "reason": "a parameter of the fit is at its bound"}  # fmt: skip
    return made(fits=[fit], uncertainty=None, energy=power(200), reason=fit["reason"])


def test_an_accepted_fit_runs_through_its_points_to_the_limit() -> None:
    drawn = series.figure(made(), "inverse", times=0.5, unit="E")
    line, points = drawn["data"]
    assert line["line"]["dash"] == "solid"
    assert line["x"][0] == 0
    assert line["y"][0] == pytest.approx(0.5 * LIMIT, abs=1e-6)
    assert points["x"] == [1 / c for c in CHI]
    assert points["y"] == pytest.approx([0.5 * power(c) for c in CHI])
    value = series.curve(made()["fits"][0], "inverse")
    assert [value(1 / c) for c in CHI] == pytest.approx([power(c) for c in CHI], abs=1e-7)


def test_the_band_is_the_extrapolated_value_with_its_half_width() -> None:
    found = made()
    shapes = series.figure(found, "inverse", times=2.0, unit="E", exact=LIMIT)["layout"]["shapes"]
    band = next(shape for shape in shapes if shape["type"] == "rect")
    assert band["y0"] == pytest.approx(2 * (found["energy"] - found["uncertainty"]))
    assert band["y1"] == pytest.approx(2 * (found["energy"] + found["uncertainty"]))
    assert band["y0"] <= 2 * LIMIT <= band["y1"]
    assert any(shape["type"] == "line" and shape["y0"] == 2 * LIMIT for shape in shapes)


def test_a_refused_fit_is_grey_and_says_why() -> None:
    drawn = series.figure(refused(), "inverse", times=1.0, unit="E")
    line = drawn["data"][0]
    assert (line["line"]["color"], line["line"]["dash"]) == (series.REFUSED, "dash")
    assert line["name"].endswith("refused")
    assert drawn["layout"]["shapes"] == []
    said = details.fits(refused(), 1.0)
    assert "refused, a parameter of the fit is at its bound" in said
    assert "upper bound" in said
    assert "not extrapolated" in said


def test_what_is_not_converged_is_marked() -> None:
    points = series.figure(made(), "inverse", times=1.0, unit="E")["data"][-1]
    assert points["marker"]["symbol"] == ["circle", "circle-open", "circle", "circle"]
    assert "not converged in sweeps" in points["text"][1]
    assert details.points(made(), 1.0).count("title='not converged in sweeps'") == 1


def test_an_unknown_abscissa_draws_nothing_and_a_log_axis_leaves_out_zero() -> None:
    assert series.figure(made(), "variance", times=1.0, unit="E") == {}
    found = made()
    found["points"][-1]["truncation_error"] = 0.0
    assert len(series.figure(found, "truncation", times=1.0, unit="E", log=True)["data"][-1]["x"]) == 3
    assert len(series.figure(found, "truncation", times=1.0, unit="E")["data"][-1]["x"]) == 4


def test_near_the_limit_the_last_points_fill_the_plot() -> None:
    layout = series.figure(made(), "inverse", times=1.0, unit="E", near=True)["layout"]
    assert layout["xaxis"]["range"][1] == pytest.approx(1.06 / 50)
    low, high = layout["yaxis"]["range"]
    assert low < LIMIT < power(50) < high < power(25)


def test_one_point_is_a_series() -> None:
    found = made()
    one = found | {"points": found["points"][:1], "fits": [{"kind": "power", "accepted": False, "reason": "too few"}]}
    drawn = series.figure(one | {"uncertainty": None}, "inverse", times=1.0, unit="E")
    assert len(drawn["data"]) == 1
    low, high = drawn["layout"]["yaxis"]["autorangeoptions"]["include"]
    assert low < high


ROW = {
    "id": 1, "key": "j1j2|square|4x4|PP|J1=1,J2=0.5", "hamiltonian": "j1j2", "couplings": {"J1": 1.0, "J2": 0.5},
    "n_sites": 16, "energy": -8.0, "uncertainty": 1e-13, "uncertainty_kind": "residual", "bound": "exact",
    "method": "exact diagonalisation", "sector": "full", "level": 0,
}  # fmt: skip
NOTHING = {
    "key": "j1j2|square|4x4|PP|J1=1,J2=0.52", "n_sites": 16, "matches": [],
    "nearest": [{"coupling": "J2", "value": 0.5, "distance": 0.02, "row": ROW}],
    "bracket": {"lower": -8.12345678, "upper": -8.01234567, "coupling": "J2"},
}  # fmt: skip


def test_the_nearest_system_is_never_shown_as_a_match() -> None:
    said = lookup.lookup(NOTHING, "total", "spin")
    assert "No entry for this very system" in said
    assert "J₂ = 0.5, not your 0.52: −8.0000000000" in said
    assert "J₁ (S) total" in said
    assert "in your units, total" in said
    assert "concave in J₂" in said


@pytest.mark.parametrize(
    ("scale", "units", "times"), [("total", "spin", 1), ("site", "spin", 1 / 16), ("total", "pauli", 4)]
)
def test_a_bracket_is_rounded_outwards(scale: str, units: str, times: float) -> None:
    said = lookup.lookup(NOTHING, scale, units).replace("−", "-")
    low, high = said.split("<b>")[-1].split("</b>")[0].split(" ≤ ")[::2]
    assert times * -8.12345678 - 1.1e-6 < float(low) <= times * -8.12345678
    assert times * -8.01234567 <= float(high) < times * -8.01234567 + 1.1e-6


def test_a_bracket_may_be_open_above() -> None:
    between = {"lower": -8.0, "upper": None, "coupling": "J2"}
    assert "E₀ ≥ −8.000000" in lookup.lookup({**NOTHING, "bracket": between}, "total", "spin")


def test_a_match_is_shown_in_the_units_of_the_system_that_was_asked_for() -> None:
    said = lookup.lookup({"key": ROW["key"], "n_sites": 16, "matches": [{**ROW, "energy_run": -16.0}]}, "site", "spin")
    assert "−1.0000000000" in said
    assert "in your units" in said


EXACT = {"dim": 6435, "bytes": 4.1e6, "seconds": 0.3, "feasible": True, "reason": ""}
DMRG = {"chi": [25, 50], "seconds": [10.0, 20.0], "bytes": 1e9, "mpo_dimension": 44, "charge": "Sz", "feasible": True}
TOO_LARGE = {"feasible": False, "reason": "40 sites need 12 GB (limit 8 GB)"}


def test_an_estimate_names_the_method_time_and_memory() -> None:
    said = lookup.estimate({"method": "exact", "closed_form": False, "exact": EXACT, "dmrg": DMRG}, "auto")
    assert "Exact diagonalisation" in said
    assert "0.3 s" in said
    assert "4.1 MB" in said
    for method in ("auto", "exact"):
        assert "Closed form" in lookup.estimate({"method": "exact", "closed_form": True, "exact": EXACT}, method)


def test_an_estimate_says_why_auto_takes_dmrg() -> None:
    answer = {"method": "dmrg", "closed_form": False, "exact": TOO_LARGE, "dmrg": DMRG}
    said = lookup.estimate(answer, "auto")
    assert "40 sites need 12 GB" in said
    assert "30 s" in said
    assert "χ = 50: 20 s" in said
    assert lookup.feasible(answer)


def test_what_cannot_be_done_is_refused_with_the_reason() -> None:
    answer = {"method": "exact", "closed_form": False, "exact": TOO_LARGE, "dmrg": TOO_LARGE}
    assert not lookup.feasible(answer)
    assert "40 sites need 12 GB" in lookup.estimate(answer, "exact")
