"""One run in detail, and several side by side, as HTML."""

import html
import time
from collections.abc import Mapping, Sequence
from typing import Any

from frontend import theme
from frontend.client import Run
from frontend.figures import text

CSS = (
    theme.CHIP_CSS
    + theme.DOT_CSS
    + """
:host{font-size:13px;color:var(--panel-on-surface-color)}
.big{font-size:26px;font-weight:600;letter-spacing:-.01em;line-height:1.25;font-variant-numeric:tabular-nums}
.unit,.quiet{color:color-mix(in srgb,var(--panel-on-surface-color) 72%,transparent)}
.unit{font-size:13px;font-weight:400;margin-left:6px}
.line{margin:3px 0}
.v-success{color:color-mix(in srgb,#14884a 72%,var(--panel-on-surface-color))}
.v-warning{color:color-mix(in srgb,#a87900 75%,var(--panel-on-surface-color))}
.v-error{color:color-mix(in srgb,#c8342b 72%,var(--panel-on-surface-color));font-weight:600}
.bar{height:6px;border-radius:3px;margin:10px 0 6px;overflow:hidden;background:color-mix(in srgb,var(--panel-on-surface-color) 9%,transparent)}
.bar i{display:block;height:100%;border-radius:3px;background:var(--panel-primary-color)}
.bar.wait i{animation:slide 1.6s ease-in-out infinite;width:30% !important}
@keyframes slide{from{margin-left:-30%}to{margin-left:100%}}
@media (prefers-reduced-motion: reduce){.bar.wait i{animation:none}}
dl{display:grid;grid-template-columns:max-content 1fr max-content 1fr;gap:3px 12px;margin:12px 0 0}
dt{color:color-mix(in srgb,var(--panel-on-surface-color) 72%,transparent)}
dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
dl.wide{grid-template-columns:1fr max-content;margin-top:8px;padding-top:8px;border-top:1px solid color-mix(in srgb,var(--panel-on-surface-color) 10%,transparent)}
dl.wide dd{text-align:right}
.note{margin:10px 0 0;padding:7px 10px;border-radius:6px;background:color-mix(in srgb,var(--n) 12%,transparent);overflow-wrap:anywhere}
.note ul{margin:6px 0 0;padding-left:18px}
.origin{font-size:12px;overflow-wrap:anywhere}
.note.error{--n:#c8342b}.note.warning{--n:#d99a00}
@container (max-width: 330px){dl{grid-template-columns:max-content 1fr}}
"""  # noqa: E501
)

TABLE_CSS = (
    theme.DOT_CSS
    + """
:host{font-size:13px;color:var(--panel-on-surface-color);overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
h3{font-size:13px;font-weight:600;margin:14px 0 6px}
h3:first-child{margin-top:0}
th,td{text-align:left;padding:6px 18px 6px 0;white-space:nowrap;vertical-align:top;border-bottom:1px solid color-mix(in srgb,var(--panel-on-surface-color) 10%,transparent)}
th{font-weight:600;font-size:12px}
td:first-child{color:color-mix(in srgb,var(--panel-on-surface-color) 72%,transparent)}
.num{text-align:right}
p{margin:6px 0;color:color-mix(in srgb,var(--panel-on-surface-color) 72%,transparent)}
"""  # noqa: E501
)


def esc(value: Any) -> str:
    return html.escape(str(value))


def _headline(run: Run, scale: str) -> str:
    energy, error = text.per_site(run, scale)
    if energy is None:
        return f"<div class='big quiet'>{text.NONE}</div>"
    final = "final measurement" if (run.get("result") or {}).get("energy") is not None else "last step"
    unit = "E/N" if scale == "site" else "E"
    return f"<div class='big'>{text.with_error(energy, error)}<span class='unit'>{unit}, {final}</span></div>"


def _against(run: Run, scale: str) -> str:
    reference = run.get("reference") or {}
    energy = text.finite(reference.get("energy"))
    if energy is None:
        return "<div class='line quiet'>No reference energy is known for this system.</div>"
    n = (run.get("n_sites") or 1) if scale == "site" else 1
    sigma = text.finite(reference.get("uncertainty")) or 0.0
    value = text.with_error(energy / n, sigma / n if sigma > 1e-9 else None, 8)
    line = f"<div class='line'>Reference <b>{value}</b> ({esc(reference.get('method', ''))})</div>"
    line += f"<div class='line quiet origin'>{esc(_origin(reference))}</div>"
    words, colour = text.verdict(run)
    rel = text.finite(run.get("relative_error"))
    if rel is not None:
        said = f": {words}" if words else ""
        line += f"<div class='line v-{colour}'>Relative error <b>{text.small(rel, 2)}</b>{said}</div>"
    elif words:
        line += f"<div class='line v-{colour}'>{words[:1].upper()}{words[1:]}</div>"
    return line


