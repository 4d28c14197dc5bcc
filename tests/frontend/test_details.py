"""A run in words: numbers with errors, the table's cells, the details card, the comparison."""

import math
from typing import Any

import pytest

from frontend.components.data_table import changes
from frontend.figures import charts, rows, text
from frontend.figures.comparison import comparison, differences, flatten
from frontend.figures.details import More, nearest, summary


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (-1.275284, 0.000036, "−1.27528(4)"), (-1.2753, 0.000012, "−1.275300(12)"), (-20.4, 0.5, "−20.4(5)"),
        (-204.0, 12.0, "−204(12)"),
        (-1.5, None, "−1.500000"), (0.0, 0.0, "0"),
        (None, 0.1, "–"), (float("nan"), 0.1, "undefined"), (-1.0, 0.0999, "−1.00(10)"),
    ],
)  # fmt: skip
def test_errors_stand_in_parentheses(value: Any, error: Any, words: str) -> None:
    assert text.with_error(value, error) == words


@pytest.mark.parametrize(
    ("latex", "clean"),
    [
        (r"H = -1 \sum_i a - 1 \sum_i b - 0 \sum_i c", r"H = -\sum_i a - \sum_i b"),
        (r"H = -(-1) \sum_a x - (-2.5) \sum_i y", r"H = \sum_a x + 2.5 \sum_i y"),
        (r"H = -0 \sum_a x - 3 \sum_i y", r"H = -3 \sum_i y"),
        (r"H = 10 \sum_a x + 0.5 \sum_b y", r"H = 10 \sum_a x + 0.5 \sum_b y"),
    ],
)
def test_formulas_are_written_as_one_would(latex: str, clean: str) -> None:
    assert text.tidy(latex) == clean


RUN: Any = {
    "id": "r1", "name": "<b>bold</b>", "state": "done", "step": 5, "n_steps": 5, "n_sites": 2, "energy": -2.0,
    "energy_error": 0.01, "relative_error": 1e-3,
    "config": {"lattice": {"name": "chain", "params": {"length": 2}}, "seed": 0},
    "tags": ["<i>"],
    "reference": {"energy": -2.002, "method": "exact", "bound": "exact", "source": "<script>"}, "created": 1.0,
}  # fmt: skip


def run(**more: Any) -> Any:
    """The run above, changed."""
    return {**RUN, **more}


def test_the_better_measurement_speaks_for_a_run() -> None:
    own = {"energy": -2.0, "energy_error": 0.01, "n_samples_final": 100, "r_hat": 1.0}
    better = {"energy": -2.004, "energy_error": 0.002, "n_samples_final": 2500, "r_hat": 1.0}
    children = [{"id": "m", "state": "done", "result": better}]
    led = run(
        result=own, leading={"run": "m", "result": better}, energy=-2.004, energy_error=0.002, measurements=children
    )
    shown = summary(led)
    assert "−1.0020(10)<span class='unit'>J/site, measured again with 2\u202f500 samples" in shown
    assert "2\u202f500 samples, which leads" in shown
    assert "100 samples in the run" in shown
    assert "<dt>Samples</dt><dd>2\u202f500</dd>" in shown
    assert rows.row(led, 0)["energy"][1] == "−1.0020(10)"
    assert "<td>−1.0020(10)</td>" in comparison([led], {})
    assert "<td>2\u202f500 samples</td>" in comparison([led], {})
    assert "final measurement" in summary(run(result=own))


def test_times_are_told_by_what_they_were_spent_on() -> None:
    shown = summary(run(runtime_seconds=40.0, train_seconds=20.0, compile_seconds=12.0, measure_seconds=3.0))
    for name, words in (("Runtime", "40 s"), ("Training", "20 s"), ("Compiling", "12 s"), ("Measuring", "3.0 s")):
        assert f"<dt>{name}</dt><dd>{words}</dd>" in shown
    assert "Compiling" not in summary(RUN)


def test_a_start_is_told_in_utc_for_the_browser_to_write_in_its_zone() -> None:
    cell = rows.row(run(started=1_700_000_000.0), 0)["started"]
    assert cell == (1_700_000_000.0, "<time datetime='2023-11-14T22:13:20Z'>14 Nov 2023 22:13 UTC</time>")


