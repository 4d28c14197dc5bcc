"""DMRG energies against what vanishes with the bond dimension, and the fits through them, as Plotly figures."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from frontend.figures import text
from frontend.theme import CURVES

POINTS = CURVES[0]
FIT_COLOURS = {"power": CURVES[1], "variance": CURVES[2], "truncation": CURVES[3]}
FIT_NAMES = {"power": "a + b (χ + c)ᵈ", "variance": "linear fit", "truncation": "linear fit"}
REFUSED = "#8a939e"
BAND = "rgba(213,94,0,0.16)"
N_CURVE = 81
LAST = 3  # points that are in sight near the limit
X_TITLES = {
    "inverse": "1/χ",
    "truncation": "Discarded weight",
    "variance": "Variance of H, total (in its unit squared)",
}
FIT_OF = {"inverse": "power", "truncation": "truncation", "variance": "variance"}
FIELDS = {"truncation": "truncation_error", "variance": "variance"}

Series = Mapping[str, Any]


def abscissa(series: Series, axis: str) -> list[float | None]:
    """1/χ, or the truncation error or variance of each point."""
    if axis == "inverse":
        return [1.0 / point["chi"] for point in series["points"]]
    return [text.finite(point.get(FIELDS[axis])) for point in series["points"]]


def fit_of(series: Series, axis: str) -> Mapping[str, Any] | None:
    """The fit that belongs to an axis, if it has a curve."""
    found = next((fit for fit in series.get("fits") or [] if fit["kind"] == FIT_OF[axis]), None)
    return found if found and found.get("a") is not None and found.get("b") is not None else None


def curve(fit: Mapping[str, Any], axis: str) -> Callable[[float], float]:
    """The fitted energy at an abscissa; at 0 it is the limit."""
    a, b = float(fit["a"]), float(fit["b"])
    if axis != "inverse":
        return lambda x: a + b * x
    c, d = float(fit["c"]), float(fit["d"])
    return lambda x: a if x <= 0 else a + b * (1 / x + c) ** d


def grid(low: float, high: float, log: bool) -> list[float]:
    """Abscissas of a smooth curve."""
    if log:
        step = (math.log(high) - math.log(low)) / (N_CURVE - 1)
        return [low * math.exp(step * i) for i in range(N_CURVE)]
    return [high * i / (N_CURVE - 1) for i in range(N_CURVE)]


def figure(
    series: Series,
    axis: str,
    *,
    times: float,
    unit: str,
    log: bool = False,
    near: bool = False,
    exact: float | None = None,
) -> dict[str, Any]:
    """Energy against `axis`: inverse (of χ), truncation or variance.

    Args:
        series: as the API returns it.
        axis: what is drawn to the right.
        times: turns the totals into the shown unit.
        unit: of the vertical axis, in words.
        log: is the horizontal axis logarithmic?
        near: is only the neighbourhood of the limit shown, as far as the last three points reach?
        exact: a known exact total, drawn as a line.
    """
    pairs = [
        (x, point["energy"] * times, point)
        for x, point in zip(abscissa(series, axis), series["points"], strict=True)
        if x is not None and (x > 0 or not log)
    ]
    if not pairs:
        return {}
    xs = [x for x, _, _ in pairs]
    data = [_points(pairs, axis)]
    positive = [x for x in xs if x > 0]
    if (fit := fit_of(series, axis)) is not None and positive:
        far = 1.05 * max(xs if not near else xs[-LAST:])
        at = grid(min(positive) / 3, far, log) if log else grid(0, far, log)
        data.insert(0, _fit(fit, axis, at, times))
    shapes, annotations, levels = _guides(series, times, exact)
    in_sight = pairs[-LAST:] if near else pairs
    layout = {
        "xaxis": {"title": {"text": X_TITLES[axis]}, "type": "log" if log else "linear"},
        "yaxis": {"title": {"text": unit}, "hoverformat": ".8f", "exponentformat": "none"},
        "shapes": shapes,
        "annotations": annotations,
    }
    _ranges(layout, [x for x, _, _ in in_sight], [y for _, y, _ in in_sight] + levels, log, near)
    return {"data": data, "layout": layout, "words": _words(pairs, axis, unit)}


def _ranges(layout: dict[str, Any], xs: Sequence[float], ys: Sequence[float], log: bool, near: bool) -> None:
    """The limit at 0 is in sight, and so are the lines that Plotly would leave out."""
    low, high = min(ys), max(ys)
    room = 0.08 * (high - low) or 1e-9
    if near:
        layout["yaxis"]["range"] = [low - room, high + room]
    else:
        layout["yaxis"]["autorangeoptions"] = {"include": [low - room, high + room]}
    right = max(xs) or 1.0
    if log and near:
        positive = [x for x in xs if x > 0] or [right]
        layout["xaxis"]["range"] = [math.log10(min(positive) / 2), math.log10(1.3 * right)]
    elif not log:
        layout["xaxis"]["range"] = [-0.02 * right, 1.06 * right]


def _points(pairs: Sequence[tuple[float, float, Mapping[str, Any]]], axis: str) -> dict[str, Any]:
    said = [
        f"χ = {p['chi']}<br>{text.minus(f'{y:.9f}')}<br>{X_TITLES[axis].split(',')[0]} {text.small(x, 2)}"
        + ("<br>not converged in sweeps" if p.get("converged") is False else "")
        for x, y, p in pairs
    ]
    open_marks = ["circle-open" if p.get("converged") is False else "circle" for _, _, p in pairs]
    return {
        "type": "scatter", "mode": "markers", "name": "DMRG", "x": [x for x, _, _ in pairs],
        "y": [y for _, y, _ in pairs], "text": said, "hoverinfo": "text",
        "marker": {"color": POINTS, "size": 9, "symbol": open_marks, "line": {"color": POINTS, "width": 2}},
    }  # fmt: skip


def _fit(fit: Mapping[str, Any], axis: str, at: Sequence[float], times: float) -> dict[str, Any]:
    value, kind = curve(fit, axis), str(fit["kind"])
    good = bool(fit.get("accepted"))
    return {
        "type": "scatter", "mode": "lines", "x": list(at), "y": [value(x) * times for x in at], "hoverinfo": "skip",
        "name": f"{FIT_NAMES[kind]}{'' if good else ', refused'}",
        "line": {"color": FIT_COLOURS[kind] if good else REFUSED, "width": 2, "dash": "solid" if good else "dash"},
    }  # fmt: skip


def _guides(series: Series, times: float, exact: float | None) -> tuple[list[Any], list[Any], list[float]]:
    """The band of the extrapolated value and the line of the exact one; and the heights they need."""
    shapes: list[Any] = []
    annotations: list[Any] = []
    levels: list[float] = []
    value, half = text.finite(series.get("energy")), text.finite(series.get("uncertainty"))
    if value is not None and half is not None:
        low, high = sorted(((value - half) * times, (value + half) * times))
        line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value * times, "y1": value * times}
        shapes += [
            {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": low, "y1": high, "fillcolor": BAND,
             "line": {"width": 0}, "layer": "below"},
            {**line, "line": {"color": CURVES[1], "width": 1.2, "dash": "dash"}},
        ]  # fmt: skip
        annotations.append(_label(value * times, f"extrapolated {text.with_error(value * times, half * times)}", "top"))
        levels += [low, high]
    if exact is not None:
        y = exact * times
        shapes.append(
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": {"color": "text", "width": 1}}
        )
        annotations.append(_label(y, f"exact {text.minus(f'{y:.7f}')}", "bottom"))
        levels.append(y)
    return shapes, annotations, levels


def _label(y: float, words: str, side: str) -> dict[str, Any]:
    return {
        "xref": "paper", "x": 1, "xanchor": "right", "y": y, "yanchor": side, "text": words, "showarrow": False,
        "font": {"size": 12, "color": "text"},
    }  # fmt: skip


def _words(pairs: Sequence[tuple[float, float, Mapping[str, Any]]], axis: str, unit: str) -> str:
    said = "; ".join(f"{y:.7g} at χ = {point['chi']}" for _, y, point in pairs)
    return f"{unit} against {X_TITLES[axis]}. {said}."
