"""The main job in a real browser: launch, watch, compare, change, share."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from frontend.figures.rows import AT_FIRST
from tests.browser.conftest import TINY, OpenPage, Server, wait_until_it_fits

FEED = "(id => { const run = window.__feed && window.__feed.runs.get(id); return run ? run.n : 0 })"


def field(page: Page, label: str) -> Any:
    return page.get_by_role("textbox", name=re.compile(f"^{label}"))


def type_in(page: Page, label: str, words: str) -> None:
    """Type into a field of the form."""
    field(page, label).fill(words)


def choose(page: Page, option: str) -> None:
    """An entry of the open list."""
    page.locator("li", has_text=re.compile(f"^{re.escape(option)}$")).click()


def fill_tiny(page: Page, name: str) -> None:
    """Change the first preset into a run of a few seconds."""
    for label, words in (
        ("Length", "6"),
        ("Samples", "64"),
        ("Chains", "16"),
        ("Steps", "30"),
        ("Final samples", "256"),
    ):
        type_in(page, label, words)
    type_in(page, "Name", name)


def wait_for_size(page: Page, n_sites: int) -> None:
    """Until the server has looked at a system of this size."""
    page.get_by_role("button", name=re.compile(rf"\b{n_sites} sites · [\d\s]+ parameters")).wait_for()


def cell(page: Page, name: str, field: str) -> Any:
    """A cell of the runs table."""
    return listed(page, name).first.locator("td").nth(AT_FIRST.index(field))


def listed(page: Page, name: str) -> Any:
    """Rows of the runs table."""
    return page.get_by_role("table", name="Runs").locator("tbody tr", has_text=name)


def newest(server: Server) -> dict[str, Any]:
    return max(server.call("GET", "/api/runs")["runs"], key=lambda run: run["created"])


def n_points(page: Page, run: str) -> int:
    return page.evaluate(f"{FEED}('{run}')")


def test_launch_draws_a_curve_and_shows_the_number_of_the_database(open_page: OpenPage, server: Server) -> None:
    page = open_page("/")
    fill_tiny(page, "from the form")
    wait_for_size(page, 6)
    page.get_by_role("button", name="Launch").click()
    cell(page, "from the form", "state").wait_for()
    run = newest(server)
    page.wait_for_function(f"{FEED}('{run['id']}') > 0")
    done = server.wait(run["id"], lambda r: r["state"] in ("done", "failed"))
    assert done["state"] == "done", done["error"]
    expect(cell(page, "from the form", "state")).to_have_text("done")
    page.wait_for_function(f"{FEED}('{run['id']}') === 30")
    shown = cell(page, "from the form", "energy").inner_text().replace("−", "-")
    mantissa, digits = re.fullmatch(r"(-[\d.]+)\((\d+)\)", shown).groups()  # type: ignore[union-attr]
    unit = 10.0 ** -len(mantissa.split(".")[1])
    energy, error = done["result"]["energy"] / 6, done["result"]["energy_error"] / 6
    assert abs(float(mantissa) - energy) <= 0.51 * unit
    assert abs(int(digits) * unit - error) <= 0.51 * unit
    page.wait_for_function("[...window.__charts].some(chart => chart.draws > 0)")


def test_fields_are_checked_as_one_types_and_keep_what_was_typed(open_page: OpenPage, server: Server) -> None:
    page = open_page("/")
    before = server.call("GET", "/api/runs")["total"]
    type_in(page, "Length", "-3")
    page.get_by_text(re.compile(r"^Must be")).wait_for()
    expect(page.get_by_role("button", name="Launch")).to_be_disabled()
    type_in(page, "Length", "8")
    wait_for_size(page, 8)
    expect(page.get_by_role("button", name="Launch")).to_be_enabled()
    expect(field(page, "Length")).to_have_value("8")
    assert server.call("GET", "/api/runs")["total"] == before


def test_a_link_restores_the_view_and_the_view_writes_the_link(open_page: OpenPage, tiny: dict[str, Any]) -> None:
    page = open_page(f"/?runs={tiny['id'][:8]}.3&run={tiny['id'][:8]}&x=time&smooth=0.5&tab=sampling&scale=total")
    page.wait_for_function(f"{FEED}('{tiny['id']}') === 30")
    for name in ("Sampling", "Time"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-pressed", "true")
    # Each chart gets its options in a message of its own.
    colours = json.dumps({tiny["id"]: 3})
    page.wait_for_function(
        "window.__charts.size > 0 && [...window.__charts].every(chart => chart.model.x_mode === 'time'"
        f" && chart.model.smoothing === 0.5 && JSON.stringify(chart.model.colours) === JSON.stringify({colours}))"
    )
    page.get_by_role("button", name="Samples", exact=True).click()
    page.wait_for_function("location.search.includes('x=samples')")
    page.get_by_role("button", name="Energy", exact=True).click()
    page.wait_for_function("[...window.__charts].some(chart => chart.model.metric === 'energy')")
    expect(page.get_by_role("button", name="E", exact=True)).to_have_attribute("aria-pressed", "true")
    page.go_back()  # out of the page at once, whatever was chosen in it
    assert page.url == "about:blank"


def test_a_row_that_moves_while_it_is_pressed_is_chosen(open_page: OpenPage, server: Server) -> None:
    def launch(name: str) -> str:
        return server.call("POST", "/api/runs", {**TINY, "name": name, "n_steps": 2})["id"]

    shown, pressed = launch("shown"), launch("pressed")
    for run in (shown, pressed):
        server.wait(run, lambda r: r["state"] == "done")
    page = open_page(f"/?runs={shown[:8]}&run={shown[:8]}")
    page.get_by_role("heading", name="shown").wait_for()
    cell(page, "pressed", "model").hover()
    page.mouse.down()
    third = launch("on top")
    server.call("PATCH", f"/api/runs/{shown}", {"name": "renamed"})
    page.get_by_role("heading", name="renamed").wait_for()  # so the table knows of both
    page.mouse.up()
    page.wait_for_function(f"location.search.includes('run={pressed[:8]}')")
    cell(page, "on top", "name").wait_for()
    server.wait(third, lambda r: r["state"] == "done")
    for run in (shown, pressed, third):
        server.call("DELETE", f"/api/runs/{run}")


@pytest.mark.parametrize("width", [400, 1440])
def test_no_horizontal_overflow(open_page: OpenPage, tiny: dict[str, Any], width: int) -> None:
    page = open_page(f"/?runs={tiny['id'][:8]}", width=width)
    page.wait_for_function("window.__charts && [...window.__charts].some(chart => chart.draws > 0)")
    wait_until_it_fits(page)
    expect(page.get_by_role("button", name="Launch")).to_be_visible(visible=width > 900)
    if width < 900:
        page.get_by_role("button", name="Open drawer").click()
        expect(page.get_by_role("button", name="Launch")).to_be_visible()


def test_dark_theme_colours_page_and_charts(open_page: OpenPage, tiny: dict[str, Any]) -> None:
    page = open_page(f"/?runs={tiny['id'][:8]}")
    page.wait_for_function("[...window.__charts].some(chart => chart.draws > 0)")
    page.get_by_role("button", name="Toggle theme").click()
    dark = "chart => ['#161b22', 'rgb(22, 27, 34)'].includes(chart.plot._fullLayout?.paper_bgcolor)"
    page.wait_for_function(f"[...window.__charts].some({dark})")


@pytest.mark.parametrize("path", ["/", "/references", "/ising"])
def test_the_browsers_preference_holds_until_the_visitor_chooses(open_page: OpenPage, path: str) -> None:
    page = open_page(path, scheme="dark")
    surface = "getComputedStyle(document.documentElement).getPropertyValue('--panel-surface-color').trim()"
    page.wait_for_function(f"{surface} === '#161b22'")
    drawn = "document.querySelector('script[data-drawn]').dataset.drawn"
    assert page.evaluate(drawn) == "dark"  # by the server, before the first paint
    page.get_by_role("button", name="Toggle theme").click()
    page.wait_for_function("localStorage.getItem('spinscope:theme') === 'light'")
    page.wait_for_function("document.documentElement.style.colorScheme === 'light'")
    page.reload()
    assert page.evaluate(drawn) == "light"
    page.wait_for_function(f"{surface} === '#ffffff'")
    page.get_by_role("button", name="Toggle theme").wait_for()
    page.wait_for_timeout(1000)  # a preference would be told by now
    assert page.evaluate(surface) == "#ffffff"


def test_rename_clone_compare_archive_delete(open_page: OpenPage, server: Server) -> None:
    for old in server.call("GET", "/api/runs?search=renamed")["runs"]:  # of an earlier round on the same server
        server.call("DELETE", f"/api/runs/{old['id']}")
    first = server.call("POST", "/api/runs", {**TINY, "name": "a parent", "n_steps": 5})["id"]
    server.wait(first, lambda r: r["state"] == "done")
    page = open_page(f"/?runs={first[:8]}&run={first[:8]}")

    page.get_by_role("button", name="Rename and tag").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name").fill("renamed parent")
    dialog.get_by_role("textbox", name="Tags").fill("alpha, beta")
    dialog.get_by_role("button", name="Save").click()
    cell(page, "renamed parent", "tags").get_by_text("alpha").wait_for()
    assert server.call("GET", f"/api/runs/{first}")["tags"] == ["alpha", "beta"]

    page.get_by_role("button", name="Clone", exact=True).click()
    dialog.get_by_role("combobox", name="Parameter to change").click()
    choose(page, "hamiltonian.h")
    dialog.get_by_role("textbox", name="New value").fill("0.5")
    dialog.get_by_role("button", name="Clone and run").click()
    expect(dialog).to_be_hidden()
    clone = newest(server)
    assert clone["cloned_from"] == first
    assert clone["config"]["hamiltonian"]["params"]["h"] == 0.5
    server.wait(clone["id"], lambda r: r["state"] == "done")

    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("tr", has_text="hamiltonian.h").first).to_contain_text("0.5")
    page.wait_for_function(f"location.search.includes('{clone['id'][:8]}') && location.search.includes('{first[:8]}')")

    server.call("PATCH", f"/api/runs/{clone['id']}", {"name": "the clone"})
    cell(page, "the clone", "name").click()
    page.wait_for_function(f"location.search.includes('run={clone['id'][:8]}')")  # the buttons are its own now
    page.get_by_role("button", name="Archive", exact=True).click()
    expect(listed(page, "the clone")).to_have_count(0)
    page.get_by_label("Archived").check()
    cell(page, "the clone", "name").wait_for()

    page.get_by_role("button", name="Delete", exact=True).click()
    dialog.get_by_role("button", name="Delete").click()
    expect(listed(page, "the clone")).to_have_count(0)
    assert clone["id"] not in {r["id"] for r in server.call("GET", "/api/runs?archived=any")["runs"]}


def test_stop_and_resume(open_page: OpenPage, server: Server) -> None:
    run = server.call("POST", "/api/runs", {**TINY, "name": "long", "n_steps": 1_000_000})["id"]
    page = open_page(f"/?runs={run[:8]}&run={run[:8]}")
    page.wait_for_function(f"{FEED}('{run}') > 3")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(cell(page, "long", "state")).to_have_text("stopped")
    page.get_by_role("button", name="Resume", exact=True).click()
    page.wait_for_function(f"window.__feed.runs.get('{run}').info.state === 'running'")
    server.call("POST", f"/api/runs/{run}/stop")
    server.wait(run, lambda r: r["state"] in ("stopped", "done"))


def test_the_form_outlives_a_reload(open_page: OpenPage) -> None:
    page = open_page("/")
    wait_for_size(page, 16)
    type_in(page, "Length", "10")
    type_in(page, "Tags", "kept")
    wait_for_size(page, 10)
    page.wait_for_function("(sessionStorage.getItem('spinscope:draft') || '').includes('kept')")
    page.reload()
    wait_for_size(page, 10)
    expect(field(page, "Length")).to_have_value("10")
    expect(field(page, "Tags")).to_have_value("kept")


def test_columns_are_remembered(open_page: OpenPage, tiny: dict[str, Any]) -> None:
    page = open_page("/")
    cell(page, "tiny", "model").wait_for()
    page.get_by_role("button", name="Columns", exact=True).click()
    page.get_by_role("checkbox", name="Model").uncheck()
    model = page.get_by_role("columnheader", name="Model")
    expect(model).to_be_hidden()
    page.wait_for_function("(localStorage.getItem('spinscope:columns') || '').length > 0")
    page.reload()
    cell(page, "tiny", "name").wait_for()
    expect(page.get_by_role("columnheader", name="Ansatz")).to_be_visible()
    expect(model).to_be_hidden()


def test_search_and_filters(open_page: OpenPage, tiny: dict[str, Any]) -> None:
    page = open_page("/")
    cell(page, "tiny", "name").wait_for()
    page.get_by_placeholder("Search").fill("no such run")
    page.get_by_text("No run matches these filters.").wait_for()
    page.get_by_placeholder("Search").fill("tiny")
    cell(page, "tiny", "name").wait_for()
