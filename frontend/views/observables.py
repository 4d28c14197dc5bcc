"""What the selected runs observe: one live scalar, and a figure for each array that they report."""

import asyncio
from typing import Any

import panel as pn
import panel_material_ui as pmui

from frontend import layout
from frontend.client import ApiError, Run
from frontend.components import FigureChart, LiveChart
from frontend.figures import observables, text
from frontend.observed import Observed
from frontend.state import Hub, View

MAX_RUNS = 8
FIRST = (
    "gap",
    "infidelity",
    "abs_magnetisation",
    "magnetisation",
    "bond_energy_mean",
)  # of interest at first
WAITING = "Nothing observed yet."


class ObservablesTab:
    """`refresh` is called once a second while the tab is shown."""

    def __init__(self, hub: Hub, view: View, observed: Observed) -> None:
        self._hub = hub
        self._view = view
        self._observed = observed
        self._task: asyncio.Task[None] | None = None
        self._figures: dict[str, Any] = {}
        self._drawing: tuple[Any, dict[str, Any]] = (None, {})  # a lattice, and how it is drawn
        self._drawn: dict[str, Any] = {}  # what each figure was made from
        self._shown: tuple[bool | str, ...] = ()
        self.metric = pmui.Select(
            label="", options=[], value=None, size="small", width=180, margin=0, searchable=True,
            sx={"& .MuiSelect-select": {"padding": "4px 12px !important"}}, description="Quantity that is drawn live",
        )  # fmt: skip
        self.metric.param.watch(self._on_metric, "value")
        self.chart = LiveChart(heading="", metric="magnetisation", height=350, sizing_mode="stretch_width",
                               margin=(0, 4, 4, 4))  # fmt: skip
        self.empty = layout.Words(WAITING, margin=(6, 16, 14, 16))
        self.body = pn.Column(self.empty, sizing_mode="stretch_width", margin=0)
        view.param.watch(lambda *events: self._draw(), ["yscale"])

    def _on_metric(self, event: Any) -> None:
        if event.new and event.new != self._view.metric:
            self._view.metric = event.new
        self._name_chart()

    def _name_chart(self) -> None:
        if self.metric.value:
            self.chart.param.update(metric=self.metric.value, heading=text.quantity(self.metric.value))

    @property
    def runs(self) -> list[Run]:
        """The selected runs, the focused one first: the figures of one run are its."""
        view = self._view
        chosen = sorted(view.selected, key=lambda run: run != view.focused)
        return [run for ident in chosen[:MAX_RUNS] if (run := self._hub.find(ident))]

    def refresh(self) -> None:
        """Ask for what is new, unless the last question is still open."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._update())

    async def _update(self) -> None:
        runs = self.runs
        try:
            for run in runs:
                await self._observed.update(run)
            if runs:
                self._drawing = (_lattice(runs[0]), await self._observed.drawing(runs[0]))
        except ApiError:
            return  # the page's banner says that the server is away
        self._offer(runs)
        self._draw()

    def _offer(self, runs: list[Run]) -> None:
        names = list(dict.fromkeys(name for run in runs for name in self._observed.scalars(run["id"])))
        options = {text.quantity(name): name for name in names}
        wanted = self._view.metric if self._view.metric in names else ""
        wanted = wanted or next((n for n in FIRST if n in names), next(iter(names), ""))
        if self.metric.options != options or (wanted and self.metric.value != wanted):
            self.metric.param.update(options=options, value=wanted or None)
        self._name_chart()

    def _draw(self) -> None:
        runs = self.runs
        # The selection may have changed since the lattice was asked for: the next second brings the right one.
        if self._view.tab != "observables" or (runs and _lattice(runs[0]) != self._drawing[0]):
            return
        known = [(run, self._observed.quantities(run["id"])) for run in runs]
        names = observables.in_order(known[0][1]) if known else []
        for name in names:
            self._show(name, [(run, found[name]) for run, found in known if name in found])
        if (bool(self.metric.options), *names) != self._shown:
            self._shown = (bool(self.metric.options), *names)
            cells = [self.chart] if self.metric.options else []
            cells += [self._figures[name] for name in names]
            self.empty.text = WAITING if runs else "Select a run to see what it observes."
            self.body.objects = [layout.columns(*cells, margin=(2, 6, 8, 6)) if cells else self.empty]

    def _show(self, name: str, found: list[tuple[Run, observables.Quantity]]) -> None:
        if name not in self._figures:
            self._figures[name] = FigureChart(height=350, sizing_mode="stretch_width", margin=(0, 4, 8, 4))
        first = found[0][1]
        if first.kind != "curve":  # one run alone
            found = found[:1]
        selected = self._view.selected
        parts = [(run.get("name") or run["id"][:8], selected.get(run["id"], 0), q) for run, q in found]
        log = self._view.yscale == "log" and first.kind == "curve"
        origin = [(label, slot, run["id"], self._observed.version(run["id"]))
                  for (run, _), (label, slot, _) in zip(found, parts, strict=True)]  # fmt: skip
        made_from = (origin, log, self._drawing[0], len(selected) > 1)
        if self._drawn.get(name) == made_from:
            return
        self._drawn[name] = made_from
        who = f"{parts[0][0]}, " if len(selected) > 1 and len(parts) == 1 else ""
        figure = observables.figure(parts, self._drawing[1], log=log)
        self._figures[name].param.update(figure=figure, heading=first.title, note=f"{who}{first.note}")


def _lattice(run: Run) -> Any:
    return (run.get("config") or {}).get("lattice")
