"""The runs table: search, filters, columns; a tick draws a run, a click shows its details."""

from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from frontend import layout, theme
from frontend.components import DataTable
from frontend.figures import rows
from frontend.state import ACTIVE, Hub, View

ROW_PIXELS = 34
MAX_ROWS = 7
STATE_FILTERS = {"Any state": (), "active": ACTIVE, "done": ("done",), "stopped": ("stopped",), "failed": ("failed",)}
COMPACT_SX = {"& .MuiInputBase-root": {"height": "32px"}, "& .MuiSelect-select": {"padding": "5px 12px !important"}}
CSS = (
    theme.CHIP_CSS
    + theme.DOT_CSS
    + theme.BAR_CSS
    + f":host{{--table-height:{ROW_PIXELS * MAX_ROWS + 44}px;--cell-width:220px}}"
    + """
.tick{width:32px}
.box{padding:0;background:none;cursor:pointer}
.box:focus-visible{outline:2px solid var(--panel-primary-color);outline-offset:2px}
.tag{display:inline-block;padding:0 7px;margin-right:4px;border-radius:5px;font-size:11.5px;line-height:18px;background:color-mix(in srgb,currentColor 9%,transparent)}
.muted{opacity:.75;font-size:11.5px}
tr.chosen td:nth-child(2){font-weight:650}
.flag{color:color-mix(in srgb,#c8342b 72%,var(--panel-on-surface-color))}
.beaten{color:color-mix(in srgb,#14884a 72%,var(--panel-on-surface-color))}
"""  # noqa: E501
)


class RunsTable:
    """`view` tells what is selected and focused, and is told."""

    def __init__(self, hub: Hub, view: View, remember: Callable[[str], None]) -> None:
        self._hub = hub
        self._view = view
        self._remember = remember
        small: dict[str, Any] = {"size": "small", "margin": 0, "align": "center", "sx": COMPACT_SX}
        self.search = pmui.TextInput(placeholder="Search", width=150, **small)
        self.state = pmui.Select(options=STATE_FILTERS, value=(), width=120, label="", **small)
        self.tag = pmui.Select(options={"Any tag": ""}, value="", width=110, label="", visible=False, **small)
        self.archived = pmui.Switch(label="Archived", value=False, **small)
        titles = {column.title: key for key, column in rows.COLUMNS.items() if column.title}
        self.columns = pmui.CheckBoxGroup(
            label="Columns", options=titles, value=[k for k in titles.values() if k in rows.AT_FIRST],
            size="small", margin=0,
        )  # fmt: skip
        self.table = DataTable(
            self._show, self._sort_by, self._tick, label="Runs", look=CSS, margin=(2, 8, 8, 8),
            sizing_mode="stretch_width", visible=False,
        )  # fmt: skip
        for widget, name in ((self.search, "value_input"), (self.state, "value"), (self.tag, "value")):
            widget.param.watch(lambda event: self.refresh(), name)
        self.archived.param.watch(lambda event: self.refresh(), "value")
        self.columns.param.watch(self._on_columns, "value")
        self.empty = layout.Words(margin=(10, 16, 16, 16), visible=False)

    def panel(self, *first: Any) -> Any:
        """The card; `first` stands before the filters."""
        self.popup = pmui.Popup(
            pn.Column(self.columns, margin=12), open=False, close_on_click=True,
            anchor_origin={"horizontal": "right", "vertical": "bottom"},
            transform_origin={"horizontal": "right", "vertical": "top"},
        )  # fmt: skip
        opener = pmui.IconButton(
            icon="view_column", description="Columns", size="small", margin=(0, 2), attached=[self.popup]
        )
        opener.on_click(lambda event: setattr(self.popup, "open", True))
        tools = [*first, self.search, self.state, self.tag, self.archived, opener]
        return layout.card(self.table, self.empty, title="Runs", tools=tools)

    def recall(self, columns: str) -> None:
        """Show the columns that this visitor chose last time."""
        known = [c for c in columns.split(",") if c in rows.COLUMNS and rows.COLUMNS[c].title]
        if known:
            self.columns.value = known

    def _on_columns(self, event: Any) -> None:
        if self.table.sort.removeprefix("-") not in event.new:
            self.table.sort = ""
        self.refresh()
        self._remember(",".join(k for k in rows.COLUMNS if k in event.new))

    def _tick(self, run: str) -> None:
        """Draw or hide a run's curve."""
        others = [r for r in self._view.selected if r != run]
        shown = others if run in self._view.selected else [*others, run]
        self._view.choose(shown, self._hub.runs)

    def _show(self, run: str) -> None:
        """A run's details, and its curve."""
        self._view.show(run, self._hub.runs)

    def _sort_by(self, sort: str) -> None:
        self.table.sort = sort
        self.refresh()

    def refresh(self) -> None:
        """Bring the table up to date."""
        search = self.search.value_input or ""
        found = [
            run
            for run in self._hub.runs.values()
            if rows.matches(
                run, search=search, states=self.state.value, tag=self.tag.value or "", archived=self.archived.value
            )
        ]
        made = [(run["id"], rows.row(run, self._view.selected.get(run["id"]))) for run in found]
        keys = [key for key, column in rows.COLUMNS.items() if not column.title or key in self.columns.value]
        self.table.param.update(columns=rows.head(keys), selected=self._view.focused)
        shown = rows.ordered(made, self.table.sort)
        self.table.fill([{"id": run, "cells": [cells[key][1] for key in keys]} for run, cells in shown])
        self._tell_empty(bool(made))
        tags = {"Any tag": "", **{t: t for t in rows.all_tags(self._hub.runs.values())}}
        if tags != self.tag.options:
            self.tag.param.update(options=tags, visible=len(tags) > 1)

    def _tell_empty(self, any_row: bool) -> None:
        words = (
            "No run matches these filters." if self._hub.runs else "No runs yet. Press Launch to start the first one."
        )
        self.empty.param.update(text=words if self._hub.loaded else self._hub.problem, visible=not any_row)
        self.table.visible = any_row
