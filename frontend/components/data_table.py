"""A table that shows one page of rows which the server has sorted and filtered."""

from collections.abc import Callable
from typing import Any

import param
from panel.custom import JSComponent

from frontend.components.bundle import bundle


class DataTable(JSComponent):
    """Headings sort, a row can be chosen with mouse or keyboard; what happens then is up to the callbacks.

    Args:
        on_row: is called with the id of the row that was chosen.
        on_sort: is called with a column's key, "-key" for falling order, "" for the server's own order.
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
        doc="{id, cells}: one HTML text per column, already escaped; `.sub` shows "
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
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self._on_row = on_row
        self._on_sort = on_sort

    def _handle_msg(self, data: Any) -> None:
        if "row" in data:
            self._on_row(str(data["row"]))
        elif "sort" in data:
            self._on_sort(str(data["sort"]))
