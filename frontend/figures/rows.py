"""The runs table as data: one row of cells per run, numbers for sorting beside their texts."""

import html
import time
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from frontend.client import Run
from frontend.figures import text

NAN = float("nan")

# Visible columns: name -> (title, width in pixels, the text that is shown for it or None for the value itself).
COLUMNS: dict[str, tuple[str, int, str | None]] = {
    "shown": ("", 40, "shown_text"),
    "name": ("Name", 140, "name_text"),
    "state": ("State", 84, "state_text"),
    "progress": ("Progress", 84, "progress_text"),
    "energy": ("Energy/site (J)", 118, "energy_text"),
    "relative": ("Rel. error", 78, "relative_text"),
    "eta": ("Time left", 70, "eta_text"),
    "model": ("Model", 160, None),
    "ansatz": ("Ansatz", 64, None),
    "optimizer": ("Optimizer", 76, None),
    "sampler": ("Sampler", 92, None),
    "v_score": ("V-score", 74, "v_score_text"),
    "tags": ("Tags", 86, "tags_text"),
    "started": ("Started", 62, "started_text"),
}
NUMBERS = ("shown", "progress", "energy", "relative", "eta", "v_score", "started")
RIGHT = ("energy", "relative", "eta", "v_score")
HIDDEN_AT_FIRST = ("sampler", "v_score")
TEXTS = tuple(shown for _, _, shown in COLUMNS.values() if shown)
CELLS = ("id", *COLUMNS, *TEXTS)


def _chip(state: str) -> str:
    return f"<span class='chip chip-{html.escape(state)}'>{html.escape(state)}</span>"


def _progress(run: Run) -> tuple[float, str]:
    step, n_steps = run.get("step") or 0, run.get("n_steps") or 1
    share = min(1.0, step / n_steps)
    phase = run.get("phase")
    label = phase if phase in ("compiling", "measure") else f"{100 * share:.0f} %"
    label = {"measure": "measuring"}.get(str(label), str(label))
    filled = f"<i style='width:{100 * share:.1f}%'></i><span>{label}</span>"
    return share, f"<div class='bar' title='step {step} of {n_steps}'>{filled}</div>"


def _started(run: Run, now: float) -> tuple[float, str]:
    began = run.get("started") or run.get("created")
    if not began:
        return NAN, text.NONE
    ago = now - began
    stamp = time.localtime(began)
    same_day = time.strftime("%Y%j", stamp) == time.strftime("%Y%j", time.localtime(now))
    return began, time.strftime("%H:%M" if same_day and ago < 86400 else "%d %b", stamp)


def _relative(run: Run, relative: float | None) -> str:
    shown, (words, _) = text.small(relative), text.verdict(run)
    title = html.escape(words, quote=True)
    if text.flagged(run):
        return f"<b class='flag' title='{title}'>⚑ {shown}</b>"
    if (run.get("verdict") or {}).get("kind") == "beaten":
        return f"<b class='beaten' title='{title}'>beaten</b>"
    return f"<span title='{title}'>{shown}</span>" if words else shown


def row(run: Run, slot: int | None, now: float, focused: bool = False) -> dict[str, Any]:
    """The cells of one run; `slot` is its colour while it is drawn."""
    config = run.get("config") or {}
    energy, error = text.per_site(run)
    relative = text.finite(run.get("relative_error"))
    v_score = text.finite(run.get("v_score"))
    progress, bar = _progress(run)
    began, started = _started(run, now)
    on = slot is not None
    box = (
        f"<i class='box {f'c{slot % 8}' if slot is not None else ''}' title='{'Hide' if on else 'Draw'} the curve'></i>"
    )
    name = html.escape(run.get("name") or run["id"][:8])
    tags = run.get("tags") or []
    mark = " <i class='muted'>archived</i>" if run.get("archived") else ""
    training = run.get("state") == "running" and run.get("phase") != "measure"
    eta = text.finite(run.get("eta_seconds")) if training else None
    return {
        "id": run["id"],
        "shown": 0.0 if slot is None else 1.0,
        "shown_text": box,
        "name": run.get("name") or "",
        "name_text": f"<span class='{'focus' if focused else ''}'>{name}</span>{mark}",
        "state": run.get("state") or "",
        "state_text": _chip(run.get("state") or ""),
        "progress": progress,
        "progress_text": bar,
        "energy": NAN if energy is None else energy,
        "energy_text": text.with_error(energy, error),
        "relative": NAN if relative is None else relative,
        "relative_text": _relative(run, relative),
        "eta": NAN if eta is None else eta,
        "eta_text": text.brief(eta) if eta is not None else "",
        "model": text.model(config),
        "ansatz": text.component(config, "ansatz"),
        "optimizer": text.component(config, "optimizer"),
        "sampler": text.component(config, "sampler"),
        "v_score": NAN if v_score is None else v_score,
        "v_score_text": text.small(run.get("v_score")),
        "tags": ", ".join(tags),
        "tags_text": "".join(f"<span class='tag'>{html.escape(t)}</span>" for t in tags),
        "started": began,
        "started_text": started,
    }


def matches(run: Run, *, search: str, states: Sequence[str], tag: str, archived: bool) -> bool:
    """Does a run pass the table's filters? All words of `search` must occur somewhere in what the table says of it."""
    if bool(run.get("archived")) and not archived:
        return False
    if states and run.get("state") not in states:
        return False
    if tag and tag not in (run.get("tags") or []):
        return False
    config = run.get("config") or {}
    names = [text.component(config, f) for f in ("ansatz", "sampler", "optimizer", "hamiltonian", "lattice")]
    hay = " ".join([run.get("name") or "", run["id"], text.model(config), *names, *(run.get("tags") or [])]).lower()
    return all(word in hay for word in search.lower().split())


def changes(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, Any]]] | None:
    """The cells that differ, by column; None where rows came, went or moved."""
    if [r["id"] for r in old] != [r["id"] for r in new]:
        return None
    out: dict[str, list[tuple[int, Any]]] = {}
    for i, (before, after) in enumerate(zip(old, new, strict=True)):
        for key in CELLS:
            a, b = before[key], after[key]
            if a != b and not (a != a and b != b):
                out.setdefault(key, []).append((i, b))
    return out


def frame(cells: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The rows with fixed types: the table chooses its formats from the types, also while it is empty."""
    kinds = {key: "float64" if key in NUMBERS else "str" for key in CELLS}
    return pd.DataFrame(list(cells), columns=list(CELLS)).astype(kinds)


def all_tags(runs: Iterable[Run]) -> list[str]:
    return sorted({t for run in runs for t in run.get("tags") or []})
