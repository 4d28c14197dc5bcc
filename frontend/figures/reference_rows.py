"""The table of references as data: columns, and the cells of a row as HTML."""

import html
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from frontend import theme
from frontend.client import ReferenceRow, Run
from frontend.figures import reference_text as words
from frontend.figures import text

BOUND_COLOURS = {"exact": "#14884a", "estimate": "#1f6fc4", "upper": "#a87900"}
BOUND_HELP = {
    "exact": "closed form or diagonalisation: the number itself",
    "estimate": "may lie on either side of the truth, within its error bar",
    "upper": "a variational energy: the truth is not above it",
}
CHIP_CSS = (
    ".bound{display:inline-block;padding:1px 9px;border-radius:10px;font-size:12px;line-height:18px;font-weight:600;"
    "white-space:nowrap;background:color-mix(in srgb,var(--c) 15%,transparent);"
    "color:color-mix(in srgb,var(--c) 70%,var(--panel-on-surface-color))}"
    + "".join(f".bound-{name}{{--c:{colour}}}" for name, colour in BOUND_COLOURS.items())
    + ".unit{margin-left:5px;font-size:11.5px}"
    ".unit,.quiet{color:color-mix(in srgb,var(--panel-on-surface-color) 72%,transparent)}"
)
TABLE_LOOK = CHIP_CSS + theme.CHIP_CSS + theme.BAR_CSS


def esc(value: Any) -> str:
    return html.escape(str(value))


def columns(scale: str) -> list[dict[str, Any]]:
    """What the table shows; `key` is what the server sorts by."""
    energy = "energy_per_site" if scale == "site" else "energy"
    return [
        {"key": "key", "title": "System", "sort": True, "help": "Hamiltonian, lattice, couplings"},
        {"key": "sector", "title": "Sector", "sort": True, "look": "middle", "help": "In which levels are counted"},
        {"key": "level", "title": "Level", "sort": True, "look": "narrow", "help": "0 is the lowest of the sector"},
        {"key": "method", "title": "Method", "sort": True, "look": "middle"},
        {"key": "bound", "title": "Kind", "sort": True, "look": "narrow"},
        {"key": energy, "title": "Energy per site" if scale == "site" else "Energy, total", "sort": True,
         "look": "right", "help": "Error of the last digits in parentheses, and the unit"},
        {"key": "source", "title": "Source", "sort": True, "look": "wide"},
        {"key": "licence", "title": "Licence", "sort": False, "look": "wide"},
    ]  # fmt: skip


def bound_chip(bound: str) -> str:
    help_text, name = BOUND_HELP.get(bound, ""), words.BOUNDS.get(bound, bound)
    return f"<span class='bound bound-{esc(bound)}' title='{esc(help_text)}'>{esc(name)}</span>"


def energy(row: ReferenceRow, scale: str, units: str) -> str:
    return f"{words.number(row, scale, units)}<span class='unit'>{esc(words.unit(row, units))}</span>"


def row(entry: ReferenceRow, scale: str, units: str, kept: Collection[str] = ()) -> dict[str, Any]:
    """The cells of one reference, in the order of `columns`; only the columns in `kept` where that is given."""
    method, bound = words.method(entry.get("method") or ""), entry.get("bound") or ""
    short = f"{words.level(entry)}, {words.sector(entry.get('sector') or 'full')} · {method}"
    cells = {
        "key": f"{esc(words.system(entry))}<span class='sub quiet'>{esc(short)}</span>",
        "sector": esc(words.sector(entry.get("sector") or "full")),
        "level": esc(entry.get("level") or 0),
        "method": f"{esc(method)}<span class='sub quiet'>{esc(words.BOUNDS.get(bound, bound))}</span>",
        "bound": bound_chip(bound),
        "energy": energy(entry, scale, units),
        "source": esc(words.short_source(entry.get("source"))),
        "licence": esc(words.short_licence(entry.get("licence"))),
    }
    return {"id": str(entry["id"]), "cells": [cell for name, cell in cells.items() if not kept or name in kept]}


def rows(entries: Sequence[ReferenceRow], scale: str, units: str) -> list[dict[str, Any]]:
    return [row(entry, scale, units) for entry in entries]


def page_words(page: int, size: int, shown: int, total: int) -> str:
    """13–24 of 1 892."""
    if not total or not shown:
        return "none"
    first = (page - 1) * size + 1
    return f"{text.count(first)}–{text.count(first + shown - 1)} of {text.count(total)}"


def options(field: str, values: Sequence[str], any_word: str) -> dict[str, str]:
    """The choices of a filter in words."""
    say = {
        "hamiltonian": words.family,
        "method": words.method,
        "bound": lambda v: words.BOUNDS.get(v, v),
        "origin": lambda v: words.ORIGINS.get(v, v),
    }.get(field, lambda v: v.replace("_", " "))
    return {any_word: ""} | {say(value): value for value in values}


JOB_COLUMNS: list[dict[str, Any]] = [
    {"key": "name", "title": "Computation"},
    {"key": "kind", "title": "Method", "look": "narrow"},
    {"key": "state", "title": "State"},
    {"key": "progress", "title": "Progress", "look": "narrow"},
    {"key": "energy", "title": "Energy", "look": "right", "help": "In the units of its own Hamiltonian"},
    {"key": "eta", "title": "Time left", "look": "right middle"},
]


def job_progress(run: Run) -> str:
    """Sweeps done of those expected; a diagonalisation is one step."""
    step, n_steps = run.get("step") or 0, run.get("n_steps") or 1
    done = run.get("state") == "done"
    share = 1.0 if done else min(1.0, step / n_steps)
    label = f"{step} sweeps" if run.get("kind") == "dmrg" else f"{100 * share:.0f} %"
    return (
        f"<div class='bar' title='{step} of about {n_steps}'>"
        f"<i style='width:{100 * share:.1f}%'></i><span>{label}</span></div>"
    )


def job_row(run: Run, scale: str) -> dict[str, Any]:
    """The cells of one computation, in the order of JOB_COLUMNS."""
    config: Mapping[str, Any] = run.get("config") or {}
    system = esc(words.system_of(config))
    name = f"{esc(config['name'])} <span class='quiet'>{system}</span>" if config.get("name") else system
    value, error = text.per_site(run, scale)
    eta = text.finite(run.get("eta_seconds")) if run.get("state") == "running" else None
    state = esc(run.get("state") or "")
    return {
        "id": run["id"],
        "cells": [
            name,
            {"dmrg": "DMRG", "exact": "exact"}.get(str(run.get("kind")), esc(run.get("kind") or "")),
            f"<span class='chip chip-{state}'>{state}</span>",
            job_progress(run),
            words.figure(value, error),
            text.brief(eta) if eta is not None else "",
        ],
    }


def job_columns(scale: str) -> list[dict[str, Any]]:
    title = "Energy per site (J)" if scale == "site" else "Energy, total (J)"
    return [{**column, "title": title} if column["key"] == "energy" else column for column in JOB_COLUMNS]
