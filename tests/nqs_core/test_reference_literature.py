"""The shipped table: its order, what it says about a run, and what lies between its rows."""

import math

import pytest

from nqs_core.config import parse
from nqs_core.reference import (
    Reference,
    absolute_error,
    compute,
    data_folder,
    literature,
    load_table,
    matching,
    relative_error,
    sentence,
    verdict,
)

ROWS = load_table()
FIELDS = ("hamiltonian", "lattice", "extent", "boundary", "n_sites", "couplings")


def fields(lattice, extent, boundary, hamiltonian, couplings):
    floats = {k: float(v) for k, v in couplings.items()}
    return matching.canonical_fields(lattice, extent, boundary, hamiltonian, floats)[0]


def test_the_table_is_found_and_typed():
    assert (data_folder() / "reference_energies.csv").is_file()
    row = ROWS[0]
    assert isinstance(row["energy"], float)
    assert isinstance(row["extent"], list)
    assert isinstance(row["couplings"], dict)
    assert isinstance(row["level"], int)
    assert row["bond_dimension"] is None or isinstance(row["bond_dimension"], int)
    assert all(r["source"] and r["licence"] for r in ROWS)
    assert all(math.isclose(r["energy"], r["n_sites"] * r["energy_per_site"], rel_tol=1e-14) for r in ROWS)


def test_no_upper_bound_lies_below_an_exact_row_of_its_level():
    exact = {(r["key"], r["sector"], r["level"]): r["energy"] for r in ROWS if r["bound"] == "exact"}
    compared = 0
    for row in ROWS:
        sectors = (row["sector"],)
        if row["level"] == 0:
            sectors = matching.ground_sectors({name: row[name] for name in FIELDS}, row["sector"])
        for sector in sectors:
            truth = exact.get((row["key"], sector, row["level"]))
            if row["bound"] == "upper" and truth is not None:
                slack = 3 * (row["uncertainty"] or 0.0) if row["method"].startswith("variational") else 1e-9
                assert row["energy"] >= truth - slack
                compared += 1
    assert compared > 80


def in_families(row):
    """The couplings of a row in each model it belongs to: the Heisenberg model closes two lines of couplings."""
    yield row["hamiltonian"], row["couplings"]
    if row["hamiltonian"] == "heisenberg":
        yield "j1j2", {"J1": row["couplings"]["J"], "J2": 0.0}
        yield "xxz", {"J": row["couplings"]["J"], "Delta": 1.0}


def test_the_exact_ground_states_are_concave_in_every_coupling_that_enters_linearly():
    lines, compared = {}, dict.fromkeys(("h", "J2", "Delta", "J"), 0)
    for row in ROWS:
        fields = {name: row[name] for name in FIELDS}
        if row["bound"] != "exact" or row["level"] or row["sector"] not in matching.ground_sectors(fields, "full"):
            continue
        for family, couplings in in_families(row):
            for name in set(couplings) & set(compared):
                others = tuple(sorted((k, v) for k, v in couplings.items() if k != name))
                line = (family, row["lattice"], *row["extent"], row["boundary"], others, name)
                lines.setdefault(line, {})[couplings[name]] = row["energy"]
    for line, energies in lines.items():
        for left, x, right in zip(*(sorted(energies)[k:] for k in range(3)), strict=False):
            chord = energies[left] + (energies[right] - energies[left]) * (x - left) / (right - left)
            assert energies[x] >= chord - 1e-8, (line, x)
            compared[line[-1]] += 1
    assert min(compared.values()) >= 25
    assert sum(compared.values()) > 400


def test_the_best_row_comes_first():
    found = literature.best(ROWS, fields("square", [6, 6], "PP", "tfim", {"J": 1, "h": 3}))
    assert [row["bound"] for row in found] == sorted(
        (row["bound"] for row in found), key=["exact", "estimate", "upper"].index
    )
    assert found[0]["energy"] == pytest.approx(-115.232707304, abs=1e-8)
    upper = [row["energy"] for row in found if row["bound"] == "upper"]
    assert upper == sorted(upper)


def test_sectors_with_the_same_ground_state_share_their_rows():
    system = fields("square", [4, 4], "PP", "heisenberg", {"J": 1})
    in_full, in_sz = literature.best(ROWS, system, "full"), literature.best(ROWS, system, "Sz=0")
    assert in_full
    assert {r["energy"] for r in in_full} == {r["energy"] for r in in_sz}
    assert not literature.best(ROWS, system, "Sz=3")
    assert all(r["sector"] == "full" for r in literature.best(ROWS, system, "full", level=1))


def test_rows_come_in_the_units_of_the_run():
    row = literature.best(ROWS, fields("chain", [16], "P", "tfim", {"J": -2, "h": 2}))[0]
    found = literature.as_reference(row, factor=0.5)
    assert found.energy == pytest.approx(-4 / math.sin(math.pi / 32), rel=1e-12)
    assert found.bound == "exact"


