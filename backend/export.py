"""A run as one file: JSON with everything, CSV with one row a training step, sweep, measured batch or level."""

import csv
import io
import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from sqlalchemy import Engine

from backend import store
from backend.provenance import as_fields
from backend.series import current_rows
from backend.strict import dumps

PAGE = 5000
ABOUT = (
    "id", "name", "kind", "parent", "state", "tags", "notes", "created", "started", "ended", "attempt", "device",
    "cloned_from", "leading", "runtime_seconds",
)  # fmt: skip
_FIRST = {"vmc": "step", "dmrg": "step", "measure": "batch", "exact": "level"}  # column
_HEAD = ("seq", "kind", "step", "t", "attempt")


def export(engine: Engine, run: dict[str, Any], form: str) -> tuple[str, str, bytes]:
    """File name, media type and content; superseded steps of earlier attempts are left out.

    Args:
        engine: the store.
        run: as `store.get_run` gives it.
        form: "json" or "csv", where infinite, undefined and missing numbers are inf, nan and empty.
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", run["name"]).strip("-.") or "run"
    name = f"{stem[:60]}-{run['id'][:8]}.{form}"
    events = list(_all_events(engine, run["id"]))
    if form == "csv":
        return name, "text/csv; charset=utf-8", _csv(_FIRST[run["kind"]], _rows(run, events))
    return name, "application/json", dumps(_document(run, events), pretty=True)


def _all_events(engine: Engine, run_id: str) -> Iterator[dict[str, Any]]:
    after, last = 0, 1
    while after < last:
        events, last = store.read_events(engine, run_id, after, PAGE)
        yield from events
        after += PAGE


def _document(run: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    points = [{name: e[name] for name in e if name not in _HEAD} for e in events if e["kind"] == "point"]
    return {
        "spinscope": version("spinscope"),
        "run": {name: run[name] for name in ABOUT},
        "config": run["config"],
        "reference": run["reference"],
        "health": run["health"],
        "result": run["result"],
        "metrics": [{"step": step, **scalars} for step, scalars in current_rows(events).items()],
        "measure": _batches(events),
        "points": points,
        "warnings": [_plain(e, "step", "code", "message") for e in events if e["kind"] == "warning"],
        **as_fields(run["versions"]),
    }


def _plain(event: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: event.get(name) for name in names}


def _batches(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The scalars of each batch of the measurement; a batch that was measured again counts once."""
    batches: dict[float, dict[str, Any]] = {}
    newest = 0
    for event in events:
        if event["kind"] == "metrics" and event.get("phase") == "measure":
            if "batch" not in event["scalars"] and event["attempt"] > newest:
                batches = {}  # of an earlier version, which did not number them: the last attempt counts
            newest = event["attempt"]
            batches[event["scalars"].get("batch", len(batches) + 1)] = event["scalars"]
    return [batches[number] for number in sorted(batches)]


def _rows(run: dict[str, Any], events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if run["kind"] == "exact":
        return (run["result"] or {}).get("levels", [])
    if run["kind"] == "measure":
        return [{"batch": number, **scalars} for number, scalars in enumerate(_batches(events), 1)]
    rows = {step: {"step": step, **scalars} for step, scalars in current_rows(events).items()}
    for event in events:
        if event["kind"] == "point" and event["step"] in rows:  # beside the last sweep of its bond dimension
            rows[event["step"]] |= {f"point_{name}": event.get(name) for name in event if name not in _HEAD}
    return list(rows.values())


def _csv(first: str, rows: list[dict[str, Any]]) -> bytes:
    names = [first, *dict.fromkeys(name for row in rows for name in row if name != first)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(["" if row.get(name) is None else _text(row[name]) for name in names])
    return text.getvalue().encode()


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)  # inf, -inf and nan among them
