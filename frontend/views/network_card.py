"""What a configuration is and takes: one line of essentials, and the rest on demand."""

from typing import Any

import panel as pn

from frontend.figures import card_text
from frontend.forms.fold import Fold

CHECKING = "Checking…"
CARD_CSS = """
:host{font-size:12.5px;line-height:1.45;color:var(--panel-on-surface-color)}
:host(.busy) dl{opacity:.5}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:3px 12px;margin:0;max-height:min(300px,38vh);
overflow-y:auto;overscroll-behavior:contain;scrollbar-width:thin}
dt{opacity:.7} dd{margin:0;overflow-wrap:anywhere} i{font-style:normal;opacity:.7}
"""


class NetworkCard:
    """A fold: its line says the essentials; open, it holds everything that is known before a run."""

    def __init__(self) -> None:
        self.pane = pn.pane.HTML("", sizing_mode="stretch_width", margin=(0, 0, 6, 0), stylesheets=[CARD_CSS])
        self.fold = Fold("", self.pane)
        self.checking()

    def checking(self) -> None:
        """Say so; the details stay as they were, so that nothing jumps."""
        self.fold.tell(CHECKING)
        self.pane.css_classes = ["busy"]

    def show(self, answer: dict[str, Any]) -> None:
        """The card of an accepted configuration."""
        self.fold.tell(card_text.essentials(answer))
        self.pane.param.update(object=card_text.details(answer), css_classes=[])

    def refuse(self) -> None:
        """What cannot run has no card."""
        self.fold.tell("This cannot run")
        self.pane.param.update(object="", css_classes=[])
