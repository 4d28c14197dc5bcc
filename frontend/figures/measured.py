"""The measurements of a run in words: which one speaks for it, and all that were made after it."""

from collections.abc import Mapping
from html import escape
from typing import Any

from frontend.client import Run
from frontend.figures import judgement, text
from nqs_core.events import real


def source(run: Run) -> str:
    """Where the energy of a run comes from."""
    result = text.final(run)
    if result.get("energy") is None:
        return "last step"
    if run.get("leading"):
        return f"measured again with {text.count(result.get('n_samples_final'))} samples"
    return "final measurement"


def observables(result: Mapping[str, Any]) -> str:
    """The final measurement's numbers with their error bars; curves are under Observables."""
    found = result.get("observables") or {}
    rows = [
        f"<dt>{escape(text.quantity(name))}</dt><dd>{text.with_error(value['mean'], value.get('error'))}</dd>"
        for name, value in found.items()
        if isinstance(value, Mapping) and real(value.get("mean")) is not None
    ]
    return f"<dl class='wide'>{''.join(rows)}</dl>" if rows else ""


def measured(run: Run, scale: str) -> str:
    """What was measured again after the run, newest first."""
    lines = []
    n = (run.get("n_sites") or 1) if scale == "site" else 1
    entries = list(run.get("measurements") or [])
    leading = (run.get("leading") or {}).get("run")
    own = [{"state": "done", "result": result, "own": True}] if leading and (result := run.get("result")) else []
    for entry in reversed([*own, *entries]):
        state, result = str(entry.get("state")), entry.get("result") or {}
        energy, error = text.finite(result.get("energy")), real(result.get("energy_error"))
        done = f" {text.count(entry.get('step'))} of {text.count(entry.get('n_steps'))}" if entry.get("n_steps") else ""
        shown = f"<span class='chip chip-{escape(state)}'>{escape(state)}{done if state == 'running' else ''}</span>"
        if energy is not None:
            shown = (
                f"<b>{text.with_error(energy / n, None if error is None else error / n)}</b> {text.energy_unit(scale)}"
            )
        shown += judgement.chip(entry)
        samples = result.get("n_samples_final") or entry.get("n_samples")
        which = " in the run" if entry.get("own") else ", which leads" if entry.get("id") == leading else ""
        lines.append(f"<dt>{text.count(samples)} samples{which}</dt><dd>{shown}</dd>{_more(result)}{_failure(entry)}")
    return f"<h4>Measured again</h4><dl class='wide'>{''.join(lines)}</dl>" if lines else ""


def _more(result: Mapping[str, Any]) -> str:
    found = observables(result)
    return f"<dd class='all'><details><summary>Observables</summary>{found}</details></dd>" if found else ""


def _failure(entry: Mapping[str, Any]) -> str:
    return f"<dd class='all note error'>{escape(entry['error'])}</dd>" if entry.get("error") else ""
