"""The sidebar of the references: name a system, see what is known of it, compute more, or add what one knows."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import panel as pn
import panel_material_ui as pmui

from frontend import layout
from frontend.client import ApiError, ReferenceRow, Run, Unreachable
from frontend.figures import reference_details, reference_lookup
from frontend.forms import locate
from frontend.latest import Latest
from frontend.state import Hub
from frontend.views.parts import TOGGLE_SX, on_press
from frontend.views.reference_own import ComputeFields, OwnFields
from frontend.views.reference_state import ReferencesView
from frontend.views.reference_system import SystemForm

DEBOUNCE_SECONDS = 0.3
MODES = {"Compute": "compute", "Add my own": "own"}
MARKED = "Check the marked fields."


class ReferencePanel:
    """`launched` is awaited with a new computation, `added` with a new row, `show` takes a key to show in the table."""

    def __init__(
        self,
        hub: Hub,
        view: ReferencesView,
        *,
        launched: Callable[[Run], Awaitable[None]],
        added: Callable[[ReferenceRow], Awaitable[None]],
        show: Callable[[str], None],
    ) -> None:
        self._hub, self._view = hub, view
        self._launched, self._added, self._show = launched, added, show
        self.ask = Latest(self._ask, DEBOUNCE_SECONDS)  # what is known of the system, and what it would cost
        self._answer: Mapping[str, Any] = {}
        self.system = SystemForm(hub, self._on_change)
        self.compute = ComputeFields(self._on_change)
        self.own = OwnFields(self._on_change)
        html: dict[str, Any] = {"sizing_mode": "stretch_width", "stylesheets": [reference_details.CSS]}
        self.known = pn.pane.HTML("", margin=(6, 0, 2, 0), **html)
        self.in_table = pmui.Button(
            label="Show in the table", icon="table_rows", variant="text", size="small", margin=(0, 0, 4, 0),
            visible=False,
        )  # fmt: skip
        self.in_table.on_click(lambda event: self._show(str(self._answer.get("key") or "")))
        self.mode = pmui.RadioButtonGroup(
            options=MODES, value="compute", size="small", margin=(12, 0, 6, 0), sx=TOGGLE_SX,
            description="What to do with this system",
        )  # fmt: skip
        self.mode.param.watch(lambda event: self._on_mode(), "value")
        self.cost = pn.pane.HTML("", margin=(0, 0, 6, 0), **html)
        self.alert = pmui.Alert("", severity="error", visible=False, sizing_mode="stretch_width", margin=(0, 0, 6, 0))
        self.button = pmui.Button(
            label="Start", icon="play_arrow", color="primary", variant="contained", sizing_mode="stretch_width",
            margin=(2, 0), size="medium", disable_elevation=True,
        )  # fmt: skip
        on_press(self.button, self._act)
        view.param.watch(lambda *events: self._tell_known(), ["scale", "units"])
        if first := next(iter((hub.catalog or {}).get("presets") or []), None):
            self.system.fill(first["config"])
        self._show_mode()

    def view(self) -> list[Any]:
        title = layout.Words("Look up a system", "title", margin=(8, 0, 0, 0))
        known = layout.Words("Known energies", "label", margin=(14, 0, 0, 0))
        top = pn.Column(
            title, *self.system.view(), known, self.known, self.in_table, self.mode,
            self.compute.view, self.own.view, margin=(14, 18, 14, 18), sizing_mode="stretch_width",
        )  # fmt: skip
        foot = layout.foot(self.alert, self.cost, self.button)
        return [top, foot]

    def use(self, config: Mapping[str, Any], mode: str | None = None) -> None:
        """Show a system, and what can be done with it."""
        self.system.fill(config)
        if mode is not None:
            self.mode.value = mode
        self.ask()

    def _on_mode(self) -> None:
        self._show_mode()
        self.ask()

    def _show_mode(self) -> None:
        own = self.mode.value == "own"
        self.own.view.visible, self.compute.view.visible = own, not own
        self.button.param.update(label="Add to the table" if own else "Start", icon="add" if own else "play_arrow")

    def _on_change(self) -> None:
        self._view.param.update(compute="", system="")  # the link named another system
        self.ask()

    async def _ask(self) -> None:
        system, errors = self.system.read()
        fields = self.own if self.mode.value == "own" else self.compute
        more = fields.read(errors)
        wrong_system = any(where.partition(".")[0] in ("lattice", "hamiltonian", "sector") for where in errors)
        self.button.disabled = bool(errors) and (wrong_system or fields is self.compute)
        if wrong_system:
            self._tell("", MARKED)
            return
        try:
            await self._look_up(system, more)
            await self._estimate(system, more, errors)
        except Unreachable:
            self._tell("", "The server does not answer; your entries stay here.")
            raise
        except ApiError as error:
            self._refuse(error)

    async def _look_up(self, system: Mapping[str, Any], job: Mapping[str, Any]) -> None:
        level = {"level": job["level"]} if "level" in job else {}
        self._answer = await self._hub.client.match_reference({**system, **level})
        self._tell_known()
        self.own.size(int(self._answer.get("n_sites") or 1))

    async def _estimate(self, system: Mapping[str, Any], job: Mapping[str, Any], errors: Mapping[str, str]) -> None:
        if self.mode.value == "own" or errors:
            self._tell("", MARKED if errors and self.mode.value != "own" else "")
            return
        answer = await self._hub.client.estimate_reference({**system, **job})
        self.button.disabled = not reference_lookup.feasible(answer)
        self._tell("", reference_lookup.estimate(answer, str(job.get("method") or "auto")))

    def _tell(self, problem: str, cost: str) -> None:
        self.alert.param.update(object=problem, visible=bool(problem))
        self.cost.object = cost

    def _tell_known(self) -> None:
        if not self._answer:
            return
        self.known.object = reference_lookup.lookup(self._answer, self._view.scale, self._view.units)
        # What the server has computed for the question alone is in no table.
        self.in_table.visible = any(row.get("id") is not None for row in self._answer.get("matches") or [])

    def _refuse(self, error: ApiError) -> None:
        fields = self.own if self.mode.value == "own" else self.compute
        rest = fields.mark(self.system.mark(found := locate(error.detail, error.problems)))
        self.button.disabled = self.mode.value != "own"
        self._tell("" if found and not rest else error.detail, MARKED if found else "")

    async def _act(self, event: Any) -> None:
        unanswered = self.ask.cancel()  # its answer would replace the one to this press
        system, errors = self.system.read()
        fields = self.own if self.mode.value == "own" else self.compute
        try:
            if unanswered and not errors:  # energies per site need the number of sites of this very system
                await self._look_up(system, fields.read({}))
            body = fields.read(errors, final=True)
            if errors:
                self._tell("", MARKED)
                return
            if self.mode.value == "own":
                await self._added(await self._hub.client.add_reference({**system, **body}))
                self.own.clear()
            else:
                await self._launched(await self._hub.client.compute_reference({**system, **body}))
            self._tell("", self.cost.object)
        except ApiError as error:
            self._refuse(error)
            return
        self.ask()
