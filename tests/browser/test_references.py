"""The page of the references in a real browser: search, look up, add, compute, share."""

import re
import uuid
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from frontend.figures import text
from tests.browser.conftest import OpenPage, Server, wait_until_it_fits

FIGURES = (
    "window.__figures && [...window.__figures].filter(figure => figure.draws > 0 && figure.model.figure.data).length"
)
J1J2 = "j1j2|square|6x6|PP|J1=1,J2=0.5"
CHAIN = {
    "lattice": {"name": "chain", "params": {"length": 10}},
    "hamiltonian": {"name": "tfim", "params": {"h": 0.7}},
}


def table(page: Page, label: str = "Reference energies") -> Any:
    return page.get_by_role("table", name=label)


def lines(page: Page, label: str = "Reference energies") -> Any:
    return table(page, label).locator("tbody tr")


def choose(page: Page, widget: str, option: str) -> None:
    page.get_by_role("combobox", name=widget).click()
    page.locator("li", has_text=re.compile(f"^{re.escape(option)}$")).click()


def test_search_filter_turn_pages_and_sort(open_page: OpenPage, server: Server) -> None:
    page = open_page("/references")
    expect(lines(page)).to_have_count(12)
    total = server.call("GET", "/api/references?limit=1")["total"]
    page.get_by_text(f"1–12 of {text.count(total)}", exact=True).wait_for()
    page.get_by_role("button", name="Next page").click()
    page.get_by_text(re.compile(r"^13–24 of ")).wait_for()
    page.get_by_placeholder("Search").fill("qmc heisenberg")
    expect(lines(page)).to_have_count(4)
    page.wait_for_function("location.search === '?q=qmc+heisenberg'")
    page.get_by_placeholder("Search").fill("no such thing")
    page.get_by_text("No reference energy matches these filters.").wait_for()
    page.get_by_placeholder("Search").fill("")
    expect(lines(page)).to_have_count(12)
    table(page).get_by_role("button", name="Energy per site").click()
    expect(table(page).get_by_role("columnheader", name="Energy per site")).to_have_attribute("aria-sort", "ascending")
    lowest = server.call("GET", "/api/references?sort=energy_per_site&limit=1")["references"][0]
    expect(lines(page).first).to_contain_text(f"{lowest['energy_per_site']:.4f}".replace("-", "−")[:-1])


def test_a_row_shows_its_source_and_pauli_units_are_four_times_as_large(open_page: OpenPage) -> None:
    page = open_page("/references?hamiltonian=j1j2&lattice=square&q=6x6+PP+J2=0.5")
    exact = lines(page).filter(has_text="exact diagonalisation")
    exact.first.click()
    page.get_by_text("Key").wait_for()
    expect(page.get_by_text(J1J2)).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("varbench"))).to_have_attribute("rel", "noopener noreferrer")
    energy = exact.first.locator("td.right")
    spin = float(energy.inner_text().split("J")[0].replace("−", "-"))
    expect(energy).to_contain_text("(S)")
    page.get_by_role("button", name="σ", exact=True).click()
    expect(energy).to_contain_text("(σ)")
    assert float(energy.inner_text().split("J")[0].replace("−", "-")) == pytest.approx(4 * spin, rel=1e-8)
    page.get_by_role("button", name="E", exact=True).click()
    table(page).get_by_role("columnheader", name="Energy, total").wait_for()
    page.wait_for_function("location.search.includes('units=pauli') && location.search.includes('scale=total')")
    other = open_page(page.evaluate("location.pathname + location.search"))
    expect(other.get_by_text(J1J2)).to_be_visible()
    expect(other.get_by_role("button", name="σ", exact=True)).to_have_attribute("aria-pressed", "true")


def test_the_shipped_dmrg_series_is_drawn_with_its_fits(open_page: OpenPage) -> None:
    page = open_page("/references?q=tfim%7Csquare%7C6x6%7CPP%7CJ%3D1%2Ch%3D3&method=dmrg+extrapolated")
    lines(page).filter(has_text="h = 3").first.click()
    page.wait_for_function(f"{FIGURES} === 2")
    page.get_by_text("not a rigorous bound").last.wait_for()
    bands = "figure => figure.plot._fullLayout.shapes.some(shape => shape.type === 'rect')"
    page.wait_for_function(f"[...window.__figures].filter(figure => figure.draws).every({bands})")
    page.get_by_role("button", name="Log", exact=True).click()
    page.wait_for_function("[...window.__figures].some(f => f.plot._fullLayout?.xaxis.type === 'log')")


def test_a_system_without_an_entry_gets_its_neighbours_and_a_bracket(open_page: OpenPage) -> None:
    page = open_page("/references")
    choose(page, "Lattice", "square")
    page.get_by_role("textbox", name=re.compile("^Extent")).fill("6, 6")
    choose(page, "Hamiltonian", "j1j2")
    page.get_by_role("textbox", name=re.compile("^J2")).fill("0.52")
    page.get_by_text("No entry for this very system.").wait_for()
    expect(page.get_by_text(re.compile("J₂ = 0.5, not your 0.52"))).to_be_visible()
    expect(page.get_by_text(re.compile("E₀ is concave in J₂"))).to_be_visible()


def test_only_what_is_in_the_table_can_be_shown_there(open_page: OpenPage) -> None:
    page = open_page("/references")
    choose(page, "Lattice", "square")
    page.get_by_role("textbox", name=re.compile("^Extent")).fill("4, 4")
    choose(page, "Hamiltonian", "j1j2")
    page.get_by_role("textbox", name=re.compile("^J2")).fill("0.5")
    in_table = page.get_by_role("button", name="Show in the table")
    best = page.locator(".found .big")
    expect(best).to_contain_text("−0.5286")
    expect(in_table).to_be_visible()
    page.get_by_role("textbox", name=re.compile("^J2")).fill("0.52")
    expect(best).to_contain_text("−0.5259")
    expect(in_table).to_be_hidden()


