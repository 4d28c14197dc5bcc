"""The runs table: search, filters, columns; a tick draws a run, a click shows its details."""

import time
from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui
from bokeh.models.widgets.tables import HTMLTemplateFormatter

from frontend import layout, theme
from frontend.figures import rows
from frontend.state import ACTIVE, Hub, View

ROW_PIXELS = 34
MAX_ROWS = 7
STATE_FILTERS = {"Any state": (), "active": ACTIVE, "done": ("done",), "stopped": ("stopped",), "failed": ("failed",)}
COMPACT_SX = {"& .MuiInputBase-root": {"height": "32px"}, "& .MuiSelect-select": {"padding": "5px 12px !important"}}
CSS = (
    theme.CHIP_CSS
    + theme.DOT_CSS
    + """
.tabulator{border:0;background:transparent;font-size:13px}
.tabulator .tabulator-header{border-color:var(--divider-color,rgba(128,128,128,.25));background:transparent}
.tabulator .tabulator-header .tabulator-col{background:transparent !important;border-right:0}
.tabulator .tabulator-header .tabulator-col.tabulator-sortable .tabulator-col-title,.tabulator .tabulator-header .tabulator-col .tabulator-col-title{font-size:12px;font-weight:600;padding-right:0 !important;text-overflow:clip}
.tabulator .tabulator-header .tabulator-col .tabulator-col-sorter{opacity:0;right:0}
.tabulator .tabulator-header .tabulator-col:hover .tabulator-col-sorter{opacity:.55}
.tabulator .tabulator-header .tabulator-col:is([aria-sort=ascending],[aria-sort=descending]) .tabulator-col-sorter{opacity:1}
.tabulator .tabulator-header .tabulator-col .tabulator-col-content{padding:6px 8px}
.tabulator .tabulator-row{background:transparent;min-height:34px;border-bottom:1px solid color-mix(in srgb,var(--panel-on-surface-color) 8%,transparent)}
.tabulator .tabulator-tableholder .tabulator-row.tabulator-row-even{background-color:transparent !important}
.tabulator .tabulator-row .tabulator-cell{font-size:13px;padding:7px 8px;border-right:0;height:34px;line-height:20px;cursor:pointer}
.tabulator .tabulator-tableholder .tabulator-row:hover{background-color:color-mix(in srgb,var(--panel-primary-color) 12%,transparent) !important;color:var(--panel-on-surface-color) !important}
.bar{position:relative;height:18px;margin-top:1px;border-radius:5px;overflow:hidden;background:color-mix(in srgb,var(--panel-on-surface-color) 8%,transparent)}
.bar i{position:absolute;inset:0 auto 0 0;background:color-mix(in srgb,var(--panel-primary-color) 38%,transparent)}
.bar span{position:relative;display:block;text-align:center;font-size:11.5px;line-height:18px}
.tag{display:inline-block;padding:0 7px;margin-right:4px;border-radius:5px;font-size:11.5px;line-height:18px;background:color-mix(in srgb,var(--panel-on-surface-color) 9%,transparent)}
.muted{opacity:.75;font-size:11.5px}
.focus{font-weight:650}
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
        self._rows: list[dict[str, Any]] = []
        small: dict[str, Any] = {"size": "small", "margin": 0, "align": "center", "sx": COMPACT_SX}
        self.search = pmui.TextInput(placeholder="Search", width=150, **small)
        self.state = pmui.Select(options=STATE_FILTERS, value=(), width=120, label="", **small)
        self.tag = pmui.Select(options={"Any tag": ""}, value="", width=110, label="", visible=False, **small)
        self.archived = pmui.Switch(label="Archived", value=False, **small)
        titles = {title: key for key, (title, _, _) in rows.COLUMNS.items() if title}
        self.columns = pmui.CheckBoxGroup(
            label="Columns", options=titles, value=[k for k in titles.values() if k not in rows.HIDDEN_AT_FIRST],
            size="small", margin=0,
        )  # fmt: skip
        self.table = self._table()
        for widget, name in ((self.search, "value_input"), (self.state, "value"), (self.tag, "value")):
            widget.param.watch(lambda event: self.refresh(), name)
        self.archived.param.watch(lambda event: self.refresh(), "value")
        self.columns.param.watch(self._on_columns, "value")
        self.table.on_click(self._on_click)
        self.empty = layout.Words(margin=(10, 16, 16, 16), visible=False)

    def _table(self) -> Any:
        shown = {k: v for k, (_, _, v) in rows.COLUMNS.items() if v}
        return pn.widgets.Tabulator(
            rows.frame([]),
            show_index=False, selectable=False, disabled=True, sizing_mode="stretch_width", layout="fit_data_fill",
            row_height=ROW_PIXELS, max_height=ROW_PIXELS * MAX_ROWS + 44, theme="simple", margin=(2, 8, 8, 8),
            titles={k: title for k, (title, _, _) in rows.COLUMNS.items()},
            widths={k: width for k, (_, width, _) in rows.COLUMNS.items()},
            formatters={k: HTMLTemplateFormatter(template=f"<%= {v} %>") for k, v in shown.items()},
            text_align=dict.fromkeys(rows.RIGHT, "right"),
            hidden_columns=["id", *rows.TEXTS, *rows.HIDDEN_AT_FIRST],
            configuration={"columnDefaults": {"headerSortTristate": True, "resizable": "header"}, "placeholder": ""},
            stylesheets=[CSS],
        )  # fmt: skip

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
        known = [c for c in columns.split(",") if rows.COLUMNS.get(c, ("",))[0]]
        if known:
            self.columns.value = known

    def _on_columns(self, event: Any) -> None:
        hidden = [k for k, (title, _, _) in rows.COLUMNS.items() if title and k not in event.new]
        self.table.hidden_columns = ["id", *rows.TEXTS, *hidden]
        self._remember(",".join(k for k in rows.COLUMNS if k in event.new))

    def _on_click(self, event: Any) -> None:
        """The box draws or hides a curve, all else shows the run's details (and its curve)."""
        if event.row is None or event.row >= len(self._rows):
            return
        run = self._rows[event.row]["id"]
        if event.column == "shown" and run in self._view.selected:
            self._view.choose([r for r in self._view.selected if r != run], self._hub.runs)
        elif event.column == "shown":
            self._view.choose([*self._view.selected, run], self._hub.runs)
        else:
            self._view.show(run, self._hub.runs)

    def refresh(self) -> None:
        """Bring the table up to date: only the cells that changed, unless rows came or went."""
        search = self.search.value_input or ""
        found = [
            run
            for run in self._hub.runs.values()
            if rows.matches(
                run, search=search, states=self.state.value, tag=self.tag.value or "", archived=self.archived.value
            )
        ]
        now = time.time()
        selected, focused = self._view.selected, self._view.focused
        new = [rows.row(run, selected.get(run["id"]), now, run["id"] == focused) for run in found]
        patch = rows.changes(self._rows, new)
        self._rows = new
        if patch is None:
            self.table.value = rows.frame(new)
        elif patch:
            self.table.patch(patch, as_index=False)
        self._tell_empty(bool(new))
        tags = {"Any tag": "", **{t: t for t in rows.all_tags(self._hub.runs.values())}}
        if tags != self.tag.options:
            self.tag.param.update(options=tags, visible=len(tags) > 1)

    def _tell_empty(self, any_row: bool) -> None:
        words = (
            "No run matches these filters." if self._hub.runs else "No runs yet. Press Launch to start the first one."
        )
        self.empty.param.update(text=words if self._hub.loaded else self._hub.problem, visible=not any_row)
        self.table.visible = any_row
