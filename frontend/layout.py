"""Boxes and words of a page, in plain CSS.

A component with a script of its own (all of panel_material_ui) costs about 10 ms on the server and 40 ms in the
browser: too much for what only stands beside or above something.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import panel as pn
import param

MEDIUM, LARGE = 900, 1200  # from this width of the window on, in pixels, columns stand side by side

WORDS = {
    "title": ("h2", "font-size:1.25rem;font-weight:650;line-height:1.6"),
    "heading": ("h3", "font-size:1rem;font-weight:600;line-height:1.75"),
    "label": ("h4", "font-size:.875rem;font-weight:500;line-height:1.57"),
    "text": ("div", "font-size:.875rem;line-height:1.43"),
}
LINE = "1px solid color-mix(in srgb,var(--panel-on-surface-color) 12%,transparent)"
CARD_CSS = f":host{{background:var(--panel-surface-color);border:{LINE};border-radius:8px;overflow:hidden}}"
FOOT_CSS = (
    f":host{{background:var(--panel-surface-color);border-top:{LINE};padding:10px 18px 12px;"
    "position:sticky;bottom:0;z-index:3;box-sizing:border-box}"
)


class Box(pn.Column):
    """A column; what it holds is made for the browser when it is first visible.

    None within another: what changes in a box while the browser builds it up is lost (Bokeh reads children once).
    """

    def __init__(self, *content: Any, visible: bool = True, **params: Any) -> None:
        params = {"sizing_mode": "stretch_width", "margin": 0, **params}
        params["styles"] = {"max-height": "none", **params.get("styles", {})}  # Panel: no higher than its parent
        params["stylesheets"] = [".scroll-button{display:none}", *params.get("stylesheets", [])]  # it takes a place
        super().__init__(*(content if visible else ()), visible=visible, **params)
        self._later = () if visible else content
        if not visible:
            self.param.watch(self._fill, "visible")

    def _fill(self, event: Any) -> None:
        if event.new and self._later:
            later, self._later = self._later, ()
            self.objects = [*later, *self.objects]


def flow(*content: Any, gap: str = "0", justify: str = "start", **params: Any) -> Box:
    """Side by side, in as many lines as it takes."""
    styles = {"flex-flow": "row wrap", "align-items": "center", "gap": gap, "justify-content": justify}
    return Box(*content, **{"styles": styles, **params})


def fields(*content: Any) -> Box:
    """Widgets of a form, as many to a line as their own widths allow."""
    return flow(*content, gap="0 10px")


def columns(*content: Any, wide: Sequence[int] = (), at: int = MEDIUM, **params: Any) -> Box:
    """Columns of relative widths `wide` (two equal ones unless told) where the window has `at` pixels, else one."""
    widths = " ".join(f"minmax(0,{part}fr)" for part in wide or (1, 1))
    css = (
        ":host(:not(.off)){display:grid!important} :host{grid-template-columns:minmax(0,1fr);align-items:start}"
        f"@media(min-width:{at}px){{:host{{grid-template-columns:{widths}}}}}"
    )
    made = Box(*content, **{"stylesheets": [css], **params})

    def switch(visible: bool) -> None:
        made.css_classes = [] if visible else ["off"]  # a rule of ours would show what Bokeh hides

    switch(made.visible)
    made.param.watch(lambda event: switch(event.new), "visible")
    return made


class Words(pn.pane.HTML):
    """A line of plain text; `kind` is one of WORDS."""

    text = param.String(default="", doc="What is said; no markup.")

    _rename: ClassVar[Mapping[str, str | None]] = {"text": None}

    def __init__(self, text: str = "", kind: str = "text", **params: Any) -> None:
        self._tag, look = WORDS[kind]
        css = f":host{{color:var(--panel-on-surface-color)}} .words{{margin:0;{look}}}"
        super().__init__(**{"margin": 0, "stylesheets": [css], **params})
        self.text = text

    @param.depends("text", watch=True)
    def _escape(self) -> None:
        tag = self._tag
        self.object = f"<{tag} class='words'>{html.escape(self.text)}</{tag}>" if self.text else ""


def card(*content: Any, title: str = "", tools: Sequence[Any] = (), margin: Any = 6, **params: Any) -> Box:
    """A flat panel with an optional title line; `tools` stand at its right end."""
    head = [flow(Words(title, "heading", margin=(0, 8, 0, 0)), *tools, gap="6px", margin=(8, 14, 2, 14))]
    return Box(*(head if title else ()), *content, margin=margin, stylesheets=[CARD_CSS], **params)


def foot(*content: Any) -> Box:
    """What stays in sight at the lower end of a sidebar."""
    return Box(*content, stylesheets=[FOOT_CSS])