def test_a_row_of_20_spins_is_reproduced():
    system = {"lattice": {"name": "chain", "params": {"length": 20}}, "sector": {"sz": 0.0, "spin_flip": 1}}
    found = compute(parse(system | {"hamiltonian": {"name": "j1j2", "params": {"J1": 2.0, "J2": 0.4822}}}))[0]
    row = literature.best(ROWS, fields("chain", [20], "P", "j1j2", {"J1": 1, "J2": 0.2411}), "Sz=0")[0]
    assert found.energy / 2 == pytest.approx(row["energy"], abs=1e-9)
    assert round(found.energy / 40, 9) == -0.403494471


def test_nearest_rows_differ_in_one_coupling_and_say_which():
    found = literature.nearest(ROWS, fields("square", [4, 4], "PP", "j1j2", {"J1": 1, "J2": 0.52}))
    assert [n.coupling for n in found] == ["J2"] * len(found)
    assert found[0].row["couplings"]["J2"] == 0.5
    assert [n.distance for n in found] == sorted(n.distance for n in found)
    assert not literature.nearest(ROWS, fields("square", [4, 5], "PP", "j1j2", {"J1": 2, "J2": 0.52}))


@pytest.mark.parametrize("removed", [0.3, 0.5, 0.6])
def test_the_bracket_holds_a_row_that_was_taken_out(removed):
    system = fields("square", [4, 4], "PP", "j1j2", {"J1": 1, "J2": removed})
    truth = literature.best(ROWS, system)[0]["energy"]
    found = literature.bracket([r for r in ROWS if r["key"] != matching.key(system)], system)
    assert found is not None
    assert found.lower < truth < found.upper
    assert found.upper - found.lower < 0.3


def test_the_bracket_reaches_the_heisenberg_row_and_stops_outside_the_table():
    inside = literature.bracket(ROWS, fields("square", [4, 4], "PP", "j1j2", {"J1": 1, "J2": 0.01}))
    assert inside is not None
    assert inside.lower < 16 * -0.701780201 + 0.1
    assert literature.bracket(ROWS, fields("chain", [16], "P", "tfim", {"J": 1, "h": 50})) is None


def ref(bound, energy=-10.0, uncertainty=0.0, kind="residual"):
    return Reference(energy, "m", bound, uncertainty, kind, "s", "full", 0, "k")


def test_relative_errors_are_signed_and_given_only_where_they_mean_something():
    assert relative_error(-9.9, ref("exact")) == pytest.approx(0.01)
    assert relative_error(-10.1, ref("estimate")) == pytest.approx(-0.01)
    assert relative_error(-9.9, ref("upper")) is None
    assert relative_error(-9.9, None) is None
    assert relative_error(None, ref("exact")) is None
    assert relative_error(math.nan, ref("exact")) is None
    assert relative_error(1.0, ref("exact", energy=0.0)) is None
    assert relative_error(1.0, ref("exact", energy=-2e-16, uncertainty=1e-14)) is None
    assert absolute_error(1.0, ref("exact", energy=0.0)) == 1.0
    assert absolute_error(1.0, ref("upper", energy=0.0)) is None


@pytest.mark.parametrize(
    ("energy", "error", "against", "kind"),
    [
        (-9.99, 0.01, ref("exact"), "error"),
        (-10.02, 0.01, ref("exact"), "error"),
        (-10.04, 0.01, ref("exact"), "flag"),
        (-10.04, 0.01, ref("estimate", uncertainty=0.02), "error"),
        (-10.08, 0.01, ref("estimate", uncertainty=0.02), "flag"),
        (-9.9, 0.01, ref("upper"), "above"),
        (-10.1, 0.01, ref("upper"), "beaten"),
        (-10.02, 0.01, ref("upper"), "above"),
        (-10.1, 0.01, ref("upper", uncertainty=0.1), "above"),  # a Monte Carlo value with its own error bar
        (-10.1, 0.01, ref("upper", uncertainty=0.1, kind="one-sided"), "beaten"),  # how far the truth may lie below
        (-10.000001, 0.0, ref("exact"), "error"),  # rounding in single precision
        (-10.0001, 0.0, ref("exact"), "flag"),
        (-20.0, math.inf, ref("exact"), "error"),  # the error is not known
    ],
)
def test_verdicts(energy, error, against, kind):
    found = verdict(energy, error, against)
    assert found.kind == kind
    assert (found.relative_error is None) == (against.bound == "upper")
    if against.bound == "upper":
        assert "relative" not in found.text
        assert "best known upper bound" in found.text
    if kind == "beaten":
        assert "improvement" in found.text
    if kind == "flag":
        assert "not mixed" in found.text
        assert "sector" in found.text


def test_verdicts_name_distances_and_the_uncertainty_of_an_estimate():
    assert "above the best known upper bound by 0.1" in verdict(-9.9, 0.01, ref("upper")).text
    assert "relative error 1.00e-02 against the exact reference" in verdict(-9.9, 0.01, ref("exact")).text
    estimate = verdict(-9.9, 0.03, ref("estimate", uncertainty=0.04)).text
    assert estimate == "relative error 1.00e-02 ± 5.0e-03 against the estimate (m)"
    assert "± 4.0e-03" in verdict(-9.9, math.inf, ref("estimate", uncertainty=0.04)).text
    zero = verdict(0.1, 0.01, ref("exact", energy=0.0)).text
    assert zero == "absolute error 1.00e-01 against the exact reference, E₀ = 0 (an error relative to it is undefined)"
    assert verdict(0.1, 0.01, ref("exact", energy=-2e-16, uncertainty=1e-14)).text == zero


