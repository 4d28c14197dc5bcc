"""Reference energies in words: every shipped row, and what a visitor may have typed."""

import csv
import re
from typing import Any, cast

import pytest

from frontend.client import ReferenceRow
from frontend.figures import reference_details as details
from frontend.figures import reference_rows as rows
from frontend.figures import reference_text as words
from nqs_core.config import System
from nqs_core.reference import data_folder, load_table
from nqs_core.reference.matching import canonical, key, sector_label

TABLE: list[Any] = [{**row, "id": i, "origin": "shipped"} for i, row in enumerate(load_table())]
SYSTEMS = {(row["key"], row.get("sector")): row for row in TABLE}
NUMBER = re.compile(r"(−?\d+(?:\.(\d+))?)(?:\((\d+)\))?")


def pick(**wanted: Any) -> Any:
    """The first shipped row with these values."""
    return next(row for row in TABLE if all(row.get(name) == value for name, value in wanted.items()))


def parsed(shown: str) -> tuple[float, float, float | None]:
    """Value, unit of the last digit, error."""
    found = NUMBER.fullmatch(shown)
    assert found is not None, shown
    step = 10.0 ** -len(found[2] or "")
    return float(found[1].replace("−", "-")), step, None if found[3] is None else int(found[3]) * step


@pytest.mark.parametrize("units", ["spin", "pauli"])
@pytest.mark.parametrize("scale", ["site", "total"])
def test_every_shipped_number_reads_back(scale: str, units: str) -> None:
    for row in TABLE:
        times = (4 if units == "pauli" and row["hamiltonian"] in ("heisenberg", "xxz", "j1j2") else 1) / (
            row["n_sites"] if scale == "site" else 1
        )
        value, step, error = parsed(words.number(row, scale, units))
        assert value == pytest.approx(row["energy"] * times, abs=0.51 * step, rel=1e-14)
        if error is not None:
            assert error == pytest.approx(row["uncertainty"] * times, abs=0.51 * step)
        elif row["uncertainty"]:
            assert row["uncertainty"] * times < 5e-11


def test_every_shipped_system_becomes_a_configuration_of_the_same_key() -> None:
    for (name, sector), row in SYSTEMS.items():
        config = words.config(row)
        assert config is not None
        system = System.model_validate(config)
        fields, factor = canonical(system)
        assert (key(fields), sector_label(system), factor) == (name, sector, 1.0)


def test_systems_in_words() -> None:
    row = pick(key="j1j2|square|6x6|PP|J1=1,J2=0.5")
    assert words.system(row) == "J₁–J₂, square 6×6 periodic, J₂ = 0.5"
    assert words.system_of(words.config(row) or {}).startswith("J₁–J₂, square 6×6 periodic, J₂ = 0.5")
    assert words.system(pick(boundary="OP", hamiltonian="tfim")).split(", ")[1].endswith("cylinder")
    assert "J = −1" in words.system(pick(key="tfim|triangular|4x4|PP|J=-1,h=1"))
    assert words.sector("Sz=-1,k=4x0,P=+1") == "Sᶻ = −1, k = 4x0, P = +1"
    unknown = cast(ReferenceRow, {"id": 1, "key": "spin_glass|0123456789", "hamiltonian": "spin_glass", "n_sites": 5})
    assert words.system(unknown) == "Spin glass, 5 sites, 01234567"
    assert words.config(unknown) is None


def test_units_say_which_operators_they_mean() -> None:
    heisenberg, ising = pick(hamiltonian="heisenberg"), pick(hamiltonian="tfim")
    assert (words.unit(heisenberg, "spin"), words.unit(heisenberg, "pauli")) == ("J (S)", "J (σ)")
    assert words.unit(ising, "spin") == words.unit(ising, "pauli") == "J (σ)"
    assert words.unit(pick(hamiltonian="j1j2"), "spin") == "J₁ (S)"
    assert words.unit(pick(hamiltonian="long_range_tfim"), "spin") == "h (σ)"
    assert words.unit(pick(key="tfim|triangular|4x4|PP|J=-1,h=1"), "spin") == "|J| (σ)"


SENTENCES = {
    ("tfim", "analytic", "rounding"): r"exact to \de−\d+ \(closed form\)",
    ("heisenberg", "exact diagonalisation", "residual"): r"exact, residual \de−\d+ \(Lanczos, Sᶻ = 0\)",
    ("j1j2", "analytic", "exact number"): r"exact \(closed form\)",
    ("heisenberg", "qmc", "standard error"): r"−24\.4401 ± 0\.0026 \(QMC, one standard error\)",
    ("heisenberg", "qmc", "not given"): r"−62\.86562 \(QMC, no error bar given; .*\)",
    ("tfim", "dmrg", "not given"): r"upper bound, distance to the truth unknown",
    ("tfim", "variational", "standard error"): r"variational energy, ± 3e−4 \(one standard error\); .*",
    ("tfim", "dmrg", "one-sided: bond dimension saturated"): r"upper bound; the truth lies below by up to about \S+ .*",
}


