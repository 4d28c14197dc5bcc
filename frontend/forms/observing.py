"""What a run observes: a choice of observables, and how often."""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui

from frontend.forms.fold import Fold
from frontend.forms.schema import FieldError, field
from frontend.forms.widgets import MARGIN, Control

HELP_CSS = """
:host{font-size:12px;line-height:1.45;color:var(--panel-on-surface-color)}
dl{margin:2px 0 4px} dt{font-weight:600;margin-top:4px} dd{margin:0;opacity:.85}
"""


def pretty(name: str) -> str:
    """structure_factor -> Structure factor; an observable may measure several quantities."""
    return {"renyi2": "Rényi-2 entropy"}.get(name, name.replace("_", " ").capitalize())


def choice(names: Sequence[str]) -> Any:
    """A field for some of the observables; none means all that apply."""
    return pmui.MultiChoice(
        label="Observables (none: all that apply)", options={pretty(name): name for name in names}, value=[],
        visual_size="small", sizing_mode="stretch_width", margin=MARGIN, searchable=False, solid=False,
    )  # fmt: skip


class ObservablesForm:
    """`entries` is the catalog's family; `rules` are the properties of a run's schema."""

    def __init__(self, entries: Mapping[str, Any], rules: Mapping[str, Any], changed: Callable[[], None]) -> None:
        self._changed = changed
        self._silent = False
        self.choice = choice(list(entries))
        self.choice.param.watch(self._on_choice, "value")
        every = {"title": "Observe every", **rules.get("observe_every", {"type": "integer", "minimum": 1})}
        self.every = Control(field("observe_every", {**every, "unit": "steps"}), self._on_field)
        self.every.widget.placeholder = "about 50 times a run"
        lines = "".join(
            f"<dt>{pretty(name)}</dt><dd>{html.escape(str(entry.get('summary') or ''))}</dd>"
            for name, entry in entries.items()
        )
        about = pn.pane.HTML(f"<dl>{lines}</dl>", sizing_mode="stretch_width", margin=0, stylesheets=[HELP_CSS])
        self.fold = Fold("Observables", self.choice, self.every.widget, about)
        self._tell()

    def _on_choice(self, event: Any) -> None:
        if not self._silent:
            self._on_field()

    def _on_field(self) -> None:
        self._tell()
        self._changed()

    def _tell(self) -> None:
        names = [pretty(name).lower() for name in self.choice.value]
        often = (self.every.widget.value_input or "").strip()
        words = ", ".join(names) if len(names) < 3 else f"{len(names)} of {len(self.choice.options)}"
        self.fold.tell((words or "all that apply") + (f", every {often} steps" if often else ""))

    def read(self, errors: dict[str, str]) -> dict[str, Any]:
        """The keys of a configuration; what is left to the server is left out."""
        found: dict[str, Any] = {}
        if self.choice.error_state:
            self.choice.param.update(helper_text="", error_state=False)
        if self.choice.value:
            found["observables"] = list(self.choice.value)
        try:
            if (every := self.every.check()) is not None:
                found["observe_every"] = every
        except FieldError as error:
            errors["observe_every"] = str(error)
            self.fold.show()
        return found

    def fill(self, config: Mapping[str, Any]) -> None:
        """Show the choice of a configuration; one of everything is no choice."""
        known = list(self.choice.options.values())
        names = [name for name in config.get("observables") or [] if name in known]
        self._silent = True
        try:
            self.choice.value = [] if len(names) == len(known) else names
        finally:
            self._silent = False
        self.every.set(config.get("observe_every"))
        self.every.error("")
        self._tell()

    def mark(self, key: str, message: str) -> bool:
        """Put a refusal under its field; False where it names none of these."""
        if key == "observe_every":
            self.every.error(message)
        elif key == "observables":
            self.choice.param.update(helper_text=message, error_state=bool(message))
        else:
            return False
        self.fold.show()
        return True
