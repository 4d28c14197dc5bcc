"""The page of the reference energies: table and computations; the form beside them names a system."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

import panel as pn
import panel_material_ui as pmui

from frontend import layout, theme
from frontend.client import ApiError, ReferenceRow, Run
from frontend.components.browser import Browser
from frontend.figures.charts import SCALES
from frontend.state import Hub
from frontend.views.parts import say, toggle
from frontend.views.reference_focus import FocusPanel
from frontend.views.reference_form import ReferencePanel
from frontend.views.reference_jobs import JobsPanel
from frontend.views.reference_state import Jobs, ReferencesView
from frontend.views.reference_table import ReferenceTable
from frontend.views.runs import REFRESH_MS, STATUS_CSS, WIDE, status

UNITS = {"S = σ/2": "spin", "σ": "pauli"}
UNITS_HELP = "Heisenberg, XXZ and J₁–J₂ energies for spin operators S or Pauli matrices σ (4 times); Ising is always σ"


class ReferencesPage:
    """One visitor's page. Built at once where the catalog is known, else as soon as the server answers."""

    def __init__(self, hub: Hub, jobs: Jobs) -> None:
        self.hub, self.jobs = hub, jobs
        self.view = ReferencesView()
        self._built = self._started = self._prepared = False
        self._told: tuple[int, dict[str, str]] | None = None
        self._seen = (-1, -1)
        self._ended: set[str] = set()
        self.banner = pmui.Alert(
            "", severity="info", visible=False, sizing_mode="stretch_width", margin=(8, 6, 0, 6), variant="outlined"
        )
        self.browser = Browser(self._on_browser)
        self.status = pn.pane.HTML(
            "", margin=(0, 6, 0, 12), align="center", styles={"margin-left": "auto"}, stylesheets=[STATUS_CSS]
        )
        self.main = pn.Column(self.banner, sizing_mode="stretch_width", margin=6)
        self.page = theme.page("/references", [self.main], header=[self.status, self.browser])
        if pn.state.location is not None:
            self.view.follow(pn.state.location)
        if hub.catalog is not None:
            self._build()
        pn.state.onload(self._start)

    def _build(self) -> None:
        hub, view = self.hub, self.view
        self._built = True
        self.form = ReferencePanel(hub, view, launched=self._launched, added=self._added, show=self._show_system)
        self.focus = FocusPanel(hub.client, view, use=self._use, gone=self._reload)
        self.table = ReferenceTable(hub.client, view, self.focus.show)
        self.listed = JobsPanel(hub.client, view, self.jobs, self._show_system)
        self.tabs = toggle({"Energies": "table", "Computations": "jobs"}, view, "tab", "What is shown")
        self.scale = toggle(SCALES, view, "scale", "Energies per site or total")
        self.units = toggle(UNITS, view, "units", UNITS_HELP)
        opener = pmui.Button(
            label="Look up, compute", icon="search", color="primary", variant="contained", disable_elevation=True,
            size="small", margin=0, sx={"display": {"xs": "inline-flex", "md": "none"}},
        )  # fmt: skip
        opener.on_click(lambda event: setattr(self.page, "sidebar_open", True))
        head = layout.flow(self.tabs, self.scale, self.units, opener, gap="8px 12px", margin=(8, 8, 2, 8))
        self.known = pn.Column(self.table.panel(), *self.focus.panel(), sizing_mode="stretch_width", margin=0)
        self.computed = pn.Column(*self.listed.panel(), sizing_mode="stretch_width", margin=0)
        self.main.objects = [self.banner, head, self.known, self.computed]
        self.page.sidebar = self.form.view()
        view.param.watch(lambda event: self._on_tab(), "tab")
        self._on_tab()

    def _on_tab(self) -> None:
        self.known.visible = self.view.tab == "table"
        self.computed.visible = self.view.tab == "jobs"
        self.units.visible = self.view.tab == "table"  # a computation keeps the units of its own Hamiltonian

    async def _start(self) -> None:
        """After the page is up: earlier changes to tables and widgets would be lost."""
        self.hub.watch()
        pn.state.on_session_destroyed(lambda context: self.hub.unwatch())
        self._started = True
        pn.state.add_periodic_callback(self._on_clock, period=REFRESH_MS)
        if self._built:
            await self._ready()

    async def _ready(self) -> None:
        self._prepared = True
        self._apply_told()
        await self._take_link()
        self._reload()
        await self.jobs.refresh()
        self._ended = self.jobs.ended
        await self._refresh()

    async def _take_link(self) -> None:
        """Fill the form with the system that a link names: a run's, or one that is spelled out."""
        view = self.view
        system: Any = None
        with contextlib.suppress(ApiError, ValueError):
            if view.compute:
                found = next((r for r in self.hub.runs if r.startswith(view.compute)), view.compute)
                system = (await self.hub.client.get_run(found)).get("config")
            elif view.system:
                system = json.loads(view.system)
        if isinstance(system, dict):
            with contextlib.suppress(AttributeError, TypeError, ValueError):  # a link may hold anything
                self.form.use(system, "compute")
            self._open_form(wide_only=True)
        elif view.compute or view.system:
            say("The link names a system that is not known here.", "error")

    def _on_clock(self) -> None:
        asyncio.get_running_loop().create_task(self._tick())

    async def _tick(self) -> None:
        if not self._built:
            if self.hub.catalog is None:
                self._tell_banner()
                return
            self._build()
            return  # the browser builds it up until the next call
        if not self._prepared:
            await self._ready()
        await self._refresh()

    async def _refresh(self) -> None:
        await self.jobs.refresh()
        seen = (self.hub.version, self.jobs.version)
        if seen == self._seen:
            return
        self._seen = seen
        self._tell_banner()
        self.listed.draw()
        ended = self.jobs.ended
        if ended != self._ended:  # their energies are in the table
            self._ended = ended
            self._reload()

    def _tell_banner(self) -> None:
        words = "" if self.hub.online else f"{self.hub.problem.rstrip('.')}. Trying again."
        self.banner.param.update(object=words, visible=bool(words))
        self.status.object = status(self.hub)

    async def _launched(self, run: Run) -> None:
        if "state" not in run:
            run = await self.hub.client.get_run(run["id"])
        self.jobs.put(run)
        self.view.param.update(tab="jobs", job=self.jobs.short(run["id"]), compute="", system="")
        self._close_form()
        await self._refresh()

    async def _added(self, row: ReferenceRow) -> None:
        say("Added to the table.")
        self.view.param.update(row=str(row["id"]), key=row["key"])
        self._show_system(row["key"])
        self._reload()

    def _reload(self) -> None:
        self.table.reload()
        self.focus.load()
        self.form.ask()

    def _show_system(self, key: str) -> None:
        """Show all rows of a system in the table."""
        cleared = dict.fromkeys(("search", "hamiltonian", "lattice", "method", "bound", "origin"), "")
        self.view.param.update(**cleared, tab="table", page=1, only=key)
        self.table.reload()
        self._close_form()

    def _use(self, system: Mapping[str, Any], mode: str) -> None:
        self.form.use(system, mode)
        self._open_form()

    def _open_form(self, wide_only: bool = False) -> None:
        if not wide_only or (self._told is not None and self._told[0] >= WIDE):
            self.page.sidebar_open = True

    def _close_form(self) -> None:
        """On a phone the form covers what one wants to see now."""
        if self._told is not None and self._told[0] < WIDE:
            self.page.sidebar_open = False

    def _on_browser(self, width: int, local: dict[str, str], session: dict[str, str]) -> None:
        self._told = (width, local)
        if self._started:
            self._apply_told()

    def _apply_told(self) -> None:
        if self._told is None or not self._built:
            return
        width, local = self._told
        self.page.sidebar_open = width >= WIDE
        self.browser.apply_theme(self.page, local)


def page(hub: Hub, jobs: Jobs) -> Any:
    return ReferencesPage(hub, jobs).page
