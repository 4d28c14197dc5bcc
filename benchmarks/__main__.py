"""`make bench`: every measurement in turn, a table each, and exit status 1 where a target is missed."""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import dysonnet, exact, feed, page, peer, presets, sequences, spring
from benchmarks.report import Row, show
from benchmarks.turns import ROOT

PARTS = ("peer", "spring", "sequences", "presets", "feed", "page", "exact", "dysonnet")


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": os.cpu_count(), "load": os.getloadavg(), "python": platform.python_version()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part; may be given twice")
    parser.add_argument("--case", choices=peer.CASES, action="append", help="only this case of the peer")
    parser.add_argument("--preset", choices=presets.TARGETS, action="append", help="only this preset")
    parser.add_argument("--rounds", type=int, default=12, help="rounds of the comparison with NetKet")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the feed is measured")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "bench.json", help="all figures as JSON")
    args = parser.parse_args()
    parts = args.only or PARTS
    record: dict[str, Any] = {"time": time.time(), "machine": machine()}
    rows: list[Row] = []
    if "peer" in parts:
        record["peer"] = {}
        for name in args.case or peer.CASES:
            found, measured = peer.measure(peer.CASES[name], args.rounds)
            show(peer.CASES[name].title, ("", *measured["programs"], "ratio", "wanted"), found)
            record["peer"][name] = measured
            rows += found
    if "spring" in parts:
        found, record["spring"] = spring.measure(args.case or peer.CASES, args.rounds)
        show("Spring beside minSR, each pinned to one core, in turn", ("", "spring", "minSR", "ratio", "wanted"), found)
        rows += found
    if "sequences" in parts:
        found, record["sequences"] = sequences.measure()
        show(
            "Autoregressive networks: CPU s with reuse and without, in turn",
            ("", "with", "without", "ratio", "wanted"),
            found,
        )
        rows += found
    if "presets" in parts:
        found, record["presets"] = presets.measure(args.preset or presets.TARGETS)
        title = "Presets: final measurement against the exact energy"
        show(title, ("preset", "seed", "relative error", "sigmas", "steps", "seconds", "wanted"), found)
        rows += found
    if "feed" in parts:
        found, record["feed"] = feed.measure(args.seconds)
        show("Feed: websocket clients on 4 curves of 10 points a second", ("", "figure", "wanted"), found)
        rows += found
    if "page" in parts:
        found, record["page"] = page.measure()
        show("Page: visitors without a browser", ("", "figure", "wanted"), found)
        rows += found
    if "exact" in parts:
        found, record["exact"] = exact.measure()
        show("Lanczos of 24 spins", ("", "energy - known", "GB", "seconds", "wanted"), found)
        rows += found
    if "dysonnet" in parts:
        found, record["dysonnet"] = dysonnet.measure()
        show("Flipped amplitudes of a ring", ("", "sites", "CPU us", "parameters", "wanted"), found)
        rows += found
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(record, indent=1), "utf-8")
    sys.stdout.write(f"\nAll figures: {args.out}\n")
    return int(any(row.holds is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
