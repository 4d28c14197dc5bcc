"""Energy against variance of the selected runs, extrapolated to zero variance."""

import asyncio
import time
from typing import Any

import panel as pn

from frontend import theme
from frontend.client import ApiError, Run
from frontend.components import FigureChart
from frontend.figures import extrapolation
from frontend.figures.extrapolation import Extrapolated
from frontend.state import Hub, View

MAX_RUNS = 8
PAUSE_SECONDS = 3.0  # between two questions about a run that is going
CSS = theme.DOT_CSS + ":host{font-size:13px;color:var(--panel-on-surface-color)} .line{margin:3px 0}"


class ExtrapolationView:
    """`refresh` is called once a second while it is shown."""

    def __init__(self, hub: Hub, view: View) -> None:
        self._hub = hub
        self._view = view
        self._task: asyncio.Task[None] | None = None
        self._answers: dict[str, tuple[Any, float, dict[str, Any]]] = {}  # run -> what it was then, when, the answer
        self.chart = FigureChart(
            heading="Energy against variance", empty_text="The late steps of a run appear here.", height=330,
            sizing_mode="stretch_width", margin=(0, 4, 4, 4),
        )  # fmt: skip
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(0, 14, 12, 14), stylesheets=[CSS])
        self.body = pn.Column(self.chart, self.words, sizing_mode="stretch_width", margin=0)
        view.param.watch(lambda *events: self._draw(), ["scale", "focused"])

    def refresh(self) -> None:
        """Ask for what may have changed, unless the last question is still open."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._update())

    def _runs(self) -> list[Run]:
        chosen = sorted(self._view.selected, key=lambda run: run != self._view.focused)
        return [run for ident in chosen[:MAX_RUNS] if (run := self._hub.find(ident))]

    async def _update(self) -> None:
        for run in self._runs():
            stamp = (run.get("state"), run.get("attempt"), run.get("step"))
            known = self._answers.get(run["id"])
            if known is not None and (known[0] == stamp or time.monotonic() - known[1] < PAUSE_SECONDS):
                continue
            try:
                answer = await self._hub.client.extrapolation(run["id"])
            except ApiError:
                return  # the page's banner says that the server is away
            self._answers[run["id"]] = (stamp, time.monotonic(), answer)
        self._draw()

    def _draw(self) -> None:
        selected = self._view.selected
        found = [
            Extrapolated(run, selected.get(run["id"], 0), self._answers[run["id"]][2])
            for run in self._runs()
            if run["id"] in self._answers
        ]
        figure = extrapolation.figure(found, self._view.scale)
        words = extrapolation.sentences(found, self._view.scale)
        if self.chart.figure != figure:
            self.chart.figure = figure
        if self.words.object != words:
            self.words.object = words
