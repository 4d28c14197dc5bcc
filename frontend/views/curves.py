"""The curves of the selected runs, tab by tab, and the comparison."""

from typing import Any

import panel as pn
import panel_material_ui as pmui

from frontend import layout
from frontend.components import LiveChart
from frontend.figures import details
from frontend.figures.charts import SCALES, TABS, X_AXES, Y_SCALES, Chart
from frontend.figures.comparison import comparison
from frontend.observed import Observed
from frontend.state import Hub, View
from frontend.views.extrapolation import ExtrapolationView
from frontend.views.observables import ObservablesTab
from frontend.views.parts import toggle

TABS_SX = {
    "flexWrap": {"xs": "wrap", "sm": "nowrap"},  # a phone is narrower than all tabs beside each other
    "& .MuiToggleButton-root": {"padding": "2px 10px", "whiteSpace": "nowrap", "width": "auto", "flex": "0 0 auto"},
}
SCALED = ("energy", "variance", "compare")  # what is shown there is per site or total


class Curves:
    """Charts are made when their tab is opened first, and stay."""

    def __init__(self, hub: Hub, view: View, observed: Observed) -> None:
        self._hub = hub
        self._view = view
        self._observables = ObservablesTab(hub, view, observed)
        self._extrapolation = ExtrapolationView(hub, view)
        self._charts: dict[str, list[Any]] = {}
        self.comparison = pn.pane.HTML(
            "", sizing_mode="stretch_width", margin=(8, 16, 14, 16), stylesheets=[details.TABLE_CSS]
        )
        self.body = pn.Column(sizing_mode="stretch_width", margin=0)
        self.tabs = toggle({title: name for name, (title, _) in TABS.items()}, view, "tab", "What is shown")
        self.tabs.sx = TABS_SX
        self.x_axis = toggle(X_AXES, view, "x", "Horizontal axis")
        self.scale = toggle(SCALES, view, "scale", "Energies per site or total")
        self.y_scale = toggle(Y_SCALES, view, "yscale", "Vertical axis of what is drawn against distance")
        self.smooth = pmui.FloatSlider(
            label="", start=0, end=0.99, step=0.01, value=view.smooth, width=110, size="small", margin=(0, 8, 0, 12),
            show_value=False,
        )  # fmt: skip
        self.smooth.link(view, value="smooth")
        view.param.watch(lambda event: self.smooth.param.update(value=event.new), "smooth")
        view.param.watch(self._on_tab, "tab")
        view.param.watch(lambda *events: self.push(), ["selected", "x", "smooth", "scale"])

    def panel(self) -> Any:
        words = layout.Words("Smoothing", margin=(4, 0, 0, 6))
        self.smoothing = layout.flow(words, self.smooth, sizing_mode=None)
        label = layout.Words("C(r)", margin=(4, 0, 0, 6))
        self.axis = layout.flow(label, self.y_scale, gap="8px", sizing_mode=None, visible=False)
        head = layout.flow(self.tabs, margin=(12, 14, 8, 14))
        self.tools = layout.flow(
            self.x_axis, self.scale, self._observables.metric, self.smoothing, self.axis,
            gap="8px 12px", margin=(0, 14, 2, 14),
        )  # fmt: skip
        self._on_tab(None)
        return layout.card(head, self.tools, self.body)

    def _on_tab(self, event: Any) -> None:
        tab = self._view.tab
        if tab == "compare":
            self.compare()
            self.body.objects = [self.comparison]
        elif tab == "observables":
            self.body.objects = [self._observables.body]
            self.refresh()
        else:
            more = [self._extrapolation.body] if tab == "variance" else []
            self.body.objects = [self._grid(tab), *more]
            self.refresh()
        self.x_axis.visible = self.smoothing.visible = tab != "compare"
        self.scale.visible = tab in SCALED
        self.axis.visible = self._observables.metric.visible = tab == "observables"

    def refresh(self) -> None:
        """Once a second: what the charts do not get by themselves."""
        shown = {"observables": self._observables, "variance": self._extrapolation}.get(self._view.tab)
        if shown is not None and pn.state.loaded:
            shown.refresh()

    def _grid(self, tab: str) -> Any:
        if tab not in self._charts:
            self._charts[tab] = [self._chart(chart) for chart in TABS[tab][1]]
        return layout.columns(*self._charts[tab], margin=(2, 6, 8, 6))

    def _options(self) -> dict[str, Any]:
        view = self._view
        return {
            "runs": list(view.selected),
            "colours": dict(view.selected),
            "x_mode": view.x,
            "smoothing": view.smooth,
            "per_site": view.scale == "site",
        }

    def _chart(self, chart: Chart) -> Any:
        return LiveChart(
            heading=chart.title,
            metric=chart.metric,
            height=310,
            sizing_mode="stretch_width",
            margin=(0, 4, 4, 4),
            **dict(chart.options),
            **self._options(),
        )

    def push(self) -> None:
        """Tell every chart the visitor's choices."""
        for chart in (self._observables.chart, *(c for charts in self._charts.values() for c in charts)):
            chart.param.update(**self._options())
        self.refresh()
        self.compare()

    def compare(self) -> None:
        if self._view.tab != "compare":
            return
        runs = [run for r in self._view.selected if (run := self._hub.find(r))]
        text = comparison(runs, self._view.selected, self._view.scale)
        if text != self.comparison.object:
            self.comparison.object = text