def _origin(reference: Mapping[str, Any]) -> str:
    """What kind of number the reference is, how certain, and who found it."""
    bound = str(reference.get("bound"))
    parts = [{"exact": "Exact", "estimate": "Estimate", "upper": "Upper bound"}.get(bound, bound.capitalize())]
    if sigma := text.finite(reference.get("uncertainty")):
        kind = str(reference.get("uncertainty_kind") or "").replace("_", " ")
        parts.append(f"E₀ uncertain by {text.small(sigma)}" + (f" ({kind})" if kind else ""))
    source = str(reference.get("source") or "")
    parts.append("computed here" if source.startswith("computed") else source)
    return " · ".join(filter(None, parts))


def _red_flag(run: Run) -> str:
    """No variational energy lies below the exact one: what it may be, the likeliest first."""
    sigmas = text.below_exact(run)
    if sigmas is None:
        return ""
    result = run.get("result") or {}
    r_hat = text.finite(result.get("r_hat")) or text.finite(run.get("r_hat"))
    mixed = "" if r_hat is None else f" Split R̂ is {text.plain(r_hat, 4)}" + (", above 1.01." if r_hat > 1.01 else ".")
    return (
        f"<div class='note error'><b>{sigmas:.1f} σ below the exact energy.</b> "
        "A variational energy cannot be lower, so the sampling or the comparison is at fault:<ul>"
        f"<li>Chains that have not mixed: more sweeps per draw, a longer warm-up, or exact sampling.{mixed}</li>"
        "<li>Rare configurations of large weight are missed: more samples. A large variance hints at it.</li>"
        "<li>The error is underestimated because draws are correlated: see τ and the effective samples.</li></ul></div>"
    )


def phase_words(run: Run) -> str:
    """What the run does now, in words."""
    state, phase = run.get("state"), run.get("phase")
    if state == "queued":
        return "waiting for a free slot"
    if state == "starting":
        return "starting"
    if state == "running" and phase == "compiling":
        return "compiling the model"
    if state == "running" and phase == "measure":
        return "final measurement on fresh samples"
    return {"running": "training"}.get(str(state), str(state))


def _progress(run: Run) -> str:
    step, n_steps = run.get("step") or 0, run.get("n_steps") or 1
    words = [f"step {text.count(step)} of {text.count(n_steps)}"]
    training = run.get("state") == "running" and run.get("phase") not in ("compiling", "measure")
    if training:
        words.append(f"{text.count(max(0, n_steps - step))} left")
    if text.finite(run.get("step_seconds")) is not None:
        words.append(f"{text.step_time(run.get('step_seconds'))} per step")
    if training and text.finite(run.get("eta_seconds")) is not None:
        words.append(f"done in {text.duration(run.get('eta_seconds'))}")
    waiting = run.get("state") in ("queued", "starting") or run.get("phase") in ("compiling", "measure")
    bar = (
        f"<div class='bar{' wait' if waiting else ''}'><i style='width:{100 * min(1, step / n_steps):.1f}%'></i></div>"
    )
    return (
        f"{bar}<div class='line'><b>{esc(phase_words(run))}</b><span class='quiet'> · {' · '.join(words)}</span></div>"
    )


def _numbers(run: Run) -> str:
    result = run.get("result") or {}

    def pick(key: str) -> Any:
        return result.get(key) if result.get(key) is not None else run.get(key)

    began, ended = run.get("started"), run.get("ended")
    seconds = result.get("seconds") or ((ended or time.time()) - began if began else None)
    samples = result.get("n_samples_final") or run.get("n_samples")
    rows = [
        ("Variance", text.small(pick("variance"), 2)),
        ("V-score", text.small(pick("v_score"), 2)),
        ("Acceptance", text.plain(pick("acceptance"), 3)),
        ("Split R̂", text.plain(pick("r_hat"), 4)),
        ("τ (draws)", text.plain(pick("tau"), 3)),
        ("ESS/samples", text.plain(pick("ess"), 3)),
        ("JSD (bit)", text.small(pick("jsd"), 2)),
        ("Samples", text.count(samples)),
        ("Runtime", text.duration(seconds)),
        ("Device", esc(run.get("device") or text.NONE)),
    ]
    if (run.get("attempt") or 1) > 1:
        rows.append(("Attempt", text.count(run.get("attempt"))))
    return (
        "<dl>"
        + "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in rows if v != text.NONE)
        + "</dl>"
        + _observables(result)
    )


