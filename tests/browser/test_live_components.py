"""The live components in a page of their own, against a scripted feed that speaks the product's protocol."""

import pathlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import PATIENCE_MS, OpenPage, wait_until_it_fits


class FeedPage:
    """The process of `tests.frontend.feed_page`."""

    def __init__(self, log: pathlib.Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.log = log
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as out:
            command = [sys.executable, "-m", "tests.frontend.feed_page", str(self.port)]
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        deadline = time.monotonic() + 120
        while True:
            try:
                self.do("reset")
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError(self.log.read_text()[-2000:]) from None
                time.sleep(0.3)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def do(self, action: str, **values: int | str) -> None:
        query = "&".join([f"do={action}", *(f"{k}={v}" for k, v in values.items())])
        urllib.request.urlopen(f"{self.url}/script?{query}", timeout=30).read()


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeedPage]:
    made = FeedPage(tmp_path_factory.mktemp("feed") / "log")
    yield made
    made.stop()


@pytest.fixture
def server(feed: FeedPage) -> FeedPage:
    """Instead of the whole product: `open_page` opens the page of the scripted feed."""
    feed.do("reset")
    return feed


def wait(page: Page, condition: str) -> None:
    page.wait_for_function(condition, timeout=PATIENCE_MS)


STEPS_A = "__feed.runs.get('a')?.n"
CHART = "[...__charts].find(chart => chart.model.metric === '{}')"


def test_charts_draw_history_and_follow(open_page: OpenPage, server: FeedPage) -> None:
    page = open_page("/?runs=a,b")
    wait(page, f"{STEPS_A} === 300 && [...__charts].every(chart => chart.draws > 0 || !chart.visible)")
    server.do("grow", n=50)
    energy = CHART.format("energy")
    wait(page, f"{STEPS_A} === 350 && {energy}.plot.data?.some(trace => trace.meta === 'a' && trace.x.at(-1) === 350)")
    assert page.evaluate(f"{energy}.plot.data.filter(trace => trace.meta).map(trace => trace.name)") == [
        "RBM a",
        "RBM b",
    ]
    assert page.evaluate(f"{energy}.plot.layout.annotations.map(note => note.text)") == ["exact −1.27529"]
    assert "RBM a:" in (page.locator(".plot").first.get_attribute("aria-label") or "")


def test_one_socket_serves_all_components(open_page: OpenPage) -> None:
    page = open_page("/?runs=a,b")
    wait(page, f"{STEPS_A} === 300")
    assert page.evaluate("__feed.stats.connections") == 1
    assert page.evaluate("[...__charts].length") == 4


def test_rewind_drops_what_was_superseded(open_page: OpenPage, server: FeedPage) -> None:
    page = open_page("/?runs=a")
    wait(page, f"{STEPS_A} === 300")
    server.do("rewind", step=120, n=10)
    wait(page, f"{STEPS_A} === 130")
    steps = page.evaluate("[...__feed.runs.get('a').column('step')]")
    assert steps == list(range(1, 131))


def test_the_api_may_restart_while_the_page_lives(open_page: OpenPage, server: FeedPage) -> None:
    page = open_page("/?runs=a")
    wait(page, f"{STEPS_A} === 300")
    page.evaluate("window.__same = true")
    server.do("restart")
    wait(page, "__feed.stats.boots === 2 && __feed.state === 'live'")
    server.do("grow", n=7)
    wait(page, f"{STEPS_A} === 307")
    assert page.evaluate("[...__feed.runs.get('a').column('step')]") == list(range(1, 308))
    assert page.evaluate("window.__same") is True, "the page was reloaded although its session lives"


def test_a_page_whose_session_is_gone_reloads_itself(
    open_page: OpenPage, server: FeedPage, faults: list[tuple[str, str]]
) -> None:
    page = open_page("/?runs=a,b")
    wait(page, f"{STEPS_A} === 300")
    page.evaluate("window.__same = true")
    server.stop()
    wait(page, "__feed.state === 'reconnecting'")
    assert page.locator(".state").first.inner_text() == "reconnecting…"
    server.start()
    wait(page, f"window.__same === undefined && window.__feed && {STEPS_A} === 300")
    page.get_by_role("button", name="only b").click()
    wait(page, "__feed.runs.size === 1")
    faults.clear()  # refused connections while nobody was there


def test_selection_changes_leave_no_gap(open_page: OpenPage) -> None:
    page = open_page("/?runs=a,b")
    wait(page, f"{STEPS_A} === 300")
    page.get_by_role("button", name="only b").click()
    wait(page, "__feed.runs.size === 1 && __feed.runs.get('b')?.n === 200")
    wait(page, f"{CHART.format('energy')}.plot.data?.filter(trace => trace.meta).length === 1")
    # The colour is the run's own, not the first free one.
    assert page.evaluate(f"{CHART.format('energy')}.plot.data.find(trace => trace.meta).line.color") == "#D55E00"


