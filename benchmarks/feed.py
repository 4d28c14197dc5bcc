"""The live feed under load: 20 websocket clients and one real page on 4 curves of 10 points a second, real server."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.clients import steps_of
from benchmarks.report import Row
from benchmarks.turns import ROOT

N_CLIENTS, N_RUNS, RATE = 20, 4, 10.0
KEPT = 0.9  # share of the points' rate that every client must see
START_SECONDS = 120.0
TICK = os.sysconf("SC_CLK_TCK")
ROLES = {"backend.main": "API", "frontend.main": "UI", "backend.agent": "agent", "backend.runner": "spare runner"}


def measure(seconds: float) -> tuple[list[Row], dict[str, Any]]:
    """Rates of the slowest client, faults of all, CPU of each process of the server."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _feeder(folder) as runs,
        _server(folder) as (port, server),
        _page(port, runs) as page,
    ):
        command = [sys.executable, "-m", "benchmarks.clients", f"ws://127.0.0.1:{port}/ws/feed"]
        command += [str(N_CLIENTS), str(seconds), *runs]
        started, before = time.monotonic(), _cpu(server)
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as clients:
            while clients.poll() is None:
                page.wait(0.2)
            after, lasted = _cpu(server), time.monotonic() - started
            assert clients.stdout is not None
            found = json.loads(clients.stdout.read())
        shown = page.rate()
    each = found["clients"]
    points = [client["points_per_curve_and_second"] for client in each]
    faults = sum(client["faults"] for client in each) + found["broken"]
    load = {name: 100 * (after[name] - before.get(name, 0.0)) / lasted for name in after}
    rows = [
        Row(("points per curve and second, slowest client", f"{min(points):.2f}", f">= {KEPT * RATE:g}"),
            min(points) >= KEPT * RATE),
        Row(("points missing or twice, clients lost", str(faults), "0"), faults == 0),
        Row(("frames per second, median client", f"{median(client['frames_per_second'] for client in each):.1f}", "")),
        Row(("kB per second, median client", f"{median(client['bytes_per_second'] for client in each) / 1e3:.1f}", "")),
        *(Row((f"CPU of the {name}, % of a core", f"{share:.1f}", "")) for name, share in sorted(load.items())),
    ]  # fmt: skip
    if shown is None:
        rows.append(Row(("page: no Chromium here", "", "")))
    else:
        wanted = f">= {KEPT * RATE:g}"
        rows.append(Row(("points per curve and second, real page", f"{shown:.2f}", wanted), shown >= KEPT * RATE))
    return rows, {**found, "cpu_percent": load, "page_points_per_curve_and_second": shown}


@contextlib.contextmanager
def _feeder(folder: str) -> Iterator[list[str]]:
    command = [sys.executable, "-m", "benchmarks.feeder", folder, str(N_RUNS), str(RATE)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield [json.loads(process.stdout.readline()) for _ in range(N_RUNS)]
    finally:
        process.communicate()


@contextlib.contextmanager
def _server(folder: str) -> Iterator[tuple[int, int]]:
    """`spinscope serve`: its port and process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [ROOT / ".venv" / "bin" / "spinscope", "serve", "--port", str(port), "--data-dir", folder, "--no-browser"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(f"http://127.0.0.1:{port}/", process)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _await(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(address, timeout=10).close()
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.3)
        else:
            return


def _cpu(root: int) -> dict[str, float]:
    """CPU seconds so far of `root` and its descendants, by role."""
    stats = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            stats[int(folder.name)] = (int(fields[1]), (int(fields[11]) + int(fields[12])) / TICK, words)
    totals: dict[str, float] = {}
    wanted = [root]
    for pid in wanted:
        wanted += [child for child, (parent, _, _) in stats.items() if parent == pid]
        _, seconds, words = stats[pid]
        role = next((ROLES[word] for word in words if word in ROLES), "supervisor")
        totals[role] = totals.get(role, 0.0) + seconds
    return totals


class _Page:
    """A real page in Chromium, counting the points of its own websocket; without a browser it only waits."""

    def __init__(self, port: int, runs: list[str], playwright: Any | None) -> None:
        self._n_runs, self._points, self._since, self._page = len(runs), 0, 0.0, None
        found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
        if playwright is None or not any(found):
            return
        self._browser = playwright.chromium.launch(
            executable_path=next(path for path in found if path),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        self._page = self._browser.new_page()
        self._page.on("websocket", self._watch)
        self._page.goto(f"http://127.0.0.1:{port}/?runs={','.join(runs)}", timeout=60_000)
        self.wait(5.0)  # the history, and the first draws
        self._points, self._since = 0, time.monotonic()

    def _watch(self, opened: Any) -> None:
        if opened.url.endswith("/ws/feed"):
            opened.on("framereceived", self._count)

    def _count(self, frame: Any) -> None:
        if isinstance(frame, bytes):
            self._points += sum(len(steps) for steps in steps_of(frame)[1].values())

    def wait(self, seconds: float) -> None:
        """Let time pass, and the browser's events in."""
        if self._page is None:
            time.sleep(seconds)
        else:
            self._page.wait_for_timeout(1000 * seconds)

    def rate(self) -> float | None:
        """Points per curve and second since the page had its history."""
        if self._page is None:
            return None
        return self._points / self._n_runs / (time.monotonic() - self._since)


@contextlib.contextmanager
def _page(port: int, runs: list[str]) -> Iterator[_Page]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        yield _Page(port, runs, None)
        return
    with sync_playwright() as playwright:
        yield _Page(port, runs, playwright)
