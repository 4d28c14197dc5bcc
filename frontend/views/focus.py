"""The card of the focused run: its numbers, what can be done with it, and what must be asked for beyond the list."""

import asyncio
from typing import Any

import panel as pn

from frontend import layout
from frontend.client import ApiError, Run
from frontend.figures import details
from frontend.observed import Observed
from frontend.state import Hub, View
from frontend.views.actions import Actions

SYSTEM = ("lattice", "hamiltonian", "sector")


class FocusCard:
    """`tick` is called once a second, `refresh` after every change of the run."""

    def __init__(self, hub: Hub, view: View, observed: Observed, actions: Actions) -> None:
        self._hub = hub
        self._view = view
        self._observed = observed
        self._actions = actions
        self._task: asyncio.Task[None] | None = None
        self._warned: dict[str, tuple[int, list[str]]] = {}  # run -> number of warnings, their sentences
        # Run -> its divergence, the floor of that, and its infidelity: the newest of its training.
        self._checks: dict[str, tuple[float | None, float | None, float | None]] = {}
        self._near: dict[str, dict[str, Any]] = {}
        self.title = layout.Words(kind="heading", margin=(10, 14, 0, 16))
        self.detail = pn.pane.HTML("", sizing_mode="stretch_width", margin=(2, 16, 12, 16), stylesheets=[details.CSS])
        self.card = layout.card(self.title, actions.bar, self.detail)

    @property
    def run(self) -> Run | None:
        """The focused run with what is known beyond the list."""
        run = self._hub.find(self._view.focused)
        full = None if run is None else self._observed.known(run["id"])
        if run is None or full is None:
            return run
        return {**run, "measurements": full.get("measurements") or []}

    def refresh(self) -> None:
        """Bring the card up to date."""
        run = self.run
        self._actions.refresh()
        shown = "<div class='line quiet'>Select a run in the table.</div>"
        if run is not None:
            shown = details.summary(run, self._view.scale, self._more(run))
        if shown != self.detail.object:
            self.detail.object = shown
        name = (run.get("name") or run["id"][:8]) if run else "No run selected"
        if name != self.title.text:
            self.title.text = name

    def _more(self, run: Run) -> details.More:
        ident = run["id"]
        near = self._near.get(ident)
        words = "" if near is None else details.nearest(near, run.get("n_sites") or 1, self._view.scale)
        _, floor, infidelity = self._checks.get(ident, (None, None, None))
        origin = self._hub.find(str(((run.get("config") or {}).get("init_from") or {}).get("run") or ""))
        return details.More(tuple(self._warned.get(ident, (0, []))[1]), floor, infidelity, words, origin)

    def tick(self) -> None:
        """Ask for what the list does not say, unless the last question is still open."""
        run = self._hub.find(self._view.focused)
        if run is not None and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._learn(run))

    async def _learn(self, run: Run) -> None:
        before = self._more(run), self._observed.known(run["id"])
        try:
            await self._ask(run)
        except ApiError:
            return  # asked again in a second
        if before != (self._more(run), self._observed.known(run["id"])):
            self.refresh()

    async def _ask(self, run: Run) -> None:
        ident, client = run["id"], self._hub.client
        await self._observed.full(run)
        count = run.get("warnings") or 0
        if count != self._warned.get(ident, (0, []))[0]:
            self._warned[ident] = (count, await client.warnings(run))
        jsd = run.get("jsd")
        if jsd is not None and jsd != self._checks.get(ident, (None,))[0]:
            await self._observed.follow(run)
            latest = self._observed.latest
            self._checks[ident] = (jsd, latest(ident, "jsd_floor"), latest(ident, "infidelity"))
        if run.get("reference") is None and ident not in self._near:
            config = run.get("config") or {}
            system = {key: config[key] for key in SYSTEM if config.get(key) is not None}
            self._near[ident] = await client.match_reference(system)