def _observables(result: Mapping[str, Any]) -> str:
    """The final measurement's numbers with their error bars; curves belong into a plot."""
    found = result.get("observables") or {}
    rows = [
        f"<dt>{esc(name.replace('_', ' ').capitalize())}</dt>"
        f"<dd>{text.with_error(value['mean'], value.get('error'))}</dd>"
        for name, value in found.items()
        if isinstance(value, Mapping) and text.finite(value.get("mean")) is not None
    ]
    return f"<dl class='wide'>{''.join(rows)}</dl>" if rows else ""


def summary(run: Run, scale: str = "site", warnings: Sequence[str] = ()) -> str:
    """Energy, reference, progress and diagnostics of one run."""
    config = run.get("config") or {}
    parts = [text.component(config, f) for f in ("ansatz", "sampler", "optimizer")]
    what = f"<div class='line quiet'>{esc(text.model(config))} · {esc(' · '.join(parts))}</div>"
    notes = "".join(f"<div class='note warning'>{esc(w)}</div>" for w in warnings)
    if run.get("error"):
        notes += f"<div class='note error'>{esc(run.get('error'))}</div>"
    head = what + _headline(run, scale) + _against(run, scale)
    return head + _red_flag(run) + _progress(run) + notes + _numbers(run)


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of a nested configuration by dotted path; `params` goes without saying."""
    if not isinstance(config, Mapping):
        return {prefix: config}
    out: dict[str, Any] = {}
    for key, value in config.items():
        out.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return out


def differences(runs: Sequence[Run]) -> list[tuple[str, list[Any]]]:
    """The paths whose values differ between the runs; a missing value is None. The name is no part of it."""
    flat = [{k.replace(".params", ""): v for k, v in flatten(r.get("config") or {}).items()} for r in runs]
    paths = list(dict.fromkeys(p for f in flat for p in f if p != "name"))
    table = [(p, [f.get(p) for f in flat]) for p in paths]
    return [(p, values) for p, values in table if any(v != values[0] for v in values[1:])]


def _cell(value: Any) -> str:
    if value is None:
        return text.NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(v) for v in value)
    return esc(f"{value:g}" if isinstance(value, float) else value)


def _head(runs: Sequence[Run], slots: Mapping[str, int]) -> str:
    names = "".join(
        f"<th><i class='dot c{slots.get(r['id'], 0) % 8}'></i>{esc(r.get('name') or r['id'][:8])}</th>" for r in runs
    )
    return f"<tr><th></th>{names}</tr>"


def comparison(runs: Sequence[Run], slots: Mapping[str, int], scale: str = "site") -> str:
    """What differs between the configurations of the selected runs, and what came out."""
    if not runs:
        return "<p>Tick runs in the table to compare them.</p>"
    head = _head(runs, slots)
    unit = "per site" if scale == "site" else "total"
    lines: list[tuple[str, list[str]]] = [
        (f"Energy {unit}", [text.with_error(*text.per_site(r, scale)) for r in runs]),
        ("Relative error", [text.small(r.get("relative_error"), 2) for r in runs]),
        ("Variance", [text.small(r.get("variance"), 2) for r in runs]),
        ("V-score", [text.small(r.get("v_score"), 2) for r in runs]),
        ("Acceptance", [text.plain(r.get("acceptance"), 3) for r in runs]),
        ("Split R̂", [text.plain(r.get("r_hat"), 4) for r in runs]),
        ("Steps", [f"{text.count(r.get('step'))} of {text.count(r.get('n_steps'))}" for r in runs]),
        ("State", [esc(phase_words(r)) for r in runs]),
    ]
    body = "".join(f"<tr><td>{k}</td>{''.join(f'<td>{v}</td>' for v in vs)}</tr>" for k, vs in lines)
    out = f"<h3>Results</h3><table>{head}{body}</table><h3>Differences in the configuration</h3>"
    if len(runs) < 2:
        return f"{out}<p>Select a second run to see what differs.</p>"
    diff = differences(runs)
    if not diff:
        return f"{out}<p>The configurations are equal.</p>"
    cells = "".join(f"<tr><td>{esc(p)}</td>{''.join(f'<td>{_cell(v)}</td>' for v in vs)}</tr>" for p, vs in diff)
    return f"{out}<table>{head}{cells}</table>"
