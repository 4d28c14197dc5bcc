"""The page of the runs: launch, table, curves, details."""

from typing import Any

import panel as pn
import panel_material_ui as pmui

from frontend import layout, theme
from frontend.client import Run
from frontend.components import SpinView
from frontend.components.browser import Browser
from frontend.figures import details
from frontend.observed import Observed
from frontend.state import Hub, View
from frontend.views.actions import Actions
from frontend.views.curves import Curves
from frontend.views.focus import FocusCard
from frontend.views.launch import LaunchPanel
from frontend.views.table import RunsTable

WIDE = 900
REFRESH_MS = 1000
DRAFT, COLUMNS = "draft", "columns"


class RunsPage:
    """One visitor's page. Built at once where the catalog is known, else as soon as the server answers."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.view = View()
        self._seen = -1
        self._built = self._started = self._prepared = False
        self._told: tuple[int, dict[str, str], dict[str, str]] | None = None
        self.banner = pmui.Alert(
            "", severity="info", visible=False, sizing_mode="stretch_width", margin=(8, 6, 0, 6), variant="outlined"
        )
        self.browser = Browser(self._on_browser)
        self.status = pn.pane.HTML(
            "", margin=(0, 6, 0, 12), align="center", styles={"margin-left": "auto"}, stylesheets=[STATUS_CSS]
        )
        self.main = pn.Column(self.banner, sizing_mode="stretch_width", margin=6)
        self.page = theme.page("/", [self.main], header=[self.status, self.browser])
        if pn.state.location is not None:
            self.view.follow(pn.state.location)
        if hub.catalog is not None:
            self._build()
        pn.state.onload(self._start)

    def _build(self) -> None:
        hub, view = self.hub, self.view
        self._built = True
        self.launch = LaunchPanel(hub, self._launched, self._remember_draft)
        self.table = RunsTable(hub, view, self._remember_columns)
        self.observed = Observed(hub.client)
        self.curves = Curves(hub, view, self.observed)
        self.actions = Actions(hub, view, self.launch.use, self._copy, self._measuring)
        self.focus = FocusCard(hub, view, self.observed, self.actions)
        self.spins = SpinView(sizing_mode="stretch_width", margin=(4, 14, 14, 14))
        self.spin_card = layout.card(self.spins, title="Spin configurations")
        plots = pn.Column(self.curves.panel(), self.spin_card, sizing_mode="stretch_width", margin=0)
        grid = layout.columns(plots, self.focus.card, wide=(2, 1), at=layout.LARGE)
        opener = pmui.Button(
            label="New run", icon="add", color="primary", variant="contained", disable_elevation=True, size="small",
            margin=0, sx={"display": {"xs": "inline-flex", "md": "none"}},
        )  # fmt: skip
        opener.on_click(lambda event: setattr(self.page, "sidebar_open", True))
        self.main.objects = [self.banner, self.table.panel(opener), grid, *self.actions.dialogs()]
        self.page.sidebar = self.launch.view()
        view.param.watch(lambda *events: self._refresh_focus(), ["focused", "scale"])
        view.param.watch(lambda *events: self.table.refresh(), ["selected", "focused"])

    async def _start(self) -> None:
        """After the page is up: earlier changes to tables and widgets would be lost."""
        self.hub.watch()
        pn.state.on_session_destroyed(lambda context: self.hub.unwatch())
        if self.hub.stale:  # a link may name a run that nobody has asked for yet
            await self.hub.refresh()
        self._started = True
        if self._built:
            self._ready()
        pn.state.add_periodic_callback(self._tick, period=REFRESH_MS)

    def _ready(self) -> None:
        self._prepared = True
        self.view.restore(self.hub.runs)
        self.launch.start()
        self._apply_told()
        self._refresh()

    def _tick(self) -> None:
        if not self._built:
            if self.hub.catalog is None:
                self._tell_banner()
                return
            self._build()
            return  # the browser builds it up until the next call
        if not self._prepared:
            self._ready()
        self._refresh()
        self.focus.tick()
        self.curves.refresh()

    def _refresh(self) -> None:
        if self._seen == self.hub.version:
            return
        self._seen = self.hub.version
        if self.hub.loaded:
            if not self.view.selected and self.view.runs:
                self.view.restore(self.hub.runs)
            self.view.forget(self.hub.runs)
        self._tell_banner()
        self.launch.offer()
        self.table.refresh()
        self._refresh_focus()
        self.curves.compare()

    def _refresh_focus(self) -> None:
        run = self.hub.find(self.view.focused)
        self.focus.refresh()
        if self.spins.run != (run["id"] if run else ""):
            self.spins.run = run["id"] if run else ""
        self.spin_card.visible = run is not None

    async def _measuring(self, run: Run) -> None:
        self.observed.forget(run["id"])
        self.focus.tick()

    def _tell_banner(self) -> None:
        words = notice(self.hub)
        self.banner.param.update(object=words, visible=bool(words))
        self.status.object = status(self.hub)

    async def _launched(self, run: Run) -> None:
        self.hub.put(run)
        self.view.show(run["id"], self.hub.runs)
        if self._told is not None and self._told[0] < WIDE:  # the form covers what one wants to see now
            self.page.sidebar_open = False
        self._refresh()

    def _on_browser(self, width: int, local: dict[str, str], session: dict[str, str]) -> None:
        self._told = (width, local, session)
        if self._started:
            self._apply_told()

    def _apply_told(self) -> None:
        if self._told is None or not self._built:
            return
        width, local, session = self._told
        self.page.sidebar_open = width >= WIDE
        self.table.recall(local.get(COLUMNS, ""))
        self.browser.apply_theme(self.page, local)
        if draft := session.get(DRAFT):
            self.launch.restore(draft)

    def _remember_draft(self, draft: str) -> None:
        self.browser.session = {DRAFT: draft}

    def _remember_columns(self, columns: str) -> None:
        self.browser.local = {COLUMNS: columns}

    def _copy(self) -> None:
        self.browser.copy += 1


def notice(hub: Hub) -> str:
    """What stands above the page while something is wrong with the server."""
    if not hub.online:
        return f"{hub.problem.rstrip('.')}. Trying again; what is shown may be out of date."
    problem = (hub.health.get("disk") or {}).get("problem") or ""
    return f"{problem[:1].upper()}{problem[1:]}." if problem else ""


def status(hub: Hub) -> str:
    """Which device runs, and how busy it is."""
    if not hub.online:
        return "<span class='off'></span>not connected"
    health = hub.health
    device = health.get("device") or {}
    name = device.get("kind") or device.get("name") or device.get("platform") or ""
    runs = health.get("runs") or {}
    words = [f"<b>{details.esc(name)}</b>"] if name else []
    words.append(f"{runs.get('running', 0)} running")
    if runs.get("queued"):
        words.append(f"{runs['queued']} waiting")
    full = (health.get("disk") or {}).get("problem")  # then it lives, and cannot say so
    if (health.get("agent") or {}).get("alive") is False and not full:
        words.append("<b>no runner is alive</b>")
    return "<span class='on'></span>" + "<span class='sep'> · </span>".join(words)


STATUS_CSS = """
:host{font-size:12.5px;color:var(--panel-on-surface-color);white-space:nowrap}
.on,.off{display:inline-block;width:8px;height:8px;border-radius:4px;margin-right:7px;background:#1b9e4b}
.off{background:#d99a00}
@media (max-width:640px){:host{display:none}}
"""


def page(hub: Hub) -> Any:
    return RunsPage(hub).page
