"""Dialogs and short messages, alike on every page."""

from typing import Any

import panel as pn
import panel_material_ui as pmui

from frontend import layout


def dialog(title: str, *content: Any) -> pmui.Dialog:
    """A small window over the page, shut at first."""
    body = layout.Box(*content, visible=False, margin=(4, 4, 8, 4))
    made = pmui.Dialog(
        body, title=title, title_variant="h6", open=False, close_on_click=True, width_option="xs",
        show_close_button=True,
        # Of the colour that labels in it have behind them: in the dark it would be lighter.
        sx={"& .MuiDialog-paper": {"backgroundImage": "none", "border": "1px solid", "borderColor": "divider"}},
    )  # fmt: skip
    made.param.watch(lambda event: setattr(body, "visible", True), "open")
    return made


def say(words: str, kind: str) -> None:
    """A message that goes away by itself; `kind`: info or error."""
    if pn.state.notifications is not None:
        tell = pn.state.notifications.error if kind == "error" else pn.state.notifications.info
        tell(words, duration=5000 if kind == "error" else 2500)
