"""More samples of a run that has ended, or other observables of it."""

from collections.abc import Awaitable, Callable
from typing import Any

import panel_material_ui as pmui

from frontend import layout
from frontend.client import ApiError, Run
from frontend.forms import FieldError, field, locate
from frontend.forms.observing import choice
from frontend.forms.widgets import Control
from frontend.state import ACTIVE, Hub
from frontend.views.parts import dialog, say

SAMPLES = {
    "type": "integer", "title": "Samples", "minimum": 2, "maximum": 10_000_000, "default": 65536,
    "description": "Fresh samples at the parameters that the run ended with",
}  # fmt: skip


class MeasureDialog:
    """`started` is awaited with the run whose measurement was queued."""

    def __init__(self, hub: Hub, started: Callable[[Run], Awaitable[None]]) -> None:
        self._hub = hub
        self._started = started
        self._run: Run | None = None
        self.samples = Control(field("samples", SAMPLES), lambda: None)
        self.observables = choice(list((hub.catalog or {}).get("observable") or {}))
        self.alert = pmui.Alert("", severity="error", visible=False, sizing_mode="stretch_width", margin=(4, 0))
        self.button = pmui.Button(
            label="Measure", color="primary", variant="contained", disable_elevation=True, margin=(8, 0)
        )
        self.button.on_click(self._measure)
        cancel = pmui.Button(label="Cancel", variant="text", margin=(8, 0))
        cancel.on_click(lambda event: setattr(self.box, "open", False))
        buttons = layout.flow(cancel, self.button, gap="8px", justify="end")
        words = "Draws fresh samples from the trained network. The run itself stays as it is."
        about = layout.Words(words, margin=(0, 0, 4, 0))
        self.box = dialog("Measure more", about, self.samples.widget, self.observables, self.alert, buttons)

    @staticmethod
    def offered(run: Run) -> bool:
        """Can this run be measured again?"""
        return run.get("state") not in ACTIVE and run.get("kind", "vmc") == "vmc" and bool(run.get("step"))

    def open(self, run: Run) -> None:
        """Ask for the number of samples and the observables of `run`."""
        self._run = run
        last = (run.get("result") or {}).get("n_samples_final") or (run.get("config") or {}).get("measure") or 16384
        self.samples.set(min(4 * int(last), 10_000_000))
        self.samples.error("")
        self.observables.value = []
        self.alert.visible = False
        self.box.open = True

    async def _measure(self, event: Any) -> None:
        run = self._run
        if run is None:
            return
        try:
            samples = self.samples.check()
            await self._hub.client.measure(run["id"], samples, self.observables.value or None)
        except FieldError:
            return
        except ApiError as error:
            found = locate(error.detail, error.problems)
            if "samples" in found:
                self.samples.error(found["samples"])
            self.alert.param.update(object=error.detail, visible="samples" not in found)
            return
        self.box.open = False
        say("The measurement is queued; its result appears in the run's details.", "info")
        await self._started(run)
