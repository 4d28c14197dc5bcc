"""How an energy depends on the bond dimension: live sweeps of a computation, and a finished series with its fits."""

from collections.abc import Mapping
from typing import Any

import panel as pn

from frontend import layout
from frontend.client import Run
from frontend.components import FigureChart, LiveChart
from frontend.figures import details, reference_details, reference_series
from frontend.views.parts import toggle
from frontend.views.reference_state import ReferencesView

LIVE = (("energy", "Energy"), ("truncation_error", "Discarded weight"), ("max_entropy", "Entanglement entropy"))
HEIGHT = 300
X_AXES = {"Discarded weight": "truncation", "Variance": "variance"}
AXES = {"Linear": False, "Log": True}
SIGHTS = {"All points": False, "Near the limit": True}


MARGIN = (2, 6, 8, 6)


class Sweeps:
    """The sweeps of one computation as they happen; made when a computation is shown first."""

    def __init__(self, view: ReferencesView) -> None:
        self._view = view
        self._charts: list[Any] = []
        self.panel = layout.card(title="Sweeps", visible=False)
        view.param.watch(lambda event: self._push(per_site=event.new == "site"), "scale")

    def _push(self, **options: Any) -> None:
        for chart in self._charts:
            chart.param.update(**options)

    def show(self, run: Run | None) -> None:
        """Follow a DMRG computation; a diagonalisation has no sweeps."""
        shown = run is not None and run.get("kind") == "dmrg"
        if shown and not self._charts:
            self._charts = [
                LiveChart(
                    heading=title, metric=metric, x_title="Sweeps", height=HEIGHT, per_site=self._view.scale == "site",
                    show_legend=False, sizing_mode="stretch_width", margin=(0, 4, 4, 4), empty_text="No sweep yet.",
                )
                for metric, title in LIVE
            ]  # fmt: skip
            self.panel.append(layout.columns(*self._charts, wide=(1, 1, 1), margin=MARGIN))
        runs = [run["id"]] if run is not None and shown else []
        if self._charts and self._charts[0].runs != runs:
            self._push(runs=runs, colours=dict.fromkeys(runs, 0))
        self.panel.visible = shown


class SeriesPlots:
    """A series E(χ): two plots, the fits in words, and the points."""

    def __init__(self, view: ReferencesView) -> None:
        self._view = view
        self._shown: tuple[Mapping[str, Any], float, str, float | None] | None = None
        self.inverse = FigureChart(heading="Against 1/χ", height=HEIGHT, sizing_mode="stretch_width", margin=(0, 4))
        self.other = FigureChart(height=HEIGHT, sizing_mode="stretch_width", margin=(0, 4))
        self.near = toggle(SIGHTS, view, "near", "What is in sight")
        self.x = toggle(X_AXES, view, "x", "Axis of the right plot")
        self.log = toggle(AXES, view, "log", "Scale of that axis")
        self.words = pn.pane.HTML(
            "", sizing_mode="stretch_width", margin=(4, 16, 4, 16), stylesheets=[reference_details.CSS]
        )
        self.points = pn.pane.HTML(
            "", sizing_mode="stretch_width", margin=(4, 16, 14, 16), stylesheets=[details.TABLE_CSS]
        )
        self.title = layout.Words()
        tools = [self.title, self.near, self.x, self.log]
        self.panel = layout.card(
            layout.columns(self.inverse, self.other, margin=MARGIN), self.words, self.points,
            title="DMRG series", tools=tools, visible=False,
        )  # fmt: skip
        view.param.watch(lambda *events: self._draw(), ["x", "log", "near"])

    def show(
        self, series: Mapping[str, Any] | None, *, times: float = 1.0, unit: str = "", exact: float | None = None
    ) -> None:
        """Draw a series, its totals multiplied by `times`; nothing hides the card."""
        self._shown = None if not series or not series.get("points") else (series, times, unit, exact)
        self.panel.visible = self._shown is not None
        self._draw()

    def _draw(self) -> None:
        if self._shown is None:
            return
        series, times, unit, exact = self._shown
        axis, log = self._view.x, self._view.log
        options: dict[str, Any] = {"times": times, "unit": unit, "exact": exact, "near": self._view.near}
        self.inverse.figure = reference_series.figure(series, "inverse", **options)
        heading = "Against the discarded weight" if axis == "truncation" else "Against the variance"
        missing = "No abscissa above 0 is known." if log else "It is not known for this series."
        self.other.param.update(
            heading=heading, figure=reference_series.figure(series, axis, log=log, **options), empty_text=missing
        )
        self.words.object = reference_details.fits(series, times, unit)
        self.points.object = reference_details.points(series, times, unit)
        about = [str(series[k]) for k in ("source",) if series.get(k)]
        if series.get("mpo_dimension"):
            about.append(f"MPO dimension {series['mpo_dimension']}")
        self.title.text = ", ".join(about)