def test_systems_are_told_apart_in_table_and_comparison() -> None:
    sectors = [{"sz": 0, "momentum": [0]}, {"sz": 0, "momentum": [4]}, {"spin_flip": 1}, {"point_group": "A1"}, None]
    made = [run(config={**RUN["config"], "sector": sector}) for sector in sectors]
    assert len({rows.row(each, 0)["model"][1] for each in made}) == len(made)
    table = comparison(made, {})
    assert all(f"<td>{rows.row(each, 0)['model'][1]}</td>" in table for each in made)
    assert len({text.default_name(each["config"], ()) for each in made}) == len(made)


def test_names_are_never_markup() -> None:
    for words in (
        summary(RUN),
        comparison([RUN, run(id="r2")], {}),
        *(cell for _, cell in rows.row(RUN, 0).values()),
    ):
        assert "<script>" not in words
    row = rows.row(RUN, 0)
    assert "<b>" not in row["name"][1]
    assert "<i>" not in row["tags"][1].replace("<i class", "")


def test_only_changed_cells_are_sent() -> None:
    def line(**more: Any) -> dict[str, Any]:
        return {"id": more.get("id", "r1"), "cells": [html for _, html in rows.row(run(**more), 0).values()]}

    old = [line(), line(id="r2")]
    new = [line(), line(id="r2", energy=-1.9)]
    energy = list(rows.COLUMNS).index("energy")
    assert changes(old, new) == [[1, energy, "−0.950(5)"]]
    assert changes(old, old) == []
    assert changes(old, old[:1]) is changes(old, old[::-1]) is None
    assert changes(old, [{**r, "cells": r["cells"][1:]} for r in old]) is None


def test_runs_are_sorted_by_value_and_what_has_none_comes_last() -> None:
    found = [(e, rows.row(run(energy=x, energy_error=None), 0)) for e, x in (("a", -2.0), ("b", None), ("c", -9.0))]
    for sort, order in (("energy", "cab"), ("-energy", "acb"), ("", "abc"), ("no such column", "abc")):
        assert "".join(ident for ident, _ in rows.ordered(found, sort)) == order


def test_search_and_filters_match() -> None:
    def seen(**more: Any) -> bool:
        return rows.matches(run(name="First try"), **{"search": "", "states": (), "tag": "", "archived": False, **more})

    assert seen(search="try chain")
    assert not seen(search="try square")
    assert seen(states=("done",))
    assert not seen(states=("failed",))
    assert not seen(tag="x")
    assert not rows.matches(run(archived=True), search="", states=(), tag="", archived=False)


def test_comparison_shows_differences_only() -> None:
    other: Any = run(id="r2", config={**RUN["config"], "seed": 1, "name": "other"})
    assert differences([RUN, other]) == [("seed", [0, 1])]
    assert differences([RUN, RUN]) == []
    assert flatten(RUN["config"])["lattice.params.length"] == 2


def test_the_verdict_is_the_servers() -> None:
    flag = {"kind": "flag", "text": "below the exact reference by 0.1, more than 3 standard errors: the chains"}
    flagged = run(energy=-2.1, verdict=flag)
    words = summary(flagged)
    assert "Below the exact reference by 0.1, more than 3 standard errors.</b>" in words
    assert "Chains that have not mixed" in words
    assert "class='flag'" in rows.row(flagged, 0)["relative"][1]
    assert text.verdict(flagged)[1] == "error"
    for kind, said in (("error", "relative error -1.0e-3"), ("above", "above the bound"), ("beaten", "an improvement")):
        fine = run(energy=-2.1, verdict={"kind": kind, "text": said})
        assert "Likely causes" not in summary(fine)
        assert "class='flag'" not in rows.row(fine, 0)["relative"][1]
    assert "−1.0e−3" in summary(run(verdict={"kind": "error", "text": "relative error -1.0e-3"}))
    assert text.verdict(run(verdict=None)) == ("", "info")


def test_an_exact_energy_of_zero_has_an_absolute_error() -> None:
    found = run(relative_error=None, absolute_error=0.0126)
    assert ">1.3e−2 abs.<" in f">{rows.row(found, 0)['relative'][1]}<".replace("</span>", "<")
    assert text.error_against(found) == "1.3e−2 abs."
    assert "abs." not in text.error_against(run(relative_error=1e-3, absolute_error=0.0126))


@pytest.mark.parametrize(
    ("relative", "state", "colour"),
    [(2e-5, "done", "success"), (-5e-3, "done", "info"), (0.1, "done", "warning"), (0.1, "running", "info")],
)
def test_a_relative_error_is_coloured_by_its_size(relative: float, state: str, colour: str) -> None:
    found = run(relative_error=relative, state=state, verdict={"kind": "error", "text": "x"})
    assert text.verdict(found) == ("x", colour)


