"""A part of a form behind one line: most visitors never open it."""

from typing import Any

import panel_material_ui as pmui

from frontend import layout

OPEN, SHUT = "expand_more", "chevron_right"
HEAD_SX = {
    "&.MuiButton-root": {
        "justifyContent": "flex-start",
        "fontWeight": 500,
        "minWidth": 0,
        "textAlign": "left",
        "fontSize": "13px",
        "color": "var(--panel-on-surface-color)",
    },
    "&.MuiButton-root:hover": {
        "backgroundColor": "color-mix(in srgb, var(--panel-on-surface-color) 8%, transparent)",
    },
    "& .MuiButton-startIcon": {"marginRight": "2px", "marginLeft": "-4px"},
}


class Fold:
    """`title` and a few words on what is inside; a click shows the content."""

    def __init__(self, title: str, *content: Any, open: bool = False) -> None:
        self._title = title
        self.head = pmui.Button(
            label=title, icon=OPEN if open else SHUT, variant="text", size="small", color="default",
            margin=(2, 0, 0, 0), sizing_mode="stretch_width", sx=HEAD_SX, description_delay=1000,
        )  # fmt: skip
        self.body = layout.Box(*content, visible=open, margin=(4, 0, 0, 0))
        self.view = layout.Box(self.head, self.body)
        self.head.on_click(lambda event: self.show(not self.body.visible))
        self.tell("")

    def tell(self, words: str) -> None:
        """What is inside, for those who do not open it."""
        label = ": ".join(filter(None, (self._title, words)))
        if self.head.label != label:
            self.head.label = label

    def show(self, open: bool = True) -> None:
        """Open or shut it."""
        if self.body.visible != open:
            self.body.visible = open
            self.head.param.update(icon=OPEN if open else SHUT)
