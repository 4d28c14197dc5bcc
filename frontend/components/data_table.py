"""A table of rows that Python has sorted and filtered."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import param
from panel.custom import JSComponent

from frontend.components.bundle import bundle


class DataTable(JSComponent):
    """Headings sort, a row can be chosen with mouse or keyboard; what happens then is up to the callbacks.

    Args:
        on_row: is called with the id of the row that was chosen.
        on_sort: is called with a column's key, "-key" for falling order, "" for the order it has by itself.
        on_press: is called with the id of a row in which a button was pressed.
    """

    columns = param.List(
        default=[],
        item_type=dict,
        doc="{key, title, help, sort: bool, look}; `look` are classes: right, and wide, middle or narrow: which width "
        "of the table hides the column.",
    )
    rows = param.List(
        default=[],
        item_type=dict,
        doc="{id, cells}: one HTML text per column, already escaped; buttons in it belong to the row; `.sub` shows "
        "only where columns are hidden for want of width.",
    )
    selected = param.String(default="", doc="Id of the row that is marked.")
    sort = param.String(default="", doc="Key of the column that is sorted by, with a leading '-' for falling order.")
    label = param.String(default="", doc="What the table holds, for screen readers.")
    look = param.String(default="", doc="More CSS for the cells.")

    _esm = bundle("data_table.js")

    def __init__(
        self,
        on_row: Callable[[str], None] = lambda row: None,
        on_sort: Callable[[str], None] = lambda sort: None,
        on_press: Callable[[str], None] = lambda row: None,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self._on_row = on_row
        self._on_sort = on_sort
        self._on_press = on_press
        self._wanted: list[dict[str, Any]] | None = None
        self._shown: Sequence[Mapping[str, Any]] | None = None  # what the browser has; None before it has drawn

    def fill(self, rows: list[dict[str, Any]]) -> None:
        """Show these rows; of rows that stand there already only the cells that changed are sent."""
        self._wanted = rows
        changed = None if self._shown is None else changes(self._shown, rows)
        if changed is None:
            self.rows = rows
        elif changed:
            self._send_msg({"cells": changed})
        if self._shown is not None:
            self._shown = rows

    def _handle_msg(self, data: Any) -> None:
        if "drawn" in data:
            # Also after a lost connection: the browser then draws the rows as they were last sent whole.
            self._shown = list(self.rows or [])
            if self._wanted is not None:
                self.fill(self._wanted)
        elif "press" in data:
            self._on_press(str(data["press"]))
        elif "row" in data:
            self._on_row(str(data["row"]))
        elif "sort" in data:
            self._on_sort(str(data["sort"]))


def changes(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[list[Any]] | None:
    """[row, column, text] of each cell that differs; None where rows or columns came, went or moved."""
    if [(r["id"], len(r["cells"])) for r in old] != [(r["id"], len(r["cells"])) for r in new]:
        return None
    return [
        [i, j, after]
        for i, (a, b) in enumerate(zip(old, new, strict=True))
        for j, (before, after) in enumerate(zip(a["cells"], b["cells"], strict=True))
        if before != after
    ]
