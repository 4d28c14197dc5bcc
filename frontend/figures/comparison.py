"""Several runs side by side, as HTML."""

from collections.abc import Mapping, Sequence
from typing import Any

from frontend.client import Run
from frontend.figures import details, judgement, text


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
    return details.esc(f"{value:g}" if isinstance(value, float) else value)


def _measured(run: Run) -> str:
    samples = text.final(run).get("n_samples_final")
    return "the last step" if samples is None else f"{text.count(samples)} samples"


def _head(runs: Sequence[Run], slots: Mapping[str, int]) -> str:
    names = "".join(
        f"<th><i class='dot c{slots.get(r['id'], 0) % 8}'></i>{details.esc(r.get('name') or r['id'][:8])}</th>"
        for r in runs
    )
    return f"<tr><th></th>{names}</tr>"


def comparison(runs: Sequence[Run], slots: Mapping[str, int], scale: str = "site") -> str:
    """What differs between the configurations of the selected runs, and what came out."""
    if not runs:
        return "<p>Tick runs in the table to compare them.</p>"
    head = _head(runs, slots)
    per = " per site" if scale == "site" else ""
    lines: list[tuple[str, list[str]]] = [
        ("System", [details.esc(text.model(r.get("config") or {})) for r in runs]),
        (f"Energy{per} (J)", [text.with_error(*text.per_site(r, scale)) for r in runs]),
        ("Relative error", [text.error_against(r) for r in runs]),
        (f"Variance{per} (J²)", [text.variance(r.get("variance"), r.get("n_sites"), scale) for r in runs]),
        ("V-score", [text.small(r.get("v_score")) for r in runs]),
        ("Acceptance", [text.plain(r.get("acceptance"), 3) for r in runs]),
        ("R̂", [text.plain(r.get("r_hat"), 4) for r in runs]),
        ("Infidelity", [text.small(text.final(r).get("infidelity")) for r in runs]),
        ("Measured by", [_measured(r) for r in runs]),
        ("Training time", [text.duration(r.get("train_seconds")) for r in runs]),
        ("Steps", [f"{text.count(r.get('step'))} of {text.count(r.get('n_steps'))}" for r in runs]),
        ("Judgement", [judgement.cell(r) for r in runs]),
        ("State", [details.esc(details.phase_words(r)) for r in runs]),
    ]
    body = "".join(f"<tr><td>{k}</td>{''.join(f'<td>{v}</td>' for v in vs)}</tr>" for k, vs in lines)
    out = f"<h3>Results</h3><table>{head}{body}</table><h3>Differences in the configuration</h3>"
    if len(runs) < 2:
        return f"{out}<p>Select a second run to see what differs.</p>"
    diff = differences(runs)
    if not diff:
        return f"{out}<p>The configurations are equal.</p>"
    cells = "".join(
        f"<tr><td>{details.esc(p)}</td>{''.join(f'<td>{_cell(v)}</td>' for v in vs)}</tr>" for p, vs in diff
    )
    return f"{out}<table>{head}{cells}</table>"
