"""What is known of a system, and what computing it would take, as HTML for the form."""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

from frontend.client import ReferenceRow
from frontend.figures import reference_text as words
from frontend.figures import text
from frontend.figures.reference_rows import esc

OTHERS = 3


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def in_units_of(row: ReferenceRow) -> ReferenceRow:
    """A matching row with its energy in the units of the system that was asked for."""
    energy, own = row.get("energy") or 0.0, row.get("energy_run")
    if own is None:
        return row
    times = abs(own / energy) if energy else 1.0
    sigma = text.finite(row.get("uncertainty"))
    return cast(ReferenceRow, {**row, "energy": own, "uncertainty": None if sigma is None else sigma * times})


def lookup(answer: Mapping[str, Any], scale: str, units: str) -> str:
    """The best entry and how many there are; without one, the nearest systems and the bracket."""
    found = [in_units_of(row) for row in answer.get("matches") or []]
    size = f"<div class='line quiet'>{text.count(answer.get('n_sites'))} sites</div>"
    if not found:
        return f"{size}<div class='line'><b>No entry for this very system.</b></div>{_nearest(answer, scale, units)}"
    best, plain = found[0], found[0].get("energy") == (answer["matches"][0] or {}).get("energy")
    unit = words.unit(best, units) if plain else "in your units"
    lines = (
        f"<div class='found'><span class='big'>{words.number(best, scale, units)}</span>"
        f"<span class='unit'>{esc(unit)} {words.per(scale)}</span></div>"
        f"<div class='line'>{esc(_capital(words.certainty(best, 'total', units)))}.</div>"
    )
    more = len(found) - 1
    others = f"<div class='line quiet'>and {more} more {'entry' if more == 1 else 'entries'} of this level</div>"
    bracket = "" if best.get("bound") == "exact" else _bracket(answer, scale, units)
    return size + lines + (others if more else "") + bracket


def _nearest(answer: Mapping[str, Any], scale: str, units: str) -> str:
    lines, per = [], words.per(scale)
    for near in (answer.get("nearest") or [])[:OTHERS]:
        row, name = near["row"], words.symbol(near["coupling"])
        here, there = _own(answer, near["coupling"]), text.minus(f"{near['value']:g}")
        not_yours = f", not your {here}" if here else ""
        unit = f"{words.unit(row, units)} {per}"
        value = f"{words.number(row, scale, units)} <span class='unit'>{esc(unit)}</span>"
        lines.append(
            f"<li>{esc(name)} = {there}{not_yours}: {value} ({esc(words.method(row.get('method') or ''))})</li>"
        )
    near_by = f"<div class='line'>Nearest systems:</div><ul class='near'>{''.join(lines)}</ul>" if lines else ""
    return near_by + _bracket(answer, scale, units)


def _own(answer: Mapping[str, Any], coupling: str) -> str:
    """A coupling of the system itself, from its key: in units of the leading one."""
    for part in str(answer.get("key") or "").split("|")[-1].split(","):
        name, _, value = part.partition("=")
        if name == coupling:
            return text.minus(value)
    return ""


def _bracket(answer: Mapping[str, Any], scale: str, units: str) -> str:
    """Rigorous bounds from exact neighbours: E₀ is concave in every coupling that enters H linearly."""
    between = answer.get("bracket")
    if not between:
        return ""
    about = {"hamiltonian": str(answer.get("key") or "").split("|")[0], "n_sites": answer.get("n_sites")}
    times = words.factor(about, scale, units)
    low, high = text.finite(between.get("lower")), text.finite(between.get("upper"))
    if low is None:
        return ""
    name = "E₀/N" if scale == "site" else "E₀"
    why = f"E₀ is concave in {esc(words.symbol(str(between.get('coupling'))))}; bounds from exact neighbours"
    said = f"{name} ≥ {_figure(low * times, math.floor)}"
    if high is not None:
        said = f"{_figure(low * times, math.floor)} ≤ {name} ≤ {_figure(high * times, math.ceil)}"
    shown = f"<b>{said}</b> <span class='unit'>in your units, {words.per(scale)}</span>"
    return f"<div class='line'>{shown}</div><div class='line quiet'>Rigorous: {why}.</div>"


def _figure(value: float, outwards: Callable[[float], int]) -> str:
    """Six decimals, rounded so that a bound stays one."""
    return text.minus(f"{outwards(value * 1e6) / 1e6:.6f}")


def estimate(answer: Mapping[str, Any], method: str) -> str:
    """What the computation would take by the method that is chosen, and why another would not do."""
    exact, dmrg = answer.get("exact") or {}, answer.get("dmrg") or {}
    if answer.get("method") == "dmrg":
        instead = _refused(exact.get("reason")) if method == "auto" and not exact.get("feasible") else ""
        return instead + _dmrg(dmrg)
    if answer.get("diagonal") and not answer.get("closed_form"):
        return _minimum(exact, method)
    return _exact(exact, bool(answer.get("closed_form")))  # "exact" takes a closed form too where one is known


def feasible(answer: Mapping[str, Any]) -> bool:
    """Can the chosen method do it?"""
    takes = "dmrg" if answer.get("method") == "dmrg" else "exact"
    return bool((answer.get(takes) or {}).get("feasible"))


def _refused(reason: Any) -> str:
    return f"<div class='line v-warning'>{esc(str(reason)[:1].upper() + str(reason)[1:])}</div>"


def _exact(cost: Mapping[str, Any], closed: bool) -> str:
    if not cost.get("feasible"):
        return _refused(cost.get("reason") or "Exact diagonalisation is not possible here.")
    if closed:
        return "<div class='line'><b>Closed form</b>: no time at all.</div>"
    return (
        f"<div class='line'><b>Exact diagonalisation</b>: about <b>{text.duration(cost.get('seconds'))}</b>, "
        f"{text.memory(cost.get('bytes'))}.</div><div class='line quiet'>{text.count(cost.get('dim'))} states in the "
        "largest block.</div>"
    )


def _minimum(cost: Mapping[str, Any], method: str) -> str:
    instead = ", in place of DMRG, which stops at local minima" if method == "dmrg" else ""
    return (
        f"<div class='line'>The Hamiltonian is diagonal: its <b>exact minimum</b> over all configurations{instead}, "
        f"about <b>{text.duration(cost.get('seconds'))}</b>, {text.memory(cost.get('bytes'))}.</div>"
    )


def _dmrg(cost: Mapping[str, Any]) -> str:
    if not cost.get("feasible"):
        return _refused(cost.get("reason") or "DMRG is not possible here.")
    chi, seconds = cost.get("chi") or [], cost.get("seconds") or []
    steps = ", ".join(f"χ = {c}: {text.duration(s)}" for c, s in zip(chi, seconds, strict=False))
    kept = {"parity": "parity", "Sz": "Sᶻ"}.get(str(cost.get("charge")), "nothing")
    return (
        f"<div class='line'><b>DMRG</b>: about <b>{text.duration(sum(seconds))}</b> of CPU time (within a factor 3), "
        f"{text.memory(cost.get('bytes'))}.</div><div class='line quiet'>{esc(steps)}; MPO of dimension "
        f"{esc(cost.get('mpo_dimension'))}, conserves {kept}.</div>"
    )
