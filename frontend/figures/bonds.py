"""Values of bonds on the lattice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from frontend.figures import text
from frontend.figures.geometry import around, periods, wrapped
from frontend.figures.plotting import bars, colour_bar, rounded

if TYPE_CHECKING:
    from frontend.figures.observables import Quantity

# From blue over green to orange: in sight on a white and on a dark page.
STOPS = ((0x00, 0x72, 0xB2), (0x00, 0x9E, 0x73), (0xE6, 0x9F, 0x00))
SCALE = [[i / 2, f"#{r:02x}{g:02x}{b:02x}"] for i, (r, g, b) in enumerate(STOPS)]
BINS = 24
STUB = 0.45  # of a bond that goes around a border
ACCENT = "#0072B2"
Figure = dict[str, Any]


def bonds(q: Quantity, drawing: Mapping[str, Any]) -> Figure:
    """Every bond in the colour of its value; on a chain a curve along it. Empty where the lattice has no drawing."""
    sites = np.asarray(drawing.get("sites") or [], float)
    if q.axis is None or not sites.size or q.mean.ndim != 1 or np.max(q.axis) >= len(sites):
        return {}
    if np.ptp(sites[:, 1]) < 1e-9:
        return _along_chain(q)
    ends, labels = _segments(q.axis.astype(int), sites, drawing)
    low, high = float(np.nanmin(q.mean)), float(np.nanmax(q.mean))
    step = np.zeros(len(q.mean)) if high <= low else (q.mean - low) / (high - low)
    traces = _lines(ends, labels, step)
    middle = np.array([ends[labels == k].mean(axis=(0, 1)) if np.sum(labels == k) == 1 else ends[labels == k][0, 1]
                       for k in range(len(q.mean))])  # fmt: skip
    traces.append({
        "type": "scatter", "mode": "markers", "x": rounded(middle[:, 0]), "y": rounded(middle[:, 1]),
        "showlegend": False, "text": [_words(q, k) for k in range(len(q.mean))],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 9,
                "opacity": 0, "color": rounded(q.mean), "colorscale": SCALE, "cmin": low, "cmax": high,
                   "showscale": True, "colorbar": colour_bar("")},
    })  # fmt: skip
    traces.append({
        "type": "scatter", "mode": "markers", "x": rounded(sites[:, 0]), "y": rounded(sites[:, 1]),
        "hoverinfo": "skip", "showlegend": False, "marker": {"size": 6, "color": "text"},
    })  # fmt: skip
    axis: dict[str, Any] = {"visible": False, "constrain": "domain"}
    layout = {"xaxis": axis, "yaxis": {**axis, "scaleanchor": "x"}, "margin": {"l": 14, "r": 10, "t": 12, "b": 12}}
    words = f"{q.title}: {len(q.mean)} bonds from {text.plain(low)} to {text.plain(high)}"
    return {"data": traces, "layout": layout, "words": words}


def _words(q: Quantity, k: int) -> str:
    assert q.axis is not None
    i, j = q.axis[k].astype(int)
    return f"sites {i}, {j}: {text.with_error(q.mean[k], None if q.error is None else q.error[k])}"


def _segments(pairs: np.ndarray, sites: np.ndarray, drawing: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Pieces of bonds (n, 2, 2) and the bond that each belongs to; a bond around a border has two."""
    vectors, over = periods(drawing), wrapped(drawing)
    ends, labels = [], []
    for k, (i, j) in enumerate(pairs):
        way = around(sites[i], sites[j], vectors) if (min(i, j), max(i, j)) in over else None
        if way is None:
            ends.append([sites[i], sites[j]])
            labels.append(k)
            continue
        ends += [[sites[i], sites[i] + STUB * way], [sites[j], sites[j] - STUB * way]]
        labels += [k, k]
    return np.array(ends), np.array(labels)


def _lines(ends: np.ndarray, labels: np.ndarray, step: np.ndarray) -> list[dict[str, Any]]:
    """One trace for each of a few colours: one for each bond would be slow."""
    bins = np.minimum(BINS - 1, np.floor(np.nan_to_num(step) * BINS)).astype(int)[labels]
    traces = []
    for b in np.unique(bins):
        points = ends[bins == b]
        gap = np.full((len(points), 1, 2), np.nan)
        chain = np.concatenate([points, gap], axis=1).reshape(-1, 2)
        traces.append({
            "type": "scatter", "mode": "lines", "x": rounded(chain[:, 0]), "y": rounded(chain[:, 1]),
            "hoverinfo": "skip", "showlegend": False, "line": {"color": _colour((b + 0.5) / BINS), "width": 4},
        })  # fmt: skip
    return traces


def _colour(at: float) -> str:
    place = at * (len(STOPS) - 1)
    k = min(int(place), len(STOPS) - 2)
    mixed = [round(a + (place - k) * (b - a)) for a, b in zip(STOPS[k], STOPS[k + 1], strict=True)]
    return "#" + "".join(f"{c:02x}" for c in mixed)


def _along_chain(q: Quantity) -> Figure:
    assert q.axis is not None
    starts = q.axis.min(axis=1)
    around_border = np.ptp(q.axis, axis=1) > np.median(np.ptp(q.axis, axis=1)) + 0.5
    place = np.where(around_border, q.axis.max(axis=1), starts)
    order = np.argsort(place, kind="stable")
    trace = {
        "type": "scatter", "mode": "lines+markers", "x": rounded(place[order]), "y": rounded(q.mean[order]),
        "error_y": bars(None if q.error is None else q.error[order], ACCENT), "showlegend": False,
        "line": {"color": ACCENT, "width": 1.2}, "marker": {"color": ACCENT, "size": 6},
        "text": [_words(q, int(k)) for k in order], "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    layout = {"xaxis": {"title": {"text": "Bond from site i"}}, "yaxis": {"title": {"text": q.title}}}
    return {"data": [trace], "layout": layout, "words": f"{q.title} along the chain"}