@pytest.mark.parametrize(
    ("method", "bound", "energy", "uncertainty", "kind", "sector", "words"),
    [
        ("analytic", "exact", -6.0, 1e-12, "rounding", "full", "exact to 1e-12 (closed form)"),
        ("analytic", "exact", -6.0, 0.0, "exact number", "full", "exact (closed form)"),
        ("exact diagonalisation", "exact", -6.0, 2e-13, "residual", "Sz=0", "exact, residual 2e-13 (Lanczos, Sz = 0)"),
        (
            "exact diagonalisation", "exact", -6.0, 5e-9, "rounding (digits printed)", "Sz=0,k=4,P=+1",
            "exact to 5e-09 (Lanczos, Sz = 0, k = 4, P = +1)",
        ),
        (
            "exact diagonalisation", "exact", -6.0, 2e-13, "residual", "full",
            "exact, residual 2e-13 (Lanczos, full space)",
        ),
        ("qmc", "estimate", -24.44008, 0.0026, "standard error", "full", "-24.4401 ± 0.0026 (QMC, one standard error)"),
        ("qmc", "estimate", -24.44, None, "not given", "full", "-24.44 (QMC, no error bar is known)"),
        (
            "dmrg extrapolated", "estimate", -115.232869, 0.00041431, "half width of [...]", "full",
            "-115.23287 ± 0.00041 (DMRG, extrapolated; not a rigorous bound)",
        ),
        (
            "variational extrapolated", "estimate", -49.7715, 0.0009, "extrapolation", "full",
            "-49.77150 ± 0.00090 (variational, extrapolated; not a rigorous bound)",
        ),
        ("dmrg", "upper", -6.0, None, "not given", "full", "upper bound, distance to the truth unknown"),
        ("variational", "upper", -6.0, 1e-3, "rounding", "full", "upper bound, distance to the truth unknown"),
        (
            "variational", "upper", -6.0, 1.23e-3, "standard error", "full",
            "upper bound with a standard error of 0.0012, distance to the truth unknown",
        ),
        (
            "dmrg", "upper", -6.0, 4e-7, "one-sided (distance to the power extrapolation)", "full",
            "upper bound, about 4e-07 above the truth (distance to the power extrapolation; not rigorous)",
        ),
    ],
)  # fmt: skip
def test_how_sharp_a_reference_is_in_one_sentence(method, bound, energy, uncertainty, kind, sector, words):
    assert sentence(Reference(energy, method, bound, uncertainty, kind, "s", sector, 0, "k")) == words


def test_every_row_has_its_sentence_and_comes_back_as_it_was():
    assert sentence(None) == "no reference"
    compared = 0
    for row in ROWS:
        assert sentence(literature.as_reference(row, 1.0))
        if row["sector"] not in ("full", "Sz=0") or row["n_sites"] > 40:
            continue
        sector = {"sz": 0.0} if row["sector"] == "Sz=0" else None
        periodic = [letter == "P" for letter in row["boundary"]]
        shape = {"extent": row["extent"], "periodic": periodic}
        if row["lattice"] == "chain":
            shape = {"length": row["extent"][0], "periodic": periodic[0]}
        couplings, unit = row["couplings"], matching.UNIT[row["hamiltonian"]]
        doubled = {k: v if k in ("Delta", "alpha") else 2 * v for k, v in couplings.items()}
        config = parse(
            {
                "lattice": {"name": row["lattice"], "params": shape},
                "hamiltonian": {"name": row["hamiltonian"], "params": doubled},
                "sector": sector,
            }
        )
        assert matching.canonical(config)[1] == 0.5 / abs(couplings[unit])
        back = literature.as_row(literature.as_reference(row, 0.5), config)
        assert tuple(back) == tuple(row) == literature.COLUMNS
        skipped = {"labels", "url", "licence", "note"}
        for name in set(row) - skipped:
            expected = pytest.approx(row[name], rel=1e-13) if isinstance(row[name], float) else row[name]
            assert back[name] == expected, name
        compared += 1
    assert compared > 1000


def test_a_system_without_a_canonical_form_has_a_row_too():
    config = parse(
        {
            "lattice": {"name": "chain", "params": {"length": 4, "periodic": False}},
            "hamiltonian": {"name": "custom", "params": {"strings": "1 X0 X1\n0.5 Z2 Z3"}},
        }
    )
    found = compute(config)[0]
    row = literature.as_row(found, config)
    assert (row["lattice"], row["extent"], row["boundary"], row["couplings"]) == ("chain", [4], "O", {})
    assert (row["n_sites"], row["key"], row["energy"]) == (4, found.key, pytest.approx(-1.5))
    assert row["detail"]
    assert row["source"]
