"""A run as one file: JSON with everything, CSV with one row a training step."""

import csv
import io
import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from sqlalchemy import Engine

from backend import store
from backend.series import current_rows
from backend.strict import dumps

PAGE = 5000
ABOUT = ("id", "name", "state", "tags", "notes", "created", "started", "ended", "attempt", "device", "cloned_from")


def export(engine: Engine, run: dict[str, Any], form: str) -> tuple[str, str, bytes]:
    """File name, media type and content; superseded steps of earlier attempts are left out.

    Args:
        engine: the store.
        run: as `store.get_run` gives it.
        form: "json" or "csv".
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", run["name"]).strip("-.") or "run"
    name = f"{stem[:60]}-{run['id'][:8]}.{form}"
    events = list(_all_events(engine, run["id"]))
    if form == "csv":
        return name, "text/csv; charset=utf-8", _csv(events)
    return name, "application/json", dumps(_document(run, events), pretty=True)


def _all_events(engine: Engine, run_id: str) -> Iterator[dict[str, Any]]:
    after, last = 0, 1
    while after < last:
        events, last = store.read_events(engine, run_id, after, PAGE)
        yield from events
        after += PAGE


def _document(run: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    rows = current_rows(events)
    # Each attempt measures from the start of its own measurement phase: the last one counts.
    measure = [e for e in events if e["kind"] == "metrics" and e.get("phase") == "measure"]
    newest = max((e["attempt"] for e in measure), default=None)
    return {
        "spinscope": version("spinscope"),
        "run": {name: run[name] for name in ABOUT},
        "config": run["config"],
        "reference": run["reference"],
        "result": run["result"],
        "metrics": [{"step": step, **scalars} for step, scalars in rows.items()],
        "measure": [e["scalars"] for e in measure if e["attempt"] == newest],
        "warnings": [_plain(e, "step", "code", "message") for e in events if e["kind"] == "warning"],
        "versions": next((e["versions"] for e in reversed(events) if e.get("versions")), None),
    }


def _plain(event: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: event.get(name) for name in names}


def _csv(events: list[dict[str, Any]]) -> bytes:
    rows = current_rows(events)
    names = list(dict.fromkeys(name for scalars in rows.values() for name in scalars if name != "step"))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", *names])
    for step, scalars in rows.items():
        writer.writerow([step, *("" if scalars.get(name) is None else repr(scalars[name]) for name in names)])
    return text.getvalue().encode()
