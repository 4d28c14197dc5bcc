"""Energy against variance, and the energy where the variance would be zero."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from frontend import theme
from frontend.client import Run
from frontend.figures import text
from frontend.figures.plotting import bars, rounded

Figure = dict[str, Any]


@dataclass(frozen=True)
class Extrapolated:
    """A run, its colour, and the answer of GET /api/runs/{id}/extrapolation (totals)."""

    run: Run
    slot: int
    answer: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.run.get("name") or self.run["id"][:8]

    @property
    def colour(self) -> str:
        return theme.CURVES[self.slot % len(theme.CURVES)]

    @property
    def system(self) -> Any:
        """What has one ground-state energy."""
        return (self.run.get("system_key"), self.run.get("system_sector")) if self.run.get("system_key") else None

    def size(self, scale: str) -> int:
        """What totals are divided by."""
        return (self.run.get("n_sites") or 1) if scale == "site" else 1


def figure(found: Sequence[Extrapolated], scale: str) -> Figure:
    """Late stretches of the runs as points, fitted lines, energies at zero variance, and the references.

    Only runs of the same system as the first: others would stretch the axes until nothing can be seen.
    """
    traces: list[dict[str, Any]] = []
    found = [one for one in found if one.system == found[0].system]
    for one in found:
        traces += _traces(one, scale)
    per = " per site" if scale == "site" else ""
    lines = {(e / one.size(scale), str(r.get("bound"))): r for one in found if (r := one.run.get("reference") or {})
             and (e := text.finite(r.get("energy"))) is not None}  # fmt: skip
    end = max((x for trace in traces for x in trace["x"]), default=1.0)
    layout = {
        "xaxis": {"title": {"text": f"Variance{per} (J²)"}, "range": [-0.03 * end, 1.04 * end]},
        "yaxis": {"title": {"text": f"Energy{per} (J)"}, "hoverformat": ".6~f"},
        "shapes": [_line(y, bound) for y, bound in lines],
        "annotations": [_label(y, bound, reference) for (y, bound), reference in lines.items()],
        "showlegend": len(found) > 1,
    }
    words = f"Energy against variance. {'; '.join(plain_sentence(one, scale) for one in found)}"
    return {"data": traces, "layout": layout, "words": words} if traces else {}


def _traces(one: Extrapolated, scale: str) -> list[dict[str, Any]]:
    n, answer = one.size(scale), one.answer
    points = np.asarray(answer.get("points") or np.zeros((0, 3)), float) / n
    if not len(points):
        return []
    marks = {
        "type": "scatter", "mode": "markers", "name": one.name, "x": rounded(points[:, 0]), "y": rounded(points[:, 1]),
        "error_y": bars(points[:, 2], one.colour), "marker": {"color": one.colour, "size": 6},
        "text": [text.with_error(y, e) for y, e in points[:, 1:]],
        "hovertemplate": "variance %{x:.3~g}: %{text}<extra></extra>",
    }  # fmt: skip
    energy, slope = text.finite(answer.get("energy")), text.finite(answer.get("slope"))
    if not answer.get("accepted") or energy is None or slope is None:
        return [marks]
    end = float(points[:, 0].max())
    e0, error = energy / n, (text.finite(answer.get("error")) or 0.0) / n
    fit = {
        "type": "scatter", "mode": "lines", "x": [0.0, end], "y": [e0, e0 + slope * end], "showlegend": False,
        "hoverinfo": "skip", "line": {"color": one.colour, "width": 1.5, "dash": "dash"},
    }  # fmt: skip
    limit = {
        "type": "scatter", "mode": "markers", "x": [0.0], "y": [e0], "showlegend": False,
        "error_y": bars(np.array([error]), one.colour),
        "marker": {"color": one.colour, "size": 11, "symbol": "diamond", "line": {"color": "background", "width": 1}},
        "text": [f"zero variance: {text.with_error(e0, error)}"], "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    return [marks, fit, limit]


def _line(y: float, bound: str) -> dict[str, Any]:
    dash = {"exact": "solid", "estimate": "dash", "upper": "dot"}.get(bound, "dash")
    look = {"color": "text", "width": 1.2, "dash": dash}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": look}


def _label(y: float, bound: str, reference: Mapping[str, Any]) -> dict[str, Any]:
    sign = "≤ " if bound == "upper" else ""
    name = "exact" if bound == "exact" else str(reference.get("method") or "reference")
    return {
        "xref": "paper", "x": 1, "y": y, "xanchor": "right", "yanchor": "top", "showarrow": False,
        "text": html.escape(text.minus(f"{name} {sign}{y:.5f}")), "font": {"size": 12, "color": "text"},
    }  # fmt: skip


def plain_sentence(one: Extrapolated, scale: str) -> str:
    """What came out for a run, or why nothing did."""
    answer, n = one.answer, one.size(scale)
    if not answer.get("accepted"):
        reason = str(answer.get("reason") or "there is nothing to fit yet")
        return f"{one.name}: not extrapolated, {reason}"
    energy = text.finite(answer.get("energy")) or 0.0
    error = text.finite(answer.get("error"))
    unit = "E/N" if scale == "site" else "E"
    words = f"{one.name}: {unit} → {text.with_error(energy / n, None if error is None else error / n)} at zero variance"
    return words + f" from {text.count(answer.get('n_points'))} points" + _against(one, energy, error)


def _against(one: Extrapolated, energy: float, error: float | None) -> str:
    reference = one.run.get("reference") or {}
    e0 = text.finite(reference.get("energy"))
    if e0 is None or not error or reference.get("bound") == "upper":
        return ""
    joint = float(np.hypot(error, text.finite(reference.get("uncertainty")) or 0.0))
    side = "above" if energy > e0 else "below"
    return f", {abs(energy - e0) / joint:.1f} σ {side} the reference"


def sentences(found: Sequence[Extrapolated], scale: str) -> str:
    """The same as HTML, with the colours of the runs."""
    return "".join(
        f"<div class='line'><i class='dot c{one.slot % 8}'></i>{html.escape(plain_sentence(one, scale))}.</div>"
        for one in found
    )