def test_own_reference_needs_a_source_and_sense_and_can_be_deleted(open_page: OpenPage, server: Server) -> None:
    source = f"A. Author, J. Phys. 1, 2 (2024), {uuid.uuid4().hex[:8]}"
    page = open_page("/references")
    page.get_by_text("16 sites").wait_for()
    page.get_by_role("button", name="Add my own").click()
    page.get_by_role("textbox", name=re.compile("^Energy")).fill("-1.2")  # the ring has -1.27529
    page.get_by_label("Energy and uncertainty are per site").check()
    page.get_by_role("textbox", name=re.compile("^Method")).fill("by hand")
    page.get_by_role("button", name="Add to the table", exact=True).click()
    page.get_by_text("Source is needed").wait_for()
    assert server.call("GET", "/api/references?method=by%20hand")["total"] == 0
    page.get_by_role("textbox", name=re.compile("^Source")).fill(source)
    page.get_by_role("button", name="Add to the table", exact=True).click()
    page.get_by_text("contradicts what is known").wait_for()
    assert server.call("GET", "/api/references?method=by%20hand")["total"] == 0
    page.get_by_role("textbox", name=re.compile("^Energy")).fill("-1.25")
    page.get_by_role("button", name="Add to the table", exact=True).click()
    lines(page).filter(has_text="by hand").wait_for()
    page.get_by_text(source).first.wait_for()
    row = server.call("GET", "/api/references?method=by%20hand")["references"][0]
    assert row["energy"] == pytest.approx(-1.25 * 16)
    assert row["origin"] == "user"
    page.get_by_role("button", name="Delete this row").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(lines(page).filter(has_text="by hand")).to_have_count(0)
    expect(page.get_by_role("heading", name="Energies of this level")).to_be_hidden()
    assert server.call("GET", "/api/references?method=by%20hand")["total"] == 0


def test_a_run_hands_its_system_over_and_an_exact_computation_arrives(open_page: OpenPage, server: Server) -> None:
    config = {**CHAIN, "ansatz": {"name": "rbm", "params": {}}, "n_steps": 1, "measure": 64,
              "sampler": {"name": "metropolis", "params": {"n_samples": 32, "n_chains": 16}}}  # fmt: skip
    run = server.call("POST", "/api/runs", config)["id"]
    page = open_page(f"/references?compute={run}")
    expect(page.get_by_role("textbox", name=re.compile("^Length"))).to_have_value("10")
    expect(page.get_by_role("textbox", name=re.compile("^h "))).to_have_value("0.7")
    choose(page, "Method", "exact")
    page.get_by_role("textbox", name=re.compile("^Levels")).fill("2")
    page.get_by_text("Closed form: no time at all").wait_for()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(lines(page, "Computations").first).to_contain_text("done")
    page.get_by_text("Level 1", exact=True).wait_for()
    job = server.call("GET", "/api/runs?kind=exact&limit=1")["runs"][0]
    assert len(job["result"]["levels"]) == 2
    page.get_by_role("button", name="Show in the table").last.click()
    system = "TFIM, chain 10 periodic, h = 0.7"
    expect(page.get_by_role("button", name="Show all systems again")).to_contain_text(system)
    expect(lines(page).filter(has_not_text=system)).to_have_count(0)
    expect(lines(page).filter(has_text="analytic").nth(3)).to_be_visible()  # two levels shipped, two computed here


def test_dmrg_shows_its_sweeps_live_and_its_series(open_page: OpenPage, server: Server) -> None:
    pytest.importorskip("tenpy")
    page = open_page("/references")
    choose(page, "Hamiltonian", "heisenberg")
    page.get_by_role("textbox", name=re.compile("^Length")).fill("12")
    choose(page, "Method", "dmrg")
    page.get_by_role("textbox", name=re.compile("^Bond dimensions")).fill("5, 10, 20, 40")
    page.get_by_text(re.compile("of CPU time")).wait_for()
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_function("location.search.includes('job=')")
    job = server.call("GET", "/api/runs?kind=dmrg&limit=1")["runs"][0]["id"]
    page.wait_for_function(f"window.__feed && (window.__feed.runs.get('{job}') || {{}}).n > 0")
    page.wait_for_function("[...window.__charts].some(chart => chart.draws > 0)")
    assert page.evaluate("[...window.__charts].every(c => c.model.x_title === 'Sweeps')")
    done = server.wait(job, lambda r: r["state"] in ("done", "failed"))
    assert done["state"] == "done", done["error"]
    expect(lines(page, "Computations").first).to_contain_text("done")
    page.wait_for_function(f"{FIGURES} >= 1")
    expect(page.get_by_role("cell", name="40", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_function("!location.search.includes('job=')")


@pytest.mark.parametrize("width", [400, 1440])
def test_no_horizontal_overflow(open_page: OpenPage, width: int) -> None:
    page = open_page("/references?q=tfim%7Csquare%7C6x6%7CPP%7CJ%3D1%2Ch%3D3", width=width)
    lines(page).filter(has_text="DMRG extrapolated").first.click()
    page.wait_for_function(f"{FIGURES} === 2")
    wait_until_it_fits(page)
    if width < 900:
        page.get_by_role("button", name="Look up, compute").click()
        expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