@pytest.mark.parametrize("case", SENTENCES, ids=lambda case: " ".join(case))
def test_certainty_in_one_sentence(case: tuple[str, str, str]) -> None:
    row = pick(hamiltonian=case[0], method=case[1], uncertainty_kind=case[2])
    assert re.fullmatch(SENTENCES[case], words.certainty(row))


def test_a_bound_says_why_it_is_no_more() -> None:
    row = pick(hamiltonian="tfim", method="dmrg", uncertainty_kind="not given")
    apart = cast(ReferenceRow, {**row, "uncertainty_kind": "unknown: 4 starts ended up to 0.3 apart"})
    assert words.certainty(apart) == "upper bound, distance to the truth unknown: 4 starts ended up to 0.3 apart"
    known = {"uncertainty": 0.2, "uncertainty_kind": "above the exact energy, DMRG ended in a local minimum"}
    said = words.certainty(cast(ReferenceRow, {**row, **known}))
    assert said == "upper bound, 2e−1 above the exact energy, DMRG ended in a local minimum"
    minimum = {"bound": "exact", "method": "exact minimum", "uncertainty": 1e-14, "uncertainty_kind": "rounding"}
    said = words.certainty(cast(ReferenceRow, {**row, **minimum}))
    assert said == "exact to 1e−14 (minimum over all configurations)"


def test_an_extrapolation_is_called_no_rigorous_bound() -> None:
    row = pick(key="tfim|square|6x6|PP|J=1,h=3", method="dmrg extrapolated")
    assert words.certainty(row) == "−115.23287 ± 0.00041 (DMRG extrapolated; not a rigorous bound)"


def test_every_row_has_a_sentence_a_source_and_cells() -> None:
    for row in TABLE:
        assert words.certainty(row)
        assert 3 <= len(words.short_source(row.get("source"))) <= 32
        assert len(rows.row(row, "site", "spin")["cells"]) == len(rows.columns("site"))
        assert row["key"] in details.reference(row, "site", "spin").replace("&#x27;", "'")


def test_sources_are_recognisable() -> None:
    assert words.short_source("P. Pfeuty, Ann. Phys. 57, 79 (1970), doi:10.1/x") == "Pfeuty 1970"
    assert words.short_source("computed on this server") == "this server"
    assert words.short_source(None) == "–"
    with open(data_folder() / "dmrg_series.csv", encoding="utf-8", newline="") as file:
        assert all(words.short_source(line["source"]).startswith("this project") for line in csv.DictReader(file))


def test_what_visitors_type_cannot_become_markup_or_a_script() -> None:
    evil = "<img src=x onerror=alert(1)>'\""
    row = cast(ReferenceRow, {**TABLE[0], **dict.fromkeys(("method", "source", "licence", "note", "detail"), evil)})
    row["url"] = "javascript:alert(1)"
    shown = details.reference(row, "site", "spin") + "".join(rows.row(row, "site", "spin")["cells"])
    assert "<img" not in shown
    assert "href='javascript" not in shown
    assert "<a href='https://doi.org/10.1234/a&amp;b'" in details.source(
        cast(ReferenceRow, {**row, "source": "doi:10.1234/a&b, x"})
    )
    assert details.link("https://example.org/a'onclick='x") == "https://example.org/a&#x27;onclick=&#x27;x"


def test_page_words() -> None:
    assert rows.page_words(2, 12, 12, 1892) == "13–24 of 1\u202f892"
    assert rows.page_words(1, 12, 0, 0) == "none"


def test_a_job_shows_its_levels_and_how_certain_they_are() -> None:
    config = {"lattice": {"name": "chain", "params": {"length": 8}}, "hamiltonian": {"name": "tfim", "params": {}}}
    levels = [{"level": 0, "energy": -10.25, "uncertainty": 0.0}, {"level": 1, "energy": -10.0, "uncertainty": 0.0}]
    result = {"energy": -10.25, "sentence": "exact (closed form)", "levels": levels}
    run: Any = {"id": "a", "kind": "exact", "state": "done", "n_sites": 8, "config": config, "result": result}
    shown = details.job(run, "total")
    assert "Exact (closed form)." in shown
    assert "−10.0000000000" in shown
    assert details.job_title(run) == "TFIM, chain 8 periodic"
    assert "".join(rows.job_row(run, "total")["cells"]).count("−10.25") == 1
