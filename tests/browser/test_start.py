"""From a run to the next one that starts with its parameters, through the form."""

import re
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import OpenPage, Server
from tests.browser.test_runs import cell, choose, newest, type_in, wait_for_size


def test_a_run_starts_from_another_and_says_so(open_page: OpenPage, server: Server, tiny: dict[str, Any]) -> None:
    page = open_page(f"/?runs={tiny['id'][:8]}&run={tiny['id'][:8]}")
    page.get_by_role("button", name="Start from here").click()
    page.get_by_role("button", name="Start: tiny, latest step").wait_for()
    page.get_by_text("Its parameters fit; step 30").wait_for()
    # Another size does not fit a dense network: it is said before the launch, under the field.
    type_in(page, "Length", "8")
    page.get_by_text(re.compile(r"the parameter hidden/bias has shape 6 in the run and 8 here")).wait_for()
    expect(page.get_by_role("button", name="Launch")).to_be_disabled()
    type_in(page, "Length", "6")
    page.get_by_text("Its parameters fit; step 30").wait_for()
    type_in(page, "Name", "goes on")
    page.wait_for_function("(sessionStorage.getItem('spinscope:draft') || '').includes('goes on')")
    page.reload()
    page.get_by_role("button", name="Start: tiny, latest step").wait_for()
    wait_for_size(page, 6)
    expect(page.get_by_role("button", name="Launch")).to_be_enabled()
    page.get_by_role("button", name="Launch").click()
    cell(page, "goes on", "state").wait_for()
    run = newest(server)
    assert run["config"]["init_from"] == {"run": tiny["id"], "step": 30}
    link = page.get_by_role("link", name="tiny", exact=True)
    expect(link).to_have_attribute("href", re.compile(tiny["id"]))
    server.wait(run["id"], lambda r: r["state"] in ("done", "failed"))
    page.get_by_role("button", name="Start at random").click()
    page.get_by_role("button", name="Start: random parameters").wait_for()
    page.get_by_role("combobox", name=re.compile("^Parameters from")).click()
    choose(page, "goes on")
    page.get_by_role("button", name="Start: goes on, latest step").wait_for()
    link.click()
    page.wait_for_function(f"location.search.includes('run={tiny['id'][:8]}')")
    server.call("DELETE", f"/api/runs/{run['id']}")