def test_a_bound_that_is_beaten_is_said_to_be() -> None:
    bound: Any = {**RUN["reference"], "bound": "upper"}
    beaten = run(
        reference=bound, verdict={"kind": "beaten", "text": "below the best known upper bound: an improvement"}
    )
    assert "v-success" in summary(beaten)
    assert "an improvement" in summary(beaten)
    assert "Reference <b>≤ " in summary(beaten)
    assert "class='beaten'" in rows.row(beaten, 0)["relative"][1]


def test_a_reference_says_how_certain_it_is_and_who_found_it() -> None:
    reference = {"energy": -2.0, "method": "DMRG", "bound": "estimate", "sentence": "-2.0 (DMRG)", "source": "Li 2020"}
    assert "−2.0 (DMRG) · Li 2020" in summary(run(reference=reference))
    known: Any = {**RUN["reference"], "sentence": "exact (closed form)", "source": "computed, ed.py"}
    assert "Exact (closed form) · computed here" in summary(run(reference=known))


def test_without_a_reference_the_nearest_are_named_with_bounds() -> None:
    answer = {
        "nearest": [{"coupling": "J2", "value": 0.5, "row": {"energy_per_site": -0.5, "method": "<DMRG>"}}],
        "bracket": {"lower": -4.4, "upper": -4.0, "coupling": "J2"},
    }
    words = nearest(answer, 8, "site")
    assert words == (
        "No reference; nearest: −0.5 J/site at J2 = 0.5 (&lt;DMRG&gt;); E/N between −0.550000 and −0.500000 J/site."
    )
    assert words in summary(run(reference=None), "site", More(nearest=words))
    assert "E ≥ −4.400000 J" in nearest({"bracket": {"lower": -4.4, "upper": None}}, 8, "total")
    assert nearest({}, 8, "site") == "No reference is known for this system."


def test_infinite_undefined_and_missing_are_told_apart() -> None:
    assert [text.plain(x) for x in ("Infinity", "-Infinity", "NaN", None, math.nan, 1)] == [
        "∞", "−∞", "undefined", "–", "undefined", "1",
    ]  # fmt: skip
    assert text.small("NaN") == "undefined"
    assert text.with_error(-4.0, "NaN") == "−4.000000 ± undefined"
    assert text.with_error("NaN", 0.1) == "undefined"
    words = summary(run(r_hat="Infinity", ess="NaN", tau=None))
    assert "<dt>R̂</dt><dd>∞</dd>" in words
    assert "<dt>ESS/samples</dt><dd>undefined</dd>" in words
    assert "τ" not in words
    assert "<td>∞</td>" in comparison([run(r_hat="Infinity")], {}, "site")
    cells = rows.row(run(v_score="Infinity", energy_error="NaN"), 0)
    assert cells["v_score"] == (None, "∞")
    assert "± undefined" in cells["energy"][1]


def test_the_final_measurement_shows_its_own_values() -> None:
    result = {"energy": -2.0, "energy_error": "NaN", "r_hat": "Infinity", "ess": None, "infidelity": 0.5}
    words = summary(run(result=result, r_hat=1.2345, ess=0.9, energy_error=0.1, acceptance=0.7))
    assert "± undefined" in words
    assert "<dt>R̂</dt><dd>∞</dd>" in words
    assert "<dt>Infidelity</dt><dd>5.0e−1</dd>" in words
    for last_step in ("1.234", "0.9<", "0.7<"):
        assert last_step not in words


def test_infidelity_has_its_place() -> None:
    assert "<dt>Infidelity</dt><dd>2.0e−1</dd>" in summary(run(), more=More(infidelity=0.2))
    assert rows.row(run(result={"energy": -1.0, "infidelity": 1e-3}), 0)["infidelity"] == (1e-3, "1.0e−3")
    assert charts.TABS["distribution"][1][0].metric == "infidelity"
    assert "exact" not in charts.TABS["distribution"][1][1].title  # the network's own distribution is no ground state


def test_the_floor_of_the_divergence_stands_beside_it() -> None:
    assert "<dt>JSD floor</dt><dd>5.0e−3</dd>" in summary(run(jsd=0.01), more=More(floor=0.005))
    assert "JSD floor" not in summary(run(jsd=0.01))