def test_smoothing_units_and_axis(open_page: OpenPage) -> None:
    page = open_page("/?runs=a")
    wait(page, f"{STEPS_A} === 300")
    energy = CHART.format("energy")
    page.get_by_role("button", name="smooth").click()
    wait(page, f"{energy}.plot.data?.filter(trace => !trace.fill).length === 2")
    page.get_by_role("button", name="total").click()
    wait(page, f"{energy}.plot.layout?.xaxis.title.text === 'Samples'")
    assert page.evaluate(f"{energy}.plot.layout.annotations[0].text") == "exact −20.40460"
    assert page.evaluate(f"{energy}.plot.data.find(trace => trace.meta).x.at(-1)") == 300 * 1024


def test_long_runs_are_decimated_and_it_is_said(open_page: OpenPage) -> None:
    page = open_page("/?runs=long")
    wait(page, "__feed.runs.get('long')?.n === 5000")
    energy = CHART.format("energy")
    wait(page, f"{energy}.plot.data?.length")
    assert page.evaluate(f"Math.max(...{energy}.plot.data.map(trace => trace.x.length))") <= 800
    assert "of 5,000 points" in page.locator(".note").first.inner_text()
    # Zoomed in, every point is there.
    page.evaluate(f"Plotly.relayout({energy}.plot, {{'xaxis.range': [100, 300]}})")
    wait(page, f"{energy}.plot.data?.find(trace => trace.meta).x.length <= 203 && {energy}.note.hidden")


def test_export_downloads_what_is_shown(open_page: OpenPage) -> None:
    page = open_page("/?runs=a,b")
    wait(page, f"{CHART.format('energy')}.draws > 0 && {STEPS_A} === 300")
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_role("button", name="export").click()
    assert download.value.suggested_filename == "energy_RBM-a+RBM-b.svg"
    text = pathlib.Path(download.value.path()).read_text()
    assert text.startswith("<svg")
    assert "exact −1.27529" in text


def test_spins_are_drawn_with_a_caption(open_page: OpenPage) -> None:
    page = open_page("/?runs=a,b")
    caption = page.locator(".caption").first
    caption.get_by_text("square 4 × 4 · step 300").wait_for()
    assert "16 of 24 chains" in caption.inner_text()
    page.get_by_role("button", name="only b").click()
    caption.get_by_text("chain 16 · step 200").wait_for()
    assert "one per row" in caption.inner_text()
    colours = page.evaluate(
        """() => { const canvas = [...__spins][0].canvas;
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const found = new Set(); for (let i = 0; i < data.length; i += 4) found.add(data.slice(i, i + 3).join());
        return [...found].sort(); }"""
    )
    assert colours == ["0,114,178", "242,176,76"]


def test_an_empty_chart_says_so(open_page: OpenPage) -> None:
    page = open_page("/?runs=")
    page.get_by_text("Select a run to see its curve.").first.wait_for()
    page.get_by_text("Select a run to see its spins.").first.wait_for()
    assert page.evaluate("typeof Plotly") == "undefined", "4.8 MB come with the first chart of a run"


def test_a_run_without_points_yet_gets_its_plotly_before_they_come(open_page: OpenPage, server: FeedPage) -> None:
    page = open_page("/?runs=new")
    wait(page, "typeof Plotly !== 'undefined'")
    server.do("grow", run="new", n=5)
    wait(page, f"{CHART.format('energy')}.plot.data?.some(trace => trace.meta === 'new' && trace.x.length === 5)")


def test_a_window_that_changes_while_the_chart_is_loading(open_page: OpenPage, chromium: BrowserContext) -> None:
    script, held = "**/plotly-*.min.js", []
    chromium.route(script, lambda route: held.append(route))  # a function: playwright marks it
    try:
        page = open_page("/?runs=a", width=1300)
        page.get_by_text("Loading the chart").first.wait_for()
        page.set_viewport_size({"width": 700, "height": 900})
        energy = CHART.format("energy")
        wait(page, f"{energy}.plot.clientWidth < 700")
        for route in held:
            route.continue_()
        wait(page, f"{energy}.draws > 0")
        wait(page, f"{energy}.plot._fullLayout.width === {energy}.plot.clientWidth")
    finally:
        chromium.unroute(script)


def test_a_chart_that_cannot_be_loaded_says_so_and_tries_again(
    open_page: OpenPage, chromium: BrowserContext, faults: list[tuple[str, str]]
) -> None:
    script = "**/plotly-*.min.js"
    chromium.route(script, lambda route: route.abort())
    try:
        page = open_page("/?runs=a,b")
        page.get_by_text("cannot be loaded; trying again").first.wait_for()
    finally:
        chromium.unroute(script)
    wait(page, f"{CHART.format('energy')}.draws > 0")
    assert page.locator(".empty", has_text="cannot be loaded").locator("visible=true").count() == 0
    assert {kind for kind, _ in faults} == {"console"}
    assert all("ERR_FAILED" in text for _, text in faults), faults
    faults.clear()


@pytest.mark.parametrize("width", [400, 1300])
def test_nothing_is_wider_than_the_window(open_page: OpenPage, width: int) -> None:
    page = open_page("/?runs=a", width=width)
    wait(page, f"{CHART.format('energy')}.draws > 0")
    wait_until_it_fits(page)
