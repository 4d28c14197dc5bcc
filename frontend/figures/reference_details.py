"""One reference, one computation, and what is known of a system, as HTML."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from frontend.client import ReferenceRow, Run
from frontend.figures import details, text
from frontend.figures import reference_text as words
from frontend.figures.reference_rows import CHIP_CSS, bound_chip, esc

CSS = (
    details.CSS
    + CHIP_CSS
    + """
a{color:var(--panel-primary-color);overflow-wrap:anywhere}
dl.facts{grid-template-columns:max-content minmax(0,1fr);margin-top:10px}
.found{margin:6px 0 0}
.near{margin:3px 0 0;padding-left:18px}
.near li{margin:2px 0}
code{font-size:12px;overflow-wrap:anywhere}
"""
)
SAFE_LINK = re.compile(r"https?://[^\s\"'<>]+")
NEW_TAB = "target='_blank' rel='noopener noreferrer'"
DOI = re.compile(r"doi:(10\.\d{4,9}/[^\s,;]+)")


def link(url: str | None) -> str:
    """A link that leaves the page in a new tab; anything but http(s) is shown as text."""
    target = (url or "").strip()
    if not SAFE_LINK.fullmatch(target):
        return esc(target)
    return f"<a href='{esc(target)}' {NEW_TAB}>{esc(target)}</a>"


def source(row: ReferenceRow) -> str:
    """The full citation, with its DOI as a link."""
    cited = str(row.get("source") or text.NONE)
    parts, end = [], 0
    for found in DOI.finditer(cited):
        target = esc(f"https://doi.org/{found[1]}")
        parts += [esc(cited[end : found.start()]), f"<a href='{target}' {NEW_TAB}>{esc(found[0])}</a>"]
        end = found.end()
    return "".join((*parts, esc(cited[end:])))


def reference(row: ReferenceRow, scale: str, units: str) -> str:
    """Everything that is known of one row."""
    per = "per site" if scale == "site" else f"total of {text.count(row.get('n_sites'))} sites"
    head = (
        f"<div class='big'>{words.number(row, scale, units)}"
        f"<span class='unit'>{esc(words.unit(row, units))} {per}</span></div>"
        f"<div class='line'>{bound_chip(row.get('bound') or '')} {esc(words.method(row.get('method') or ''))}, "
        f"{esc(words.level(row))}</div>"
        f"<div class='line'>{esc(_capital(words.certainty(row, 'total', units)))}.</div>"
        f"<div class='line quiet'>Total {words.number(row, 'total', units)}, per site "
        f"{words.number(row, 'site', units)}; {esc(words.unit_words(row, units))}.</div>"
    )
    return head + _facts(_known(row, units))


def _known(row: ReferenceRow, units: str) -> list[tuple[str, str]]:
    pauli = 16.0 if units == "pauli" and row.get("hamiltonian") in words.SPIN_FAMILIES else 1.0
    variance = text.finite(row.get("variance"))
    return [
        ("Sector", esc(words.sector(row.get("sector") or "full"))),
        ("Quantum numbers", esc(words.labels(row))),
        ("How", esc(row.get("detail") or "")),
        ("Variance of H", text.small(variance * pauli) if variance is not None else ""),
        ("Bond dimension", text.count(row.get("bond_dimension")) if row.get("bond_dimension") else ""),
        ("Discarded weight", text.small(row.get("truncation_error")) if row.get("truncation_error") else ""),
        ("Source", source(row)),
        ("Link", link(row.get("url"))),
        ("Licence", esc(row.get("licence") or "")),
        ("Note", esc(row.get("note") or "")),
        ("Origin", esc(words.ORIGINS.get(row.get("origin") or "", row.get("origin") or ""))),
        ("Key", f"<code>{esc(row.get('key') or '')}</code>"),
    ]


def _facts(pairs: Sequence[tuple[str, str]]) -> str:
    shown = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in pairs if value not in ("", "-", text.NONE))
    return f"<dl class='facts'>{shown}</dl>"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def job(run: Run, scale: str) -> str:
    """State, progress and outcome of a computation; its energies are in the units of its own Hamiltonian."""
    state, kind = str(run.get("state")), run.get("kind")
    step, n_steps = run.get("step") or 0, run.get("n_steps") or 1
    energy, error = text.per_site(run, scale)
    per = "per site" if scale == "site" else f"total of {text.count(run.get('n_sites'))} sites"
    newest = "last sweep" if kind == "dmrg" and not run.get("result") else "result"
    share = 1.0 if state == "done" else min(1.0, step / n_steps)
    said = [f"sweep {step} of about {n_steps}"] if kind == "dmrg" else []
    if state == "running" and text.finite(run.get("eta_seconds")) is not None:
        said.append(f"done in about {text.duration(run.get('eta_seconds'))}")
    if text.finite(run.get("ended")) is not None and run.get("runtime_seconds"):
        said.append(f"took {text.duration(run.get('runtime_seconds'))}")
    waiting = state in ("queued", "starting") or (kind == "exact" and state == "running")
    failed = f"<div class='note error'>{esc(run.get('error'))}</div>" if run.get("error") else ""
    return (
        f"<div class='line quiet'>{esc(_job_kind(run))}</div>"
        f"<div class='big'>{words.figure(energy, error)}"
        f"<span class='unit'>{per}, {newest}, in the units of its Hamiltonian</span></div>"
        f"<div class='bar{' wait' if waiting else ''}'><i style='width:{100 * share:.1f}%'></i></div>"
        f"<div class='line'><b>{esc(_phase(run))}</b>"
        f"<span class='quiet'>{''.join(f' · {esc(w)}' for w in said)}</span></div>{_outcome(run, scale)}{failed}"
    )


def _phase(run: Run) -> str:
    if run.get("state") != "running":
        return details.phase_words(run)
    if run.get("phase") == "compiling":
        return "preparing"
    return "sweeping" if run.get("kind") == "dmrg" else "diagonalising"


def job_title(run: Run) -> str:
    """What the visitor called it, else the system."""
    config = run.get("config") or {}
    return str(config.get("name") or "") or words.system_of(config)


def _job_kind(run: Run) -> str:
    config = run.get("config") or {}
    method = "DMRG" if run.get("kind") == "dmrg" else "Exact levels"
    chi = ", ".join(str(c) for c in config.get("chi") or [])
    about = f"{method}, χ = {chi}" if chi else method
    return f"{words.system_of(config)} · {about}" if config.get("name") else about


def _outcome(run: Run, scale: str) -> str:
    """How certain the result is, and every level where there are several."""
    result = run.get("result") or {}
    times = 1 / (run.get("n_sites") or 1) if scale == "site" else 1.0
    said = text.signed(str(result.get("sentence") or ""))
    said = f"Total {said}" if said[:1] in "−0123456789" else _capital(said)
    sentence = f"<div class='line'>{esc(said)}.</div>" if result.get("sentence") else ""
    levels = result.get("levels") or []
    if len(levels) < 2:
        return sentence
    rows = "".join(
        f"<dt>Level {entry['level']}</dt><dd>{text.minus(format(entry['energy'] * times, '.10f'))}</dd>"
        for entry in levels
    )
    return f"{sentence}<dl class='facts'>{rows}</dl>"


def points(series: Mapping[str, Any], times: float, unit: str = "Energy") -> str:
    """The finished bond dimensions of a DMRG series; `times` turns its totals into the shown `unit`."""
    head = ("χ", "χ used", esc(unit), "Discarded weight", "Variance", "Entropy (nat)", "Sweeps", "CPU time")
    lines = []
    for point in series.get("points") or []:
        mark = "" if point.get("converged") is not False else "<b title='not converged in sweeps'> *</b>"
        variance = text.finite(point.get("variance"))
        cells = (
            f"{text.count(point['chi'])}{mark}",
            text.count(point.get("chi_used")),
            text.minus(f"{point['energy'] * times:.9f}"),
            text.small(point.get("truncation_error")),
            text.small(variance),
            text.plain(point.get("max_entropy"), 4),
            text.count(point.get("sweeps")),
            text.duration(point.get("cpu_seconds")),
        )
        lines.append("<tr>" + "".join(f"<td class='num'>{c}</td>" for c in cells) + "</tr>")
    titles = "".join(f"<th class='num'>{title}</th>" for title in head)
    foot = "<p>* not converged in sweeps. Variance of H in its unit squared, total.</p>" if any(
        p.get("converged") is False for p in series.get("points") or []
    ) else "<p>Variance of H in its unit squared, total.</p>"  # fmt: skip
    return f"<table><tr>{titles}</tr>{''.join(lines)}</table>{foot}"


FITS = {
    "power": "Power law a + b (χ + c)<sup>d</sup>",
    "variance": "Linear in the variance",
    "truncation": "Linear in the discarded weight",
}


def fits(series: Mapping[str, Any], times: float, unit: str = "Energy") -> str:
    """Which extrapolations are believed, and why the others are not; `times` turns totals into `unit`."""
    lines = []
    for fit in series.get("fits") or []:
        name = FITS.get(fit.get("kind"), esc(fit.get("kind")))
        if fit.get("accepted"):
            limit, rms = text.minus(f"{fit['a'] * times:.8f}"), text.small((fit.get("rms") or 0.0) * times)
            power = f", d = {text.plain(fit.get('d'), 3)}" if fit.get("d") is not None else ""
            lines.append(f"<li><b>{name}</b>: accepted, limit {limit}{power}, rms residual {rms}</li>")
        else:
            lines.append(f"<li class='quiet'>{name}: refused, {esc(fit.get('reason') or 'no reason given')}</li>")
    value, half = text.finite(series.get("energy")), text.finite(series.get("uncertainty"))
    if value is None:
        return f"<ul class='near'>{''.join(lines)}</ul>"
    if half is not None:
        number = text.with_error(value * times, half * times)
        verdict = (
            f"{esc(unit)}: extrapolated <b>{number}</b>, ± half the distance to the last energy; not a rigorous bound."
        )
    else:
        number = text.minus(f"{value * times:.9f}")
        why = f": {esc(series['reason'])}" if series.get("reason") else ""
        verdict = f"{esc(unit)}: upper bound <b>{number}</b>, not extrapolated{why}."
    note = f"<div class='note warning'>{esc(_capital(str(series['note'])))}.</div>" if series.get("note") else ""
    return f"<div class='line'>{verdict}</div><ul class='near'>{''.join(lines)}</ul>{note}"
