"""A browser on the real server. Every test fails on console errors, page errors, HTTP >= 400 and foreign requests."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, WebSocket, expect, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
IDLE = "window.Bokeh && Bokeh.index && Bokeh.index.roots.length && Bokeh.index.roots.every(view => view.is_idle)"
PATIENCE_MS = 180_000
expect.set_options(timeout=PATIENCE_MS)  # its own five seconds are short on a busy machine
START_SECONDS = 180


class Server:
    """`spinscope serve` on a free port with a data folder of its own."""

    def __init__(self, folder: pathlib.Path, running: str | None = None) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        if running:
            self.url = running
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "backend.cli", "serve", "--port", str(self.port)]
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--data-dir", str(self.folder), "--no-browser"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError("serve ended: " + (self.folder / "serve.log").read_text()[-2000:])
            try:
                self.call("GET", "/api/health")
                return
            except OSError:
                time.sleep(0.5)
        raise RuntimeError("serve did not answer")

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def wait(self, run: str, test: Callable[[dict[str, Any]], bool], seconds: float = 240) -> dict[str, Any]:
        """Poll a run until `test` holds.

        Raises:
            TimeoutError: it did not.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = self.call("GET", f"/api/runs/{run}")
            if test(found):
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"run {run}: state {found['state']}, step {found['step']}, error {found['error']}")
            time.sleep(0.3)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of the page; SPINSCOPE_TEST_URL names one that runs already."""
    running = os.environ.get("SPINSCOPE_TEST_URL")
    made = Server(tmp_path_factory.mktemp("data"), running)
    if not running:
        made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[BrowserContext]:
    if not pathlib.Path(CHROMIUM).exists():
        pytest.skip(f"no browser at {CHROMIUM}; set CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        # One context, so that the 10 MB of scripts are loaded and compiled once; what a visitor leaves is wiped.
        context = browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        yield context
        browser.close()


FRAMES = 40  # of the websockets, kept for the report of a failed test


@pytest.fixture
def frames() -> deque[str]:
    """What pages and servers told each other last: seconds, direction, the beginning of the text."""
    return deque(maxlen=FRAMES)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failed test tells what its pages showed and what was said last over their websockets."""
    report = yield
    context = getattr(item, "funcargs", {}).get("chromium")
    if report.when == "call" and report.failed and context is not None:
        for page in context.pages:
            report.sections.append((f"page {page.url}", page.locator("body").aria_snapshot(timeout=30_000)))
        report.sections.append(("websockets", "\n".join(getattr(item, "funcargs", {}).get("frames") or [])))
    return report


OpenPage = Callable[..., Page]


def wait_until_it_fits(page: Page) -> None:
    """Nothing is wider than the window. A wait: charts follow the width of their cards a moment later."""
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture
def faults() -> list[tuple[str, str]]:
    """What went wrong in the browser; a test may take out what it caused on purpose."""
    return []


@pytest.fixture
def open_page(
    chromium: BrowserContext, server: Server, faults: list[tuple[str, str]], frames: deque[str]
) -> Iterator[OpenPage]:
    """open_page(path, width=, height=, scheme=) -> the page, built up. Faults of any page fail the test at its end."""
    pages: list[Page] = []

    def note(kind: str, text: str) -> None:
        faults.append((kind, text[:300]))

    def keep(direction: str, frame: str | bytes) -> None:
        if isinstance(frame, str) and len(frame) > 2:
            frames.append(f"{time.monotonic():.3f} {direction} {frame[:400]}")

    def listen(socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: keep(">", frame))
        socket.on("framereceived", lambda frame: keep("<", frame))

    def open_(path: str = "/", *, width: int = 1440, height: int = 900, scheme: Any = "light") -> Page:
        page = chromium.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        if not pages:
            page.context.clear_cookies()
            session = page.context.new_cdp_session(page)
            session.send("Storage.clearDataForOrigin", {"origin": server.url, "storageTypes": "local_storage"})
        pages.append(page)
        page.on("console", lambda message: note("console", message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: note("page error", str(error)))
        page.on("response", lambda r: note(f"HTTP {r.status}", r.url) if r.status >= 400 else None)
        local = (server.url, server.url.replace("http", "ws", 1), "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(local) else note("foreign request", r.url))
        page.on("websocket", lambda w: None if w.url.startswith(local) else note("foreign websocket", w.url))
        page.on("websocket", listen)
        page.goto(server.url + path, timeout=PATIENCE_MS)
        page.wait_for_function(IDLE, timeout=PATIENCE_MS)
        return page

    yield open_
    for page in pages:
        page.close()
    assert not faults, faults


TINY = {
    "name": "tiny",
    "lattice": {"name": "chain", "params": {"length": 6}},
    "hamiltonian": {"name": "tfim", "params": {"J": 1.0, "h": 1.0}},
    "ansatz": {"name": "rbm", "params": {"alpha": 1}},
    "sampler": {"name": "metropolis", "params": {"n_samples": 64, "n_chains": 16}},
    "optimizer": {"name": "minsr", "params": {}},
    "n_steps": 30,
    "seed": 0,
    "measure": 256,
}


@pytest.fixture(scope="session")
def tiny(server: Server) -> dict[str, Any]:
    """A finished run of a few seconds."""
    run = server.call("POST", "/api/runs", TINY)["id"]
    return server.wait(run, lambda r: r["state"] in ("done", "failed"))
