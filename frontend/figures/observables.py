"""Observables as figures: curves against distance, maps of pairs, structure factors, bonds.

Names are open. What no figure here knows by name is drawn by its shape.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from frontend import theme
from frontend.figures import text
from frontend.figures.bonds import bonds
from frontend.figures.momenta import structure
from frontend.figures.plotting import bars, colour_bar, rounded

Array = np.ndarray
Figure = dict[str, Any]
# Blue below, vermilion above, nothing at zero: the page's own surface.
DIVERGING = [[0, "#0072B2"], [0.5, "background"], [1, "#D55E00"]]
DASHES = ("solid", "dash", "dot", "dashdot")
MAX_HOVER = 64  # sites of a map whose every cell tells its error
ORDER = ("correlation", "structure_factor", "correlation_map", "bond_energy")  # what one looks at first


@dataclass(frozen=True)
class Quantity:
    """An observable that is an array: its mean, its standard error, its coordinates, and where it comes from."""

    name: str
    mean: Array
    error: Array | None = None
    axis: Array | None = None
    origin: str = ""

    @property
    def title(self) -> str:
        return text.quantity(self.name)

    @property
    def note(self) -> str:
        """Where it comes from, and what its colours leave out."""
        clipped = "diagonal = 1, clipped" if self.name == "correlation_map" else ""
        unknown = self.error is not None and bool(np.isnan(self.error).all())
        return ", ".join(filter(None, (self.origin, clipped, "errors undefined" if unknown else "")))

    @property
    def kind(self) -> str:
        """curve, map, structure or bonds: by name, else by shape."""
        if self.mean.ndim == 2 and self.mean.shape[0] == self.mean.shape[1]:
            return "map"
        if self.axis is None or self.axis.ndim == 1 or self.axis.shape[1] == 1:
            return "structure" if self.name == "structure_factor" and self.axis is not None else "curve"
        pairs = self.axis.shape[1] == 2 and np.all(self.axis == np.round(self.axis)) and np.all(self.axis >= 0)
        return "bonds" if pairs and self.name != "structure_factor" else "structure"


def quantity(name: str, mean: Any, error: Any = None, axis: Any = None, origin: str = "") -> Quantity | None:
    """An array as the API sends it, "NaN" among its numbers; None for a scalar, and for what is no array of numbers."""
    try:
        values = np.asarray(mean, float)
        sigma = None if error is None else np.asarray(error, float)
        places = None if axis is None else np.asarray(axis, float)
    except (TypeError, ValueError):
        return None
    if values.ndim not in (1, 2) or not values.size:
        return None
    if sigma is not None and sigma.shape != values.shape:
        sigma = None
    if places is not None and len(places) != len(values):
        places = None
    return Quantity(name, values, sigma, places, origin)


def figure(found: Sequence[tuple[str, int, Quantity]], drawing: Mapping[str, Any], *, log: bool = False) -> Figure:
    """The figure of one observable.

    Args:
        found: (name of the run, its colour, what it measured); what is no curve shows the first run only.
        drawing: the lattice of the first run as POST /api/lattice answers; empty where it is not known.
        log: curves on a logarithmic axis.
    """
    if not found:
        return {}
    first = found[0][2]
    made: Figure = {}
    if first.kind == "bonds":
        made = bonds(first, drawing)
    elif first.kind == "structure":
        made = structure(first, drawing)
    elif first.kind == "map":
        made = pair_map(first)
    return made or curve(found, log=log)


def curve(found: Sequence[tuple[str, int, Quantity]], *, log: bool = False) -> Figure:
    """Values against their coordinates, one curve for each run, with error bars.

    On the logarithmic axis open circles are negative values.
    """
    traces, negative = [], False
    for run, slot, q in found:
        x = np.arange(len(q.mean)) if q.axis is None else q.axis.reshape(len(q.mean), -1)[:, 0]
        colour = theme.CURVES[slot % len(theme.CURVES)]
        below = q.mean < 0
        negative |= bool(below.any())
        traces.append({
            "type": "scatter", "mode": "lines+markers", "name": run, "x": x.tolist(),
            "y": rounded(np.abs(q.mean) if log else q.mean),
            "error_y": bars(q.error, colour),
            "line": {"color": colour, "width": 1.5, "dash": DASHES[slot // len(theme.CURVES) % len(DASHES)]},
            "marker": {
                "color": colour, "size": 6,
                "symbol": ["circle-open" if b else "circle" for b in below] if log else "circle",
            },
            "hovertemplate": "%{x:.4~g}: %{text}<extra></extra>",
            "text": [text.with_error(m, e) for m, e in pairs(q)],
        })  # fmt: skip
    q = found[0][2]
    name, along = q.title, {"correlation": "Distance r (a)"}.get(q.name, "Index" if q.axis is None else "Coordinate")
    symbol = name.split()[-1] if name.endswith(")") else name
    label = f"|{symbol}|" + (", open: negative" if negative else "") if log else symbol
    layout = {
        "xaxis": {"title": {"text": along}},
        "yaxis": {"title": {"text": label}, "type": "log" if log else "linear", "zeroline": not log,
                  "zerolinecolor": "text", "zerolinewidth": 0.5},
        "showlegend": len(found) > 1,
    }  # fmt: skip
    return {"data": traces, "layout": layout, "words": f"{name} of {', '.join(run for run, _, _ in found)}"}


def pair_map(q: Quantity) -> Figure:
    """A square of all pairs of sites; the colours leave the diagonal out, which says nothing."""
    n = len(q.mean)
    apart = q.mean[~np.eye(n, dtype=bool)]
    top = float(np.nanmax(np.abs(apart))) if apart.size and np.isfinite(apart).any() else 1.0
    trace = {
        "type": "heatmap", "z": [rounded(row) for row in q.mean], "zmid": 0, "zmin": -top, "zmax": top,
        "colorscale": DIVERGING, "colorbar": colour_bar(""), "showscale": True,
        "hovertemplate": "sites %{y}, %{x}: %{z:.4~g}<extra></extra>",
    }  # fmt: skip
    if n <= MAX_HOVER and q.error is not None:
        trace["text"] = [
            [text.with_error(m, e) for m, e in zip(means, errors, strict=True)]
            for means, errors in zip(q.mean, q.error, strict=True)
        ]
        trace["hovertemplate"] = "sites %{y}, %{x}: %{text}<extra></extra>"
    layout = {
        "xaxis": {"title": {"text": "Site j"}, "constrain": "domain", "showgrid": False},
        "yaxis": {"title": {"text": "Site i"}, "autorange": "reversed", "scaleanchor": "x", "constrain": "domain",
                  "showgrid": False},
    }  # fmt: skip
    return {"data": [trace], "layout": layout, "words": f"{q.title} of {n} sites, at most {text.plain(top)}"}


def pairs(q: Quantity) -> list[tuple[float, float | None]]:
    """Mean and error of each entry."""
    errors = [None] * len(q.mean) if q.error is None else q.error.tolist()
    return list(zip(q.mean.tolist(), errors, strict=True))


def in_order(names: Iterable[str]) -> list[str]:
    """What one looks at first, then the others as they came."""
    return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
