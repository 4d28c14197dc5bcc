"""The chosen reference: everything known of it, the other energies of its level, its DMRG series."""

from collections.abc import Callable, Mapping
from typing import Any

import panel as pn

from frontend import layout
from frontend.client import ApiError, Client, ReferenceRow, Unreachable
from frontend.components import DataTable
from frontend.figures import reference_details, text
from frontend.figures import reference_rows as rows
from frontend.figures import reference_text as words
from frontend.latest import Latest
from frontend.views.parts import Confirm, icon, say
from frontend.views.reference_curves import SeriesPlots
from frontend.views.reference_state import ReferencesView

MOST = 1000  # rows of one system
LOOK = ":host{--table-height:400px;--cell-width:150px}"


class FocusPanel:
    """`use` takes a system and what to do with it into the form; `gone` is called after a row was deleted."""

    def __init__(
        self,
        client: Client,
        view: ReferencesView,
        *,
        use: Callable[[Mapping[str, Any], str], None],
        gone: Callable[[], None],
    ) -> None:
        self._client, self._view, self._use, self._gone = client, view, use, gone
        self._system: list[ReferenceRow] = []
        self._series: list[dict[str, Any]] = []
        self.load = Latest(self._load)  # all rows of the chosen row's system, and its DMRG series
        self.title = layout.Words(kind="heading", margin=(0, 8, 0, 0))
        self.compute = icon("calculate", "Compute this system", lambda event: self._take("compute"))
        self.add = icon("add", "Add an energy of this system", lambda event: self._take("own"))
        self.delete = icon("delete", "Delete this row", lambda event: self._ask_delete(), visible=False)
        self.confirm = Confirm("Delete this reference energy?")
        self.detail = pn.pane.HTML(
            "", sizing_mode="stretch_width", margin=(2, 16, 14, 16), stylesheets=[reference_details.CSS]
        )
        self.same = DataTable(
            self._on_row, label="Energies of this level", look=rows.TABLE_LOOK + LOOK, margin=(2, 8, 12, 8),
            sizing_mode="stretch_width",
        )  # fmt: skip
        self.series = SeriesPlots(view)
        view.param.watch(lambda *events: self.load(), ["row", "key"])
        view.param.watch(lambda *events: self.draw(), ["scale", "units"])

    def panel(self) -> list[Any]:
        head = layout.flow(self.title, self.compute, self.add, self.delete, gap="2px", margin=(10, 14, 0, 16))
        about = layout.card(head, self.detail)
        self.others = layout.card(self.same, title="Energies of this level")
        self.grid = layout.columns(about, self.others, wide=(5, 7), at=layout.LARGE, visible=False)
        return [self.grid, self.series.panel, self.confirm.box]

    @property
    def row(self) -> ReferenceRow | None:
        return next((row for row in self._system if str(row["id"]) == self._view.row), None)

    def show(self, row: ReferenceRow) -> None:
        """Choose a row."""
        self._view.param.update(row=str(row["id"]), key=row["key"])

    def _on_row(self, row: str) -> None:
        self._view.row = row

    async def _load(self) -> None:
        view = self._view
        if not view.row or not view.key:
            self._system, self._series = [], []
            self.draw()
            return
        try:
            self._system = (await self._client.references(key=view.key, limit=MOST))["references"]
            row = self.row
            if row is None and self._system:  # the link is older than the row
                view.row = str(self._system[0]["id"])
                return
            self._series = (
                await self._client.reference_series(key=row["key"], sector=row.get("sector"), level=row.get("level"))
                if row
                else []
            )
        except ApiError as error:
            if not isinstance(error, Unreachable):  # the page's banner says that the server is away
                say(error.detail, "error")
            raise
        self.draw()

    def level(self) -> list[ReferenceRow]:
        """The rows that speak of the same level of the same sector."""
        row = self.row
        if row is None:
            return []
        return [r for r in self._system if (r.get("sector"), r.get("level")) == (row.get("sector"), row.get("level"))]

    def draw(self) -> None:
        row, view = self.row, self._view
        if row is None:
            self.grid.visible = False
            self.series.show(None)
            return
        self.title.text = words.system(row)
        self.detail.object = reference_details.reference(row, view.scale, view.units)
        self.delete.visible = row.get("origin") not in (None, "shipped")
        self.compute.visible = self.add.visible = words.config(row) is not None
        self.grid.visible = True  # after them: buttons that come or go would move the others from under the mouse
        level = self.level()
        columns = [c for c in rows.columns(view.scale) if c["key"] in KEPT]
        self.same.param.update(
            columns=[{**c, "sort": False, "look": KEPT[c["key"]]} for c in columns],
            rows=[rows.row(r, view.scale, view.units, KEPT) for r in level], selected=view.row,
        )  # fmt: skip
        exact = next((text.finite(r.get("energy")) for r in level if r.get("bound") == "exact"), None)
        per = "per site" if view.scale == "site" else "total"
        self.series.show(
            self._series[0] if self._series else None, times=words.factor(row, view.scale, view.units),
            unit=f"Energy {per}, {words.unit(row, view.units)}", exact=exact,
        )  # fmt: skip

    def _take(self, mode: str) -> None:
        row = self.row
        system = words.config(row) if row else None
        if system is not None:
            self._use(system, mode)

    def _ask_delete(self) -> None:
        if row := self.row:
            about = f"{words.system(row)}: {words.number(row, 'total', 'spin')}, {row.get('source') or ''}"
            self.confirm.ask(f"{about} will be gone for good.", lambda: self._delete(row["id"]))

    async def _delete(self, row: int) -> None:
        try:
            await self._client.delete_reference(row)
        except ApiError as error:
            say(error.detail, "error")
            return
        self._view.param.update(row="", key="")
        self._gone()


# The columns of the list of a level, and which width hides them.
KEPT = {
    "method": "", "bound": "narrow", "energy_per_site": "right", "energy": "right", "source": "narrow",
}  # fmt: skip
