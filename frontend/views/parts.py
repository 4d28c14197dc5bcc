"""Small parts that are alike on every page: dialogs, short messages, buttons."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import panel as pn
import panel_material_ui as pmui

from frontend import layout

SPIN_AFTER_SECONDS, SPIN_SECONDS = 0.4, 0.4
TOGGLE_SX = {"& .MuiToggleButton-root": {"padding": "2px 10px", "whiteSpace": "nowrap"}}


def dialog(title: str, *content: Any) -> pmui.Dialog:
    """A small window over the page, shut at first."""
    return pmui.Dialog(
        layout.Box(*content, margin=(4, 4, 8, 4)), title=title, title_variant="h6", open=False, close_on_click=True,
        width_option="xs", show_close_button=True,
        # Of the colour that labels in it have behind them: in the dark it would be lighter.
        sx={"& .MuiDialog-paper": {"backgroundImage": "none", "border": "1px solid", "borderColor": "divider"}},
    )  # fmt: skip


class Confirm:
    """Asks before it acts; `box` belongs somewhere on the page."""

    def __init__(self, title: str) -> None:
        self._act: Callable[[], Awaitable[None]] | None = None
        self.question = layout.Words(margin=(4, 0, 12, 0))
        sure = pmui.Button(label="Delete", color="error", variant="contained", disable_elevation=True, margin=0)
        sure.on_click(self._on_sure)
        self.box = dialog(title, self.question, sure)

    def ask(self, question: str, act: Callable[[], Awaitable[None]]) -> None:
        """Open the question; `act` is awaited where the visitor is sure."""
        self._act = act
        self.question.text = question
        self.box.open = True

    async def _on_sure(self, event: Any) -> None:
        self.box.open = False
        act, self._act = self._act, None
        if act is not None:
            await act()


def on_press(button: Any, act: Callable[[Any], Awaitable[None]]) -> None:
    """Await `act` for each press, one at a time: a second press while it works is ignored, and the button spins.

    It spins late and not for a moment only: of two changes within milliseconds a browser that is busy can keep the
    first for good, for a React state is written back to its model after it is drawn.
    """
    working = False

    async def press(event: Any) -> None:
        nonlocal working
        if working:
            return
        working = True
        spin = asyncio.get_running_loop().call_later(SPIN_AFTER_SECONDS, lambda: setattr(button, "loading", True))
        try:
            await act(event)
        finally:
            spin.cancel()
            if button.loading:
                await asyncio.sleep(SPIN_SECONDS)
                button.loading = False
            working = False

    button.on_click(press)


def say(words: str, kind: str = "info") -> None:
    """A short notice in the corner of the page."""
    if pn.state.notifications is not None:
        tell = pn.state.notifications.error if kind == "error" else pn.state.notifications.info
        tell(words, duration=5000 if kind == "error" else 2500)


def icon(name: str, label: str, do: Callable[[Any], Any], **more: Any) -> Any:
    """A small button that is a picture with a name."""
    # It has its place before it is drawn: those behind it must not move from under the mouse.
    place = {"min-width": "28px", "min-height": "28px"}
    made = pmui.IconButton(
        icon=name, description=label, label=label, size="small", margin=(0, 1), styles=place, **more
    )  # fmt: skip
    made.on_click(do)
    return made


def toggle(options: Mapping[str, Any], view: Any, name: str, label: str) -> Any:
    """Buttons of which one is pressed; it is the value of `name` in `view`."""
    made = pmui.RadioButtonGroup(
        options=dict(options), value=getattr(view, name), size="small", margin=0, sx=TOGGLE_SX, description=label
    )
    made.link(view, value=name, bidirectional=True)
    return made
