"""Structure factors over the Brillouin zone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from frontend.figures import text
from frontend.figures.geometry import MomentumGrid, in_zone, reciprocal
from frontend.figures.plotting import bars, colour_bar, rounded

if TYPE_CHECKING:
    from frontend.figures.observables import Quantity

PIXELS = 110  # of the map along its longer side
ACCENT = "#0072B2"
Figure = dict[str, Any]


def structure(q: Quantity, drawing: Mapping[str, Any]) -> Figure:
    """S(q): a curve for a chain, a map of the zone in two dimensions, against |q| in three; empty without an axis."""
    if q.axis is None:
        return {}
    momenta = q.axis.reshape(len(q.mean), -1)
    if momenta.shape[1] == 1:
        return _along_line(q, momenta[:, 0], drawing)
    vectors = reciprocal(drawing)
    if momenta.shape[1] != 2 or vectors is None or vectors.shape != (2, 2):
        return _against_length(q, momenta)
    return _over_zone(q, momenta, vectors, drawing)


def _value(q: Quantity, i: int) -> str:
    return text.with_error(q.mean[i], None if q.error is None else q.error[i])


def _curve(q: Quantity, x: np.ndarray, order: np.ndarray, mode: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": mode, "x": rounded(x[order]), "y": rounded(q.mean[order]), "showlegend": False,
        "error_y": bars(None if q.error is None else q.error[order], ACCENT),
        "line": {"color": ACCENT, "width": 1.5}, "marker": {"color": ACCENT, "size": 6},
        "text": [_value(q, int(i)) for i in order],
        "hovertemplate": "q = %{x:.4~g}: %{text}<extra></extra>",
    }  # fmt: skip


def _along_line(q: Quantity, x: np.ndarray, drawing: Mapping[str, Any]) -> Figure:
    """A chain: from -π to π, with the border of the zone on both sides."""
    edge = np.flatnonzero(np.isclose(np.abs(x), np.pi))
    order = np.argsort(x)
    places = x.copy()
    if edge.size == 1:  # -π and π are the same momentum
        order = np.concatenate([edge, order[order != edge[0]], edge])
    trace = _curve(q, places, order, "lines+markers")
    if edge.size == 1:
        trace["x"][0], trace["x"][-1] = -math.pi, math.pi
    ticks = {-math.pi: "−π", -math.pi / 2: "−π/2", 0.0: "0", math.pi / 2: "π/2", math.pi: "π"}
    for name, place in (drawing.get("points") or {}).items():
        for sign in (-1, 1):
            at = next((t for t in ticks if math.isclose(t, sign * place[0], abs_tol=1e-9)), None)
            if at is not None and not ticks[at].endswith(name):
                ticks[at] = f"{ticks[at]}<br>{name}"
    layout = {
        "xaxis": {"title": {"text": "q (1/a)"}, "tickvals": list(ticks), "ticktext": list(ticks.values())},
        "yaxis": {"title": {"text": "S(q)"}, "rangemode": "tozero"},
    }
    return {"data": [trace], "layout": layout, "words": f"{q.title} along the chain; {_peak(q, x[:, None])}"}


def _against_length(q: Quantity, momenta: np.ndarray) -> Figure:
    length = np.linalg.norm(momenta, axis=1)
    layout = {
        "xaxis": {"title": {"text": "|q| (1/a)"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "S(q)"}, "rangemode": "tozero"},
    }
    trace = _curve(q, length, np.argsort(length), "markers")
    trace["text"] = [f"{_value(q, int(i))} at q = {_vector(momenta[i])}" for i in np.argsort(length)]
    trace["hovertemplate"] = "%{text}<extra></extra>"
    return {"data": [trace], "layout": layout, "words": f"{q.title}; {_peak(q, momenta)}"}


def _over_zone(q: Quantity, momenta: np.ndarray, vectors: np.ndarray, drawing: Mapping[str, Any]) -> Figure:
    """Each momentum of the finite lattice as the area that is nearer to it than to any other; nothing is smoothed."""
    traces = []
    grid = MomentumGrid(vectors, np.array(drawing["extent"]), momenta)
    outline = np.array(drawing.get("zone") or _corners(momenta), float)
    low, high = outline.min(axis=0), outline.max(axis=0)
    if not grid.repeats:
        low, high = np.minimum(low, -np.abs(momenta).max(axis=0)), np.maximum(high, np.abs(momenta).max(axis=0))
    scale = colour_bar("")
    if grid.complete:
        traces.append(_raster(q, grid, vectors, low, high) | {"colorbar": scale})
    dots = {
        "type": "scatter", "mode": "markers", "x": rounded(momenta[:, 0]), "y": rounded(momenta[:, 1]),
        "text": [f"S = {_value(q, i)}<br>q = {_vector(m)}" for i, m in enumerate(momenta)],
        "hovertemplate": "%{text}<extra></extra>", "showlegend": False,
        "marker": {"size": 5, "color": "rgba(255,255,255,0.75)", "line": {"color": "rgba(0,0,0,0.55)", "width": 1}},
    }  # fmt: skip
    if not grid.complete:
        shown = {"color": rounded(q.mean), "colorscale": "Viridis", "size": 14, "showscale": True, "colorbar": scale}
        dots["marker"] = shown
    ring = np.vstack([outline, outline[:1]])
    border = {
        "type": "scatter", "mode": "lines", "x": rounded(ring[:, 0]), "y": rounded(ring[:, 1]), "hoverinfo": "skip",
        "line": {"color": "text", "width": 1.2}, "showlegend": False,
    }  # fmt: skip
    pad = 0.09 * float(np.max(high - low))
    axis: dict[str, Any] = {"constrain": "domain", "showgrid": False, "zeroline": False}
    layout = {
        "xaxis": {**axis, "title": {"text": "q_x (1/a)"}, "range": [low[0] - pad, high[0] + pad]},
        "yaxis": {**axis, "title": {"text": "q_y (1/a)"}, "range": [low[1] - pad, high[1] + pad], "scaleanchor": "x"},
        "annotations": [_name(name, at) for name, at in (drawing.get("points") or {}).items()],
    }
    return {"data": [*traces, border, dots], "layout": layout, "words": f"{q.title}; {_peak(q, momenta)}"}


def _raster(q: Quantity, grid: MomentumGrid, vectors: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
    size = float(np.max(high - low))
    n = np.maximum(2, np.ceil(PIXELS * (high - low) / size)).astype(int)
    x, y = (np.linspace(low[a], high[a], n[a]) for a in (0, 1))
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    found = grid.nearest(points)
    values = np.where((found >= 0) & (in_zone(points, vectors) | (not grid.repeats)), q.mean[found], np.nan)
    return {
        "type": "heatmap", "x": rounded(x), "y": rounded(y), "z": [rounded(row) for row in values.reshape(n[1], n[0])],
        "colorscale": "Viridis", "hoverinfo": "skip",
        "zmin": float(np.nanmin(q.mean)), "zmax": float(np.nanmax(q.mean)),
    }  # fmt: skip


def _corners(momenta: np.ndarray) -> list[list[float]]:
    (x0, y0), (x1, y1) = momenta.min(axis=0), momenta.max(axis=0)
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def _name(name: str, at: list[float]) -> dict[str, Any]:
    return {
        "x": at[0], "y": at[1], "text": f"<b>{name}</b>", "showarrow": False, "xshift": 11, "yshift": 9,
        "font": {"size": 12, "color": "text"}, "bgcolor": "background", "borderpad": 1, "opacity": 0.85,
    }  # fmt: skip


def _vector(momentum: np.ndarray) -> str:
    return text.minus("(" + ", ".join(f"{m / math.pi:.3g}" for m in momentum) + ") π")


def _peak(q: Quantity, momenta: np.ndarray) -> str:
    i = int(np.nanargmax(q.mean))
    return f"largest at q = {_vector(momenta[i])}: {_value(q, i)}"
