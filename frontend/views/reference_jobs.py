"""The computations of references: the list, and the chosen one with its sweeps, its series and what one can do."""

from collections.abc import Awaitable, Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from frontend import layout
from frontend.client import ApiError, Client, Run
from frontend.components import DataTable
from frontend.figures import reference_details, text
from frontend.figures import reference_rows as rows
from frontend.latest import Latest
from frontend.state import ACTIVE
from frontend.views.parts import Confirm, icon, say
from frontend.views.reference_curves import SeriesPlots, Sweeps
from frontend.views.reference_state import Jobs, ReferencesView

SHOWN_ROWS = 6


class JobsPanel:
    """`open_row` shows the system of a finished job in the table, by its key."""

    def __init__(self, client: Client, view: ReferencesView, jobs: Jobs, open_row: Callable[[str], None]) -> None:
        self._client, self._view, self._jobs, self._open_row = client, view, jobs, open_row
        self._drawn: tuple[Any, ...] = ()
        self._asked: tuple[str, int] = ("", -1)
        self._found: dict[str, Any] | None = None
        self._load = Latest(self._load_series)
        self.table = DataTable(
            self._on_row, label="Computations", look=rows.TABLE_LOOK + f":host{{--table-height:{34 * SHOWN_ROWS}px}}",
            columns=rows.job_columns(view.scale), sizing_mode="stretch_width", margin=(2, 8, 10, 8),
        )  # fmt: skip
        self.empty = layout.Words(
            "Nothing has been computed yet. Look up a system and press Start.", margin=(4, 16, 16, 16)
        )
        self.title = layout.Words(kind="heading", margin=(0, 8, 0, 0))
        self.stop = icon("stop_circle", "Stop", self._stop)
        self.resume = icon("play_circle", "Resume", self._resume)
        self.delete = icon("delete", "Delete", lambda event: self._ask_delete())
        self.to_table = pmui.Button(
            label="Show in the table", icon="table_rows", variant="text", size="small", margin=0, visible=False
        )
        self.to_table.on_click(lambda event: self._to_table())
        self.confirm = Confirm("Delete this computation?")
        self.detail = pn.pane.HTML(
            "", sizing_mode="stretch_width", margin=(2, 16, 12, 16), stylesheets=[reference_details.CSS]
        )
        self.sweeps = Sweeps(view)
        self.series = SeriesPlots(view)
        view.param.watch(lambda *events: self.draw(), ["scale", "job"])
        view.param.watch(lambda event: self._follow(), "tab")

    def panel(self) -> list[Any]:
        head = layout.flow(
            self.title, self.stop, self.resume, self.delete, self.to_table, gap="2px", margin=(10, 14, 0, 16)
        )
        self.focus = layout.card(head, self.detail, visible=False)
        listed = layout.card(self.table, self.empty, title="Computations")
        return [listed, self.focus, self.sweeps.panel, self.series.panel, self.confirm.box]

    @property
    def job(self) -> Run | None:
        return self._jobs.find(self._view.job)

    def _on_row(self, run: str) -> None:
        self._view.job = self._jobs.short(run)

    def draw(self) -> None:
        """Bring list and details up to date."""
        job, scale = self.job, self._view.scale
        listed = [rows.job_row(run, scale) for run in self._jobs.runs.values()]
        state = (listed, job, scale)
        if state == self._drawn:
            return
        self._drawn = state
        self.table.param.update(
            columns=rows.job_columns(scale), rows=listed, selected=job["id"] if job else "", visible=bool(listed)
        )
        self.empty.visible = not listed
        self._follow()
        if job is None:
            self.focus.visible = False
            self._load.cancel()
            self.series.show(None)
            return
        self.title.text = reference_details.job_title(job)
        self.detail.object = reference_details.job(job, scale)
        active = job.get("state") in ACTIVE
        self.stop.param.update(visible=active, disabled=job.get("desired") == "stop")
        self.resume.visible = job.get("state") in ("stopped", "failed")
        self.delete.disabled = active
        kept = job.get("state") == "done" or (job.get("state") == "stopped" and bool(job.get("step")))
        self.to_table.visible = bool(job.get("system_key")) and kept
        self.focus.visible = True  # last: buttons that come or go would move the others from under the mouse
        self._load(job)

    def _follow(self) -> None:
        """Charts listen only while they can be seen."""
        self.sweeps.show(self.job if self._view.tab == "jobs" else None)

    async def _load_series(self, job: Run) -> None:
        """The finished bond dimensions; asked for again when something has happened since."""
        asked = (job["id"], job.get("last_seq") or 0)
        if job.get("kind") != "dmrg":
            self.series.show(None)
            return
        if asked != self._asked:
            found = await self._client.reference_series(run=job["id"])
            self._asked, self._found = asked, found[0] if found else None
        per_site = self._view.scale == "site"
        reference = job.get("reference") or {}
        self.series.show(
            self._found, times=1 / (job.get("n_sites") or 1) if per_site else 1.0,
            unit="Energy per site (J)" if per_site else "Energy (J)",
            exact=text.finite(reference.get("energy")) if reference.get("bound") == "exact" else None,
        )  # fmt: skip

    async def _act(self, call: Callable[[str], Awaitable[Run]], words: str) -> None:
        job = self.job
        if job is None:
            return
        try:
            changed = await call(job["id"])
        except ApiError as error:
            say(error.detail, "error")
            return
        if changed and "state" in changed:
            self._jobs.put(changed)
        say(words)
        self.draw()

    async def _stop(self, event: Any) -> None:
        await self._act(self._client.stop, "Stopping; what is finished is kept.")

    async def _resume(self, event: Any) -> None:
        await self._act(self._client.resume, "Resuming.")

    def _ask_delete(self) -> None:
        if job := self.job:
            name = reference_details.job_title(job)
            self.confirm.ask(f"{name}: its sweeps will be gone for good.", lambda: self._delete(job["id"]))

    async def _delete(self, run: str) -> None:
        try:
            await self._client.delete(run)
        except ApiError as error:
            say(error.detail, "error")
            return
        self._jobs.drop(run)
        self._view.job = ""
        self.draw()

    def _to_table(self) -> None:
        if (job := self.job) and job.get("system_key"):
            self._open_row(str(job.get("system_key")))
