"""The form of a run: the drawing of its lattice, the sector, the choice of observables, a name where none is typed."""

import math
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, Server
from tests.browser.test_runs import cell, choose, field, fill_tiny, newest, type_in, wait_for_size


def select(page: Page, label: str, option: str) -> None:
    """Choose from a list of the form; its label has its help beside it."""
    page.get_by_role("combobox", name=re.compile(f"^{label}")).click()
    choose(page, option)


def test_the_lattice_is_drawn_before_anything_is_launched(open_page: OpenPage) -> None:
    page = open_page("/")
    sites = page.locator(".lattice circle")
    expect(sites).to_have_count(16)
    expect(page.locator(".lattice .o2").first).to_have_attribute("d", re.compile("Q"))  # arcs
    select(page, "Lattice", "square")
    type_in(page, "Extent", "3, 4")
    expect(sites).to_have_count(12)
    page.get_by_text("12 sites · 24 bonds · 24 second neighbours").wait_for()
    stubs = page.locator(".lattice .o1.stub").get_attribute("d") or ""
    assert stubs.count("M") == 2 * (3 + 4)  # bonds around either border, both ends of each
    type_in(page, "Extent", "4, 4")
    expect(sites).to_have_count(16)
    fills = sites.evaluate_all("sites => sites.map(site => site.style.fill)")
    assert len(set(fills)) == 2
    type_in(page, "Extent", "40, 40")
    page.get_by_text("too many to draw").wait_for()
    expect(sites).to_have_count(0)


def test_the_sector_offers_what_the_lattice_holds_and_is_refused_under_its_field(open_page: OpenPage) -> None:
    page = open_page("/")
    select(page, "Lattice", "square")
    select(page, "Hamiltonian", "heisenberg")
    page.get_by_text("16 sites · 32 bonds").wait_for()
    page.get_by_role("button", name="Sector: whole space").click()
    select(page, "Momentum", "M")
    page.get_by_role("button", name="Sector: k = M").wait_for()
    select(page, "Point group", "B1")
    page.get_by_role("button", name="Sector: k = M, B1").wait_for()
    select(page, "Momentum", "any")
    select(page, "Point group", "any")
    launch = page.get_by_role("button", name="Launch")
    expect(launch).to_be_enabled()
    type_in(page, "Total S", "0.5")  # sixteen spins have a whole total spin
    page.get_by_text(re.compile("^0.5 ")).wait_for()
    expect(launch).to_be_disabled()
    type_in(page, "Total S", "0")
    expect(launch).to_be_enabled()


def test_pauli_strings_are_pasted_and_checked_as_they_are_typed(open_page: OpenPage, server: Server) -> None:
    page = open_page("/")
    launch = page.get_by_role("button", name="Launch")
    fill_tiny(page, "strings")
    select(page, "Hamiltonian", "custom")
    strings = field(page, "Pauli strings")
    for words, problem in (
        ("-0.5 Z0 Z1\n-0.5 Z1 Z9", "'Z1 Z9': sites must be 0..5"),
        ("-0.5 Z0 Z1\n-0.5 Q1", "line 2: '-0.5 Q1' is no Pauli string such as"),
        ('{"ZZ": [[0, 1]]', "not valid JSON"),
    ):
        strings.fill(words)
        page.get_by_text(problem).wait_for()
        expect(launch).to_be_disabled()
    pasted = '{"ZZ": {"sites": [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 0]], "coefficient": -1.0}, '
    pasted += '"X": {"sites": [[0], [1], [2], [3], [4], [5]], "coefficient": -1.0}}'
    strings.fill("")
    strings.press_sequentially("-1 X")
    page.get_by_text("is no Pauli string such as").wait_for()
    strings.fill("")
    page.keyboard.insert_text(pasted)  # as a paste: all of it in one event
    expect(launch).to_be_enabled()
    launch.click()
    cell(page, "strings", "state").wait_for()
    run = newest(server)
    assert run["config"]["hamiltonian"] == {"name": "custom", "params": {"strings": pasted, "scale": 1.0}}
    done = server.wait(run["id"], lambda r: r["state"] in ("done", "failed"))
    # The ring of six at h = 1: the same system as the named model, so the same reference.
    assert done["state"] == "done"
    assert done["reference"]["energy"] == pytest.approx(-2 / math.sin(math.pi / 12), rel=1e-9)


def test_a_choice_of_observables_reaches_the_run(open_page: OpenPage, server: Server) -> None:
    page = open_page("/")
    fill_tiny(page, "")
    page.get_by_role("button", name="Observables: all that apply").click()
    page.get_by_role("combobox", name=re.compile("^Observables")).click()
    choose(page, "Structure factor")
    page.mouse.click(700, 25)  # the list stays open for another choice until one clicks elsewhere
    expect(page.locator("li", has_text=re.compile("^Bond energy$"))).to_be_hidden()
    type_in(page, "Observe every", "7")
    page.get_by_role("button", name="Observables: structure factor, every 7 steps").wait_for()
    wait_for_size(page, 6)
    expect(page.get_by_role("button", name="Launch")).to_be_enabled()
    before = newest(server)["id"] if server.call("GET", "/api/runs")["total"] else ""
    page.get_by_role("button", name="Launch").click()
    page.wait_for_function(
        f"/run=[0-9a-f]/.test(location.search) && !location.search.includes('run={before[:8] or 0}')"
    )
    run = newest(server)
    assert run["name"].startswith("tfim chain 6 · rbm")
    assert (run["config"]["observables"], run["config"]["observe_every"]) == (["structure_factor"], 7)
    expect(field(page, "Name")).to_have_value("")
    done = server.wait(run["id"], lambda r: r["state"] in ("done", "failed"))
    assert list(done["result"]["observables"]) == ["structure_factor"]


def test_the_card_says_what_a_network_takes_and_what_fits_it(open_page: OpenPage) -> None:
    page = open_page("/")
    wait_for_size(page, 16)
    line = page.get_by_role("button", name=re.compile(r"16 sites · 560 parameters · ~[\d.]+ MB"))
    details = page.get_by_text("Receptive field")
    expect(details).to_be_hidden()
    line.click()
    expect(details).to_be_visible()
    expect(page.get_by_text("the whole lattice")).to_be_visible()
    foot = page.get_by_role("button", name="Launch").bounding_box()
    type_in(page, "Density", "1")
    page.get_by_role("button", name=re.compile(r"16 sites · 288 parameters")).wait_for()
    expect(page.get_by_text("288: hidden 272, visible 16")).to_be_visible()
    assert page.get_by_role("button", name="Launch").bounding_box() == foot  # nothing has jumped
    line = page.get_by_role("button", name=re.compile(r"16 sites · 288 parameters"))
    line.click()

    launch = page.get_by_role("button", name="Launch")
    page.get_by_role("combobox", name="Sampler").click()
    barred = page.locator("li", has_text="autoregressive: needs an autoregressive ansatz (arnn")
    expect(barred).to_have_attribute("aria-disabled", "true")
    choose(page, "metropolis")
    select(page, "Ansatz", "arnn")
    wait_for_size(page, 16)
    select(page, "Sampler", "autoregressive")
    expect(launch).to_be_enabled()
    select(page, "Ansatz", "rbm")
    page.get_by_text("'rbm' is none").first.wait_for()
    expect(launch).to_be_disabled()
    select(page, "Sampler", "metropolis")
    expect(launch).to_be_enabled()
