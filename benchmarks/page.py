"""The page of the runs for a class that opens it together, and what its visitors leave behind; real server."""

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import visitors
from benchmarks.feed import _cpu, _server
from benchmarks.report import Row

TOGETHER, SECONDS = 30, 20.0
FIRST, MORE, GROWTH_MB = 10, 60, 20.0
CPU_SECONDS = 0.5
SAID = "0 running"  # the page's own words after `onload`
DISCARDED_SECONDS = 32.0  # 20 s after the last word of a session, looked at every 5 s, and the garbage 5 s later


def measure() -> tuple[list[Row], dict[str, Any]]:
    """CPU of one visit, wall time of a class, growth of the UI process over visits; and the raw figures."""
    with tempfile.TemporaryDirectory() as folder, _server(folder) as (port, server):
        address, ui = f"http://127.0.0.1:{port}/", ui_process(server)
        asyncio.run(visitors.visit_in_turn(address, 2, SAID))  # what is made once
        before = _cpu(server)["UI"]
        asyncio.run(visitors.visit_in_turn(address, FIRST, SAID))
        one = (_cpu(server)["UI"] - before) / FIRST
        time.sleep(DISCARDED_SECONDS)
        small = memory(ui)
        asyncio.run(visitors.visit_in_turn(address, MORE, SAID))
        time.sleep(DISCARDED_SECONDS)
        growth = (memory(ui) - small) / 1e6
        start = time.monotonic()
        each = asyncio.run(visitors.visit_together(address, TOGETHER, SAID))
        wall = time.monotonic() - start
    rows = [
        Row(("CPU seconds of the UI for one visit", f"{one:.2f}", f"<= {CPU_SECONDS:g}"), one <= CPU_SECONDS),
        Row((f"seconds until {TOGETHER} who come together can use it", f"{wall:.1f}", f"<= {SECONDS:g}"),
            wall <= SECONDS),
        Row((f"MB that {MORE} visits after {FIRST} leave behind", f"{growth:.1f}", f"< {GROWTH_MB:g}"),
            growth < GROWTH_MB),
    ]  # fmt: skip
    return rows, {"cpu_seconds": one, "together": each, "together_wall": wall, "growth_mb": growth}


def ui_process(server: int) -> int:
    """The UI among the processes that `spinscope serve` has started."""
    for folder in Path("/proc").glob("[0-9]*"):
        words = (folder / "cmdline").read_bytes().split(b"\0") if folder.exists() else []
        parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1] if b"frontend.main" in words else ""
        if parent == str(server):
            return int(folder.name)
    raise RuntimeError(f"process {server} has no user interface")


def memory(process: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
