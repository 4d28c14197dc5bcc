"""The runs table as data: one row of cells per run, values for sorting beside their texts."""

import datetime
import html
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from frontend.client import Run
from frontend.figures import judgement, text
from nqs_core import words


class Column(NamedTuple):
    """`look`: classes of the cells; a width of the table below which the column is left out, and `right`."""

    title: str
    look: str = ""


COLUMNS = {
    "shown": Column("", "tick"),
    "name": Column("Name"),
    "state": Column("State"),
    "progress": Column("Progress", "narrow"),
    "energy": Column("Energy/site (J)", "right"),
    "relative": Column("Rel. error", "right narrow"),
    "eta": Column("Time left", "right middle"),
    "model": Column("Model", "middle"),
    "ansatz": Column("Ansatz", "middle"),
    "optimizer": Column("Optimizer", "wide"),
    "sampler": Column("Sampler", "wide"),
    "v_score": Column("V-score", "right wide"),
    "infidelity": Column("Infidelity", "right wide"),
    "tags": Column("Tags", "wide"),
    "started": Column("Started", "wide"),
}
AT_FIRST = tuple(key for key in COLUMNS if key not in ("sampler", "v_score", "infidelity"))
JUDGEMENT = "judgement"  # a cell that is no column: what an order needs beyond its own
Value = float | str | None
Cells = dict[str, tuple[Value, str]]


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


def _started(run: Run) -> tuple[float | None, str]:
    """The browser writes the time in its own zone; without it UTC stands there."""
    began = run.get("started") or run.get("created")
    if not began:
        return None, text.NONE
    stamp = datetime.datetime.fromtimestamp(began, datetime.UTC)
    return began, f"<time datetime='{stamp:%Y-%m-%dT%H:%M:%SZ}'>{stamp:%-d %b %Y %H:%M} UTC</time>"


def _relative(run: Run) -> str:
    shown, (words, _) = text.error_against(run), text.verdict(run)
    title = html.escape(words, quote=True)
    if text.flagged(run):
        return f"<b class='flag' title='{title}'>⚑ {shown}</b>"
    if (run.get("verdict") or {}).get("kind") == "beaten":
        return f"<b class='beaten' title='{title}'>beaten</b>"
    return f"<span title='{title}'>{shown}</span>" if words else shown


def row(run: Run, slot: int | None) -> Cells:
    """The cells of one run by column: what they are sorted by, and their HTML; `slot` is its colour while drawn."""
    config = run.get("config") or {}
    energy, error = text.per_site(run)
    v_score = text.finite(run.get("v_score"))
    infidelity = text.finite(text.final(run).get("infidelity"))
    relative = text.finite(run.get("relative_error"))
    on = slot is not None
    name = html.escape(run.get("name") or run["id"][:8])
    box = (
        f"<button type='button' class='box {f'c{slot % 8}' if slot is not None else ''}' role='checkbox' "
        f"aria-checked='{str(on).lower()}' aria-label='Curve of {name}' title='{'Hide' if on else 'Draw'} the curve'>"
        "</button>"
    )
    tags = run.get("tags") or []
    mark = " <i class='muted'>archived</i>" if run.get("archived") else ""
    training = run.get("state") == "running" and run.get("phase") != "measure"
    eta = text.finite(run.get("eta_seconds")) if training else None

    def plain(words: str) -> tuple[Value, str]:
        return words, html.escape(words)

    return {
        "shown": (float(on), box),
        "name": (run.get("name") or "", name + mark),
        "state": (run.get("state") or "", _chip(run.get("state") or "") + judgement.chip(run)),
        "progress": _progress(run),
        "energy": (energy, text.with_error(energy, error)),
        "relative": (relative, _relative(run)),
        "eta": (eta, text.brief(eta) if eta is not None else ""),
        "model": plain(text.model(config)),
        "ansatz": plain(text.component(config, "ansatz")),
        "optimizer": plain(text.component(config, "optimizer")),
        "sampler": plain(text.component(config, "sampler")),
        "v_score": (v_score, text.small(run.get("v_score"))),
        "infidelity": (infidelity, text.small(infidelity)),
        "tags": (", ".join(tags), "".join(f"<span class='tag'>{html.escape(t)}</span>" for t in tags)),
        "started": _started(run),
        JUDGEMENT: (judgement.found(run)[0], ""),
    }


def head(shown: Sequence[str]) -> list[dict[str, Any]]:
    """The headings of these columns, for the table; columns that somebody chose are there at any width."""
    chosen = set(shown) != set(AT_FIRST)

    def look(column: Column) -> str:
        return " ".join(word for word in column.look.split() if not chosen or word in ("tick", "right"))

    return [
        {"key": key, "title": column.title, "look": look(column), "sort": bool(column.title)}
        for key, column in ((key, COLUMNS[key]) for key in shown)
    ]


def ordered(found: Iterable[tuple[str, Cells]], sort: str) -> list[tuple[str, Cells]]:
    """Sorted by a column, "-column" for falling order; "" changes nothing.

    What has no value comes last, and after it the runs whose energy is impossible.
    """
    pairs = list(found)
    key = sort.removeprefix("-")
    if key not in COLUMNS:
        return pairs
    wrong = [pair for pair in pairs if pair[1][JUDGEMENT][0] == "impossible"]
    right = [pair for pair in pairs if pair[1][JUDGEMENT][0] != "impossible"]

    def by(pair: tuple[str, Cells]) -> Any:
        value = pair[1][key][0]
        return value.casefold() if isinstance(value, str) else value

    out: list[tuple[str, Cells]] = []
    for part in (right, wrong):
        known = [pair for pair in part if pair[1][key][0] not in (None, "")]
        out += sorted(known, key=by, reverse=sort.startswith("-"))
        out += [pair for pair in part if pair[1][key][0] in (None, "")]
    return out


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
    said = [
        run.get("name") or "",
        run.get("notes") or "",
        run["id"],
        text.model(config),
        *names,
        *(run.get("tags") or []),
    ]
    return words.matches(search, "\n".join(said))


def all_tags(runs: Iterable[Run]) -> list[str]:
    return sorted({t for run in runs for t in run.get("tags") or []})
