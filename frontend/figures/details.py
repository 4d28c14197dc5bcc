"""One run in detail, as HTML."""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frontend import theme
from frontend.client import Run
from frontend.figures import judgement, text
from frontend.figures.measured import measured, observables, source
from nqs_core.events import real

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
dl{display:grid;grid-template-columns:repeat(4,auto);gap:3px 12px;margin:12px 0 0}
dt{color:color-mix(in srgb,var(--panel-on-surface-color) 72%,transparent)}
dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:break-word}
dl.wide{grid-template-columns:1fr max-content;margin-top:8px;padding-top:8px;border-top:1px solid color-mix(in srgb,var(--panel-on-surface-color) 10%,transparent)}
dl.wide dd{text-align:right}
dl.wide dd.all{grid-column:1/-1;text-align:left}
h4{font-size:13px;font-weight:600;margin:12px 0 0}
summary{cursor:pointer}
.note{margin:10px 0 0;padding:7px 10px;border-radius:6px;background:color-mix(in srgb,var(--n) 12%,transparent);overflow-wrap:anywhere}
.note ul{margin:6px 0 0;padding-left:18px}
.origin{font-size:12px;overflow-wrap:anywhere}
.line a{color:var(--panel-primary-color)}
.note.error{--n:#c8342b}.note.warning{--n:#d99a00}
@container (max-width: 330px){dl{grid-template-columns:max-content 1fr}}
"""  # noqa: E501
)

TABLE_CSS = (
    theme.CHIP_CSS
    + theme.DOT_CSS
    + """
:host{font-size:13px;color:var(--panel-on-surface-color);overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
h3{font-size:13px;font-weight:600;margin:14px 0 6px}
h3:first-child{margin-top:0}
th,td{text-align:left;padding:6px 18px 6px 0;white-space:nowrap;vertical-align:top;border-bottom:1px solid color-mix(in srgb,var(--panel-on-surface-color) 10%,transparent)}
th{font-weight:600;font-size:12px}
td:first-child{color:color-mix(in srgb,var(--panel-on-surface-color) 72%,transparent)}
.num{text-align:right}
.why{margin-top:4px;max-width:280px;white-space:normal}
p{margin:6px 0;color:color-mix(in srgb,var(--panel-on-surface-color) 72%,transparent)}
"""  # noqa: E501
)


def esc(value: Any) -> str:
    return html.escape(str(value))


def _headline(run: Run, scale: str) -> str:
    energy, error = text.per_site(run, scale)
    if energy is None:
        return f"<div class='big quiet'>{text.NONE}</div>"
    unit = f"{text.energy_unit(scale)}, {source(run)}"
    return f"<div class='big'>{text.with_error(energy, error)}<span class='unit'>{unit}</span></div>"


def _against(run: Run, scale: str, nearest: str) -> str:
    reference = run.get("reference") or {}
    energy = text.finite(reference.get("energy"))
    if energy is None:
        return f"<div class='line quiet'>{nearest or 'No reference energy is known for this system.'}</div>"
    n = (run.get("n_sites") or 1) if scale == "site" else 1
    sigma = text.finite(reference.get("uncertainty")) or 0.0
    value = text.with_error(energy / n, sigma / n if sigma > 1e-9 else None, 8)
    sign = "≤ " if reference.get("bound") == "upper" else ""
    unit, method = text.energy_unit(scale), esc(reference.get("method", ""))
    line = f"<div class='line'>Reference <b>{sign}{value}</b> {unit} ({method})</div>"
    line += f"<div class='line quiet origin'>{esc(_origin(reference))}</div>"
    words, colour = text.verdict(run)
    if words and not text.flagged(run):  # a flag has a note of its own
        line += f"<div class='line v-{colour}'>{esc(words[:1].upper() + words[1:])}</div>"
    return line


def _origin(reference: Mapping[str, Any]) -> str:
    """How certain the reference is, and who found it."""
    source, sentence = str(reference.get("source") or ""), text.signed(str(reference.get("sentence") or ""))
    origin = "computed here" if source.startswith("computed") else source
    return " · ".join(filter(None, (sentence[:1].upper() + sentence[1:], origin)))


def nearest(answer: Mapping[str, Any], n_sites: int, scale: str) -> str:
    """What is known near a system without a reference: the same at other couplings, and rigorous bounds."""
    n, name = (n_sites or 1, "E/N") if scale == "site" else (1, "E")
    unit = text.energy_unit(scale)
    parts = []  # the table's energies are in units of the leading coupling
    for near in (answer.get("nearest") or [])[:2]:
        row = near.get("row") or {}
        per_site = text.finite(row.get("energy_per_site"))
        if per_site is None:
            continue
        times = 1 if scale == "site" else n_sites
        value = text.minus(f"{per_site * times:.6g}")
        where = f"{near['coupling']} = {text.plain(near['value'])}"
        parts.append(f"{value} {unit} at {where} ({row.get('method', '')})")
    words = "No reference" + (f"; nearest: {'; '.join(parts)}" if parts else " is known for this system")
    if between := answer.get("bracket"):
        low, high = text.finite(between.get("lower")), text.finite(between.get("upper"))
        if low is not None and high is not None:
            words += f"; {name} between {_bound(low / n, math.floor)} and {_bound(high / n, math.ceil)} {unit}"
        elif low is not None:
            words += f"; {name} ≥ {_bound(low / n, math.floor)} {unit}"
    return esc(words + ".")


def _bound(value: float, outwards: Callable[[float], int]) -> str:
    """Six decimals, rounded so that a bound stays one."""
    return text.minus(f"{outwards(value * 1e6) / 1e6:.6f}")


def _red_flag(run: Run) -> str:
    """No variational energy lies below the exact one: what it may be, the likeliest first."""
    if not text.flagged(run):
        return ""
    words, reference = text.verdict(run)[0].partition(":")[0], run.get("reference") or {}
    result = text.final(run)
    r_hat = real((result or run).get("r_hat"))
    mixed = "" if r_hat is None else f" R̂ is {text.plain(r_hat, 4)}" + (", above 1.01." if r_hat > 1.01 else ".")
    estimate = "" if reference.get("bound") == "exact" else "<li>The reference is an estimate and may be too high.</li>"
    return (
        f"<div class='note error'><b>{esc(words[:1].upper() + words[1:])}.</b> "
        "A variational energy cannot be lower than the exact one. Likely causes:<ul>"
        f"<li>Chains that have not mixed: more sweeps per draw, a longer warm-up, or exact sampling.{mixed}</li>"
        "<li>Rare configurations of large weight are missed: more samples. A large variance hints at it.</li>"
        "<li>The error is underestimated because draws are correlated: see τ and the effective samples.</li>"
        f"<li>The reference is of another sector or system.</li>{estimate}</ul></div>"
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


def _numbers(run: Run, scale: str, more: "More") -> str:
    result = text.final(run)

    def pick(key: str) -> Any:
        """Of the final measurement alone where there is one."""
        return result.get(key) if "energy" in result else run.get(key)

    samples = result.get("n_samples_final") or run.get("n_samples")
    variance = text.variance(pick("variance"), run.get("n_sites"), scale)
    per = "/site" if scale == "site" else ""
    rows = [
        ("Variance", variance if variance in (text.NONE, text.UNDEFINED) else f"{variance} J²{per}"),
        ("V-score", text.small(pick("v_score"))),
        ("Acceptance", text.plain(pick("acceptance"), 3)),
        ("R̂", text.plain(pick("r_hat"), 4)),
        ("Nested R̂", text.plain(result.get("r_hat_nested"), 4)),
        ("τ (draws)", text.plain(pick("tau"), 3)),
        ("ESS/samples", text.plain(pick("ess"), 3)),
        ("Infidelity", text.small(result.get("infidelity") if "energy" in result else more.infidelity)),
        ("Samples vs own |ψ|², JSD", text.small(run.get("jsd"))),
        ("JSD floor", text.small(more.floor)),
        ("Samples", text.count(samples)),
        ("Runtime", text.duration(run.get("runtime_seconds"))),
        ("Training", text.duration(run.get("train_seconds"))),
        ("Compiling", text.duration(run.get("compile_seconds"))),
        ("Measuring", text.duration(run.get("measure_seconds"))),
        ("Device", esc(run.get("device") or text.NONE)),
    ]
    if (run.get("attempt") or 1) > 1:
        rows.append(("Attempt", text.count(run.get("attempt"))))
    return (
        "<dl>" + "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in rows if v != text.NONE) + "</dl>" + observables(result)
    )


@dataclass(frozen=True)
class More:
    """What the list of runs does not say of a run, such as HTML on what is known of its system.

    `floor` is that of its JSD, `infidelity` the newest of its training.
    `origin` is the run whose parameters it began with, where that is still there.
    """

    warnings: Sequence[str] = ()
    floor: float | None = None
    infidelity: float | None = None
    nearest: str = ""
    origin: Run | None = None


def _start(given: Mapping[str, Any] | None, origin: Run | None) -> str:
    """Parameters from which run, as a link, and from which step of it; or from which file."""
    if not given:
        return ""
    if given.get("file"):
        digest = f" (sha256 {esc(str(given['sha256'])[:12])}…)" if given.get("sha256") else ""
        return f"<div class='line quiet'>Parameters from the weights {esc(str(given['file']))}{digest}</div>"
    ident, step = str(given.get("run") or ""), given.get("step")
    name = esc((origin or {}).get("name") or ident[:8])
    if origin is not None:
        name = f"<a href='/?runs={esc(ident)}&amp;run={esc(ident)}' target='_self'>{name}</a>"
    at = "" if step is None else f" at step {text.count(step)}"
    return f"<div class='line quiet'>Parameters from {name}{at}</div>"


def summary(run: Run, scale: str = "site", more: More | None = None) -> str:
    """Energy, reference, progress, diagnostics and measurements of one run."""
    config, more = run.get("config") or {}, more or More()
    parts = [text.component(config, f) for f in ("ansatz", "sampler", "optimizer")]
    what = f"<div class='line quiet'>{esc(text.model(config))} · {esc(' · '.join(parts))}</div>"
    said = judgement.texts(run)
    notes = "".join(f"<div class='note warning'>{esc(w)}</div>" for w in more.warnings if w not in said)
    if run.get("error") and run.get("error") not in said:
        notes += f"<div class='note error'>{esc(run.get('error'))}</div>"
    what += _start(config.get("init_from"), more.origin)
    head = what + _headline(run, scale) + _against(run, scale, more.nearest)
    head += judgement.note(run) + _red_flag(run) + _progress(run) + notes
    return head + _numbers(run, scale, more) + measured(run, scale)