@pytest.mark.parametrize(
    ("scale", "shown", "unit"), [("site", "1.7e−4 J²/site", "J/site"), ("total", "3.4e−4 J²", "J")]
)
def test_energy_and_variance_are_of_one_scale_and_have_units(scale: str, shown: str, unit: str) -> None:
    words = summary(run(variance=3.38e-4), scale)
    assert f"<dt>Variance</dt><dd>{shown}</dd>" in words
    assert f"<span class='unit'>{unit}, last step" in words
    side_by_side = comparison([run(variance=3.38e-4)], {}, scale)
    assert f"<td>{shown.split()[0]}</td>" in side_by_side


def test_small_numbers_look_alike_in_sentences() -> None:
    said = "relative error -3.38e-04 ± 9.96e-06 (one-sided, residual 3e-13)"
    assert text.signed(said) == "relative error −3.4e−4 ± 1.0e−5 (one-sided, residual 3e−13)"
    assert text.plain(3.38e-5, 2) == "3.4e−5"


def test_later_measurements_stand_in_the_details() -> None:
    done = {
        "id": "m1", "state": "done", "n_samples": 4096,
        "result": {"energy": -2.0, "energy_error": 0.002, "n_samples_final": 4096,
                   "observables": {"renyi2": {"mean": 0.5, "error": 0.01}}},
    }  # fmt: skip
    going = {"id": "m2", "state": "running", "n_samples": 9000, "result": None, "step": 3, "n_steps": 9}
    failed = {"id": "m3", "state": "failed", "n_samples": 10, "result": None, "error": "<no> checkpoint"}
    words = summary(run(measurements=[done, going, failed]))
    assert "running 3 of 9</span>" in words
    assert "&lt;no&gt; checkpoint" in words
    assert words.index("9\u202f000 samples") < words.index("4\u202f096 samples")
    assert "<b>−1.0000(10)</b> J/site" in words
    assert "Rényi-2 entropy (nat)</dt><dd>0.500(10)" in words
    assert "chip-running" in words
    assert "Measured again" not in summary(RUN)


WRONG = {"level": "impossible", "reasons": [{"code": "outside", "text": "no state has the energy -30: <b>"}]}
ODD = {"level": "doubtful", "reasons": [{"code": "r_hat", "text": "the chains disagree: R-hat is 1.3, above 1.1"}]}


def test_a_judgement_stands_in_the_table_the_details_and_the_comparison() -> None:
    good = run(health={"level": "good", "reasons": []})
    for found, word in ((run(health=WRONG), "impossible"), (run(health=ODD), "doubtful")):
        cell = rows.row(found, 0)["state"][1]
        assert f"chip-{word}" in cell
        assert ("No state has the energy −30: &lt;b&gt;." if word == "impossible" else "The chains disagree") in cell
        assert f"The energy is {word}." in summary(found)
        table = comparison([found, good], {})
        assert f"chip-{word}" in table
        assert "<td>good</td>" in table
        assert table.count("class='why'") == 1
    for quiet in (good, run(health=None), run()):
        assert "class='note" not in summary(quiet)
        assert "impossible" not in summary(quiet) + rows.row(quiet, 0)["state"][1]
        assert "doubtful" not in summary(quiet) + rows.row(quiet, 0)["state"][1]


def test_impossible_runs_come_last_in_every_order() -> None:
    found = [
        (e, rows.row(run(id=e, energy=x, name=e, health=h), 0))
        for e, x, h in (("a", -30.0, WRONG), ("b", -2.0, None), ("c", -2.1, ODD), ("d", None, None))
    ]
    for sort, order in (("energy", "cbda"), ("-energy", "bcda"), ("name", "bcda"), ("-name", "dcba"), ("", "abcd")):
        assert "".join(ident for ident, _ in rows.ordered(found, sort)) == order


def test_what_ended_a_run_is_said_once() -> None:
    words = "the energy became nan at step 3; a smaller learning_rate keeps the steps short"
    health = {"level": "impossible", "reasons": [{"code": "diverged", "text": words}]}
    shown = summary(run(state="failed", error=words, health=health), "site", More(warnings=(words, "something else")))
    assert shown.count("became nan") == 1
    assert "something else" in shown


def test_a_measurement_has_a_judgement_of_its_own() -> None:
    again = {"id": "m", "state": "done", "result": {"energy": -2.0, "energy_error": 0.1}, "health": ODD}
    assert "chip-doubtful" in summary(run(measurements=[again]))
    assert "chip-doubtful" not in summary(run(measurements=[again | {"health": None}]))
