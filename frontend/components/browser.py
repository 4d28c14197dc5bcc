"""Two small components: what only the browser knows, and a formula."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import param
from panel.custom import JSComponent

from frontend.components.bundle import bundle

ASSETS = pathlib.Path(__file__).parent / "assets"
THEME = "theme"


class Browser(JSComponent):
    """Width of the window and remembered texts, told once after load; `local` and `session` are written back."""

    local = param.Dict(default={}, doc="Texts for localStorage: remembered for good.")
    session = param.Dict(default={}, doc="Texts for sessionStorage: remembered for this tab.")
    copy = param.Integer(default=0, doc="Counts up to copy the page's address.")

    _esm = bundle("browser.js")

    def __init__(self, on_ready: Callable[[int, dict[str, str], dict[str, str]], None], **params: Any) -> None:
        super().__init__(**params)
        self._on_ready = on_ready
        self._themed = False

    def apply_theme(self, page: Any, local: Mapping[str, str]) -> None:
        """Give `page` the theme that was chosen or is preferred, and remember what is chosen from now on."""
        if local.get(THEME) in ("dark", "light"):
            page.dark_theme = local[THEME] == "dark"
        if not self._themed:
            self._themed = True
            page.param.watch(self._remember_theme, "dark_theme")

    def _remember_theme(self, event: Any) -> None:
        self.local = {THEME: "dark" if event.new else "light"}

    def _handle_msg(self, data: Any) -> None:
        width = int(data.get("width") or 0)
        self._on_ready(width, dict(data.get("local") or {}), dict(data.get("session") or {}))


class Formula(JSComponent):
    """LaTeX, set as MathML by KaTeX."""

    latex = param.String(default="")
    display = param.Boolean(default=True)

    _esm = ASSETS / "formula.js"
    _stylesheets: ClassVar[list[str]] = [":host{overflow-x:auto;overflow-y:hidden} math{font-size:1.08em}"]
