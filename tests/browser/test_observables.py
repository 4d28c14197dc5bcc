"""What a run observes, energy against variance, and measuring a run again."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import TINY, OpenPage, Server, wait_until_it_fits
from tests.browser.test_runs import listed

FIGURE = "[...(window.__figures || [])].find(figure => figure.heading.textContent.startsWith('{}'))"


@pytest.fixture(scope="session")
def planar(server: Server) -> dict[str, Any]:
    """A finished run in two dimensions."""
    lattice = {"name": "square", "params": {"extent": [3, 3]}}
    run = server.call("POST", "/api/runs", {**TINY, "name": "planar", "lattice": lattice})["id"]
    return server.wait(run, lambda r: r["state"] in ("done", "failed"))


def figure(page: Page, heading: str) -> str:
    """JavaScript for a figure, once it is drawn."""
    found = FIGURE.format(heading)
    page.wait_for_function(f"({found})?.draws > 0 && ({found}).plot.data.length")
    return f"({found})"


def kinds(page: Page, shown: str) -> list[str]:
    return page.evaluate(f"{shown}.plot.data.map(trace => trace.type)")


@pytest.mark.parametrize("width", [400, 1440])
def test_each_observable_has_its_figure(open_page: OpenPage, planar: dict[str, Any], width: int) -> None:
    page = open_page(f"/?runs={planar['id'][:8]}.2&tab=observables&metric=magnetisation", width=width)
    curve = figure(page, "Correlation C(r)")
    result = planar["result"]["observables"]
    assert page.evaluate(f"{curve}.plot.data[0].y") == pytest.approx(result["correlation"]["mean"], rel=1e-6)
    bars = page.evaluate(f"{curve}.plot.data[0].error_y.array")
    assert bars == pytest.approx(result["correlation"]["error"], rel=1e-6)
    zone = figure(page, "Structure factor")
    assert kinds(page, zone) == ["heatmap", "scatter", "scatter"]
    names = page.evaluate(f"{zone}.plot.layout.annotations.map(note => note.text)")
    assert {"<b>Γ</b>", "<b>M</b>"} <= set(names)
    assert kinds(page, figure(page, "Correlation C(i, j)")) == ["heatmap"]
    assert set(kinds(page, figure(page, "Bond energies"))) == {"scatter"}
    page.get_by_role("button", name="log", exact=True).click()
    page.wait_for_function(f"{curve}.plot.layout.yaxis.type === 'log'")
    page.wait_for_function("location.search.includes('yscale=log')")
    # The live scalar has its error as a band.
    live = "[...__charts].find(chart => chart.model.metric === 'magnetisation')"
    page.wait_for_function(f"{live}?.plot.data?.some(trace => trace.fill === 'toself')")
    wait_until_it_fits(page)


def test_energy_against_variance_ends_in_a_number_or_a_reason(open_page: OpenPage, planar: dict[str, Any]) -> None:
    page = open_page(f"/?runs={planar['id'][:8]}&tab=variance")
    page.get_by_text(re.compile(r"planar: (E/N → −[\d.]+\(\d+\) at zero variance|not extrapolated, )")).wait_for()
    answer = page.request.get(f"{page.url.split('/?')[0]}/api/runs/{planar['id']}/extrapolation").json()
    if answer["points"]:
        shown = figure(page, "Energy against variance")
        y = page.evaluate(f"{shown}.plot.data[0].y")
        assert y == pytest.approx([point[1] / 9 for point in answer["points"]], rel=1e-6)
        page.get_by_role("button", name="E", exact=True).click()
        page.wait_for_function(f"{shown}.plot.layout.yaxis.title.text === 'Energy (J)'")


def test_a_run_is_measured_again(open_page: OpenPage, server: Server, planar: dict[str, Any]) -> None:
    ident = planar["id"]
    page = open_page(f"/?runs={ident[:8]}&run={ident[:8]}&tab=observables")
    figure(page, "Correlation C(r)")
    page.get_by_role("button", name="Measure more").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("textbox", name=re.compile("^Samples"))).to_have_value("1024")
    dialog.get_by_role("textbox", name=re.compile("^Samples")).fill("2048")
    dialog.get_by_role("button", name="Measure", exact=True).click()
    expect(dialog).to_be_hidden()
    page.get_by_text("Measured again").wait_for()
    done = server.wait(ident, lambda r: r["measurements"][-1]["state"] in ("done", "failed"))
    assert done["measurements"][-1]["state"] == "done"
    page.get_by_text(re.compile(r"^2\s048 samples$")).wait_for()
    energy = done["measurements"][-1]["result"]["energy"] / 9
    page.get_by_text(f"{energy:.1f}".replace("-", "−")).first.wait_for()
    # The figures show what has more samples; the table lists runs only.
    page.wait_for_function(f"{FIGURE.format('Correlation C(r)')}.note.textContent.startsWith('measured again')")
    expect(listed(page, "measurement")).to_have_count(0)


def test_a_run_leads_to_its_reference(open_page: OpenPage, planar: dict[str, Any]) -> None:
    page = open_page(f"/?runs={planar['id'][:8]}&run={planar['id'][:8]}")
    link = page.get_by_role("link", name="Compute a reference")
    expect(link).to_have_attribute("href", f"/references?compute={planar['id']}")
