"""The table of reference energies: search, filters, order and pages, all of them the server's work."""

import asyncio
from collections.abc import Callable
from typing import Any

import panel_material_ui as pmui

from frontend import layout
from frontend.client import ApiError, Client, ReferenceRow
from frontend.components import DataTable
from frontend.figures import reference_rows as rows
from frontend.figures import reference_text as words
from frontend.latest import Latest
from frontend.views.reference_state import FACETS, PAGE_ROWS, ReferencesView
from frontend.views.table import COMPACT_SX

TYPING_SECONDS = 0.25
ANY = {"hamiltonian": "Any model", "lattice": "Any lattice", "method": "Any method", "bound": "Any kind",
       "origin": "Any origin"}  # fmt: skip
WIDTHS = {"hamiltonian": 140, "lattice": 120, "method": 160, "bound": 120, "origin": 120}


class ReferenceTable:
    """`view` tells what is searched and shown, and is told; `choose` gets the row that was clicked."""

    def __init__(self, client: Client, view: ReferencesView, choose: Callable[[ReferenceRow], None]) -> None:
        self._client = client
        self._view = view
        self._choose = choose
        self._found: list[ReferenceRow] = []
        self._total = 0
        self._ask = Latest(self._load)
        small: dict[str, Any] = {"size": "small", "margin": 0, "sx": COMPACT_SX}
        self.search = pmui.TextInput(placeholder="Search", value=view.search, width=170, **small)
        self.search.param.watch(self._on_search, "value_input")
        self.filters = {
            name: pmui.Select(options={ANY[name]: ""}, value="", width=WIDTHS[name], label="", **small)
            for name in FACETS
        }
        for name, widget in self.filters.items():
            widget.param.watch(lambda event, name=name: self._filter(**{name: event.new or ""}), "value")
        self.only = pmui.Button(
            label="", icon="close", variant="outlined", size="small", margin=0, visible=False,
            description="Show all systems again",
        )  # fmt: skip
        self.only.on_click(lambda event: self._filter(only=""))
        self.table = DataTable(
            self._on_row, self._on_sort, label="Reference energies", look=rows.TABLE_LOOK, selected=view.row,
            sort=view.sort, columns=rows.columns(view.scale), sizing_mode="stretch_width", margin=(2, 8, 0, 8),
        )  # fmt: skip
        self.empty = layout.Words(margin=(10, 16, 8, 16), visible=False)
        self.back = self._turn("chevron_left", "Previous page", -1)
        self.forth = self._turn("chevron_right", "Next page", 1)
        self.where = layout.Words(margin=(0, 4))
        view.param.watch(lambda *events: self.reload(), ["search", "only", "sort", "page", *FACETS])
        view.param.watch(lambda *events: self.draw(), ["scale", "units", "row"])

    def _turn(self, icon: str, label: str, step: int) -> Any:
        made = pmui.IconButton(icon=icon, description=label, label=label, size="small", margin=0, disabled=True)
        made.on_click(lambda event: setattr(self._view, "page", max(1, self._view.page + step)))
        return made

    def panel(self, *tools: Any) -> Any:
        """The card; `tools` stand at the right end of its foot."""
        filters = layout.flow(self.search, *self.filters.values(), self.only, gap="6px 8px", margin=(12, 14, 6, 14))
        pages = layout.flow(self.back, self.where, self.forth, *tools, gap="4px 6px", margin=(4, 10, 8, 10))
        return layout.card(filters, self.table, self.empty, pages)

    def _filter(self, **chosen: str) -> None:
        """A new filter begins at the first page."""
        if any(getattr(self._view, name) != value for name, value in chosen.items()):
            self._view.param.update(**chosen, page=1)

    def _on_search(self, event: Any) -> None:
        self._filter(search=(event.new or "").strip())

    def _on_sort(self, sort: str) -> None:
        self._view.param.update(sort=sort, page=1)

    def _on_row(self, row: str) -> None:
        found = next((r for r in self._found if str(r["id"]) == row), None)
        if found is not None:
            self._choose(found)

    def reload(self) -> None:
        """Ask for the page that the view describes; a newer question replaces an older one."""
        self._ask()

    async def _load(self) -> None:
        await asyncio.sleep(TYPING_SECONDS if self._found else 0)
        try:
            page = await self._client.references(**self._view.query())
        except ApiError as error:
            self.empty.param.update(text=error.detail, visible=True)
            raise
        self._found, self._total = page["references"], page["total"]
        if not self._found and self._view.page > 1:  # the link is older than the table
            self._view.page = 1
            return
        self._offer(page["facets"])
        self.draw()

    def _offer(self, facets: dict[str, list[str]]) -> None:
        for name, widget in self.filters.items():
            options, value = rows.options(name, facets.get(name) or [], ANY[name]), getattr(self._view, name)
            if value and value not in options.values():
                options[value] = value
            if widget.options != options or widget.value != value:
                widget.param.update(options=options, value=value)
        if (self.search.value_input or "").strip() != self._view.search:
            self.search.value = self._view.search

    def draw(self) -> None:
        """Show the rows that are known in the units that are chosen."""
        view = self._view
        self.table.param.update(
            columns=rows.columns(view.scale), rows=rows.rows(self._found, view.scale, view.units), selected=view.row,
            sort=view.sort,
        )  # fmt: skip
        shown = words.system(self._found[0]) if view.only and self._found else view.only
        self.only.param.update(label=shown, visible=bool(view.only))
        none = not self._found
        self.empty.param.update(text="No reference energy matches these filters.", visible=none)
        self.table.visible = not none
        self.where.text = rows.page_words(view.page, PAGE_ROWS, len(self._found), self._total)
        self.back.disabled = view.page <= 1
        self.forth.disabled = view.page * PAGE_ROWS >= self._total
