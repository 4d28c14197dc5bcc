"""A field as a widget of its kind."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import panel_material_ui as pmui
from panel.util.parameters import edit_readonly

from frontend.forms.schema import Field, FieldError, parse, show

MARGIN = (5, 0)
ANY = "any"
TYPED = (pmui.TextInput, pmui.TextAreaInput)
LINES_SX = {"& textarea": {"fontFamily": "ui-monospace, monospace", "fontSize": "12.5px", "lineHeight": 1.45}}


def flag_options(n_axes: int, default: Any = True) -> dict[str, Any]:
    """One flag for all axes, or one per axis, in words: {"yes": True, "no": False, "yes, no": [True, False], ...}."""
    options: dict[str, Any] = {"yes": True, "no": False}
    if 1 < n_axes <= 4:
        for flags in itertools.product((True, False), repeat=n_axes):
            if len(set(flags)) > 1:
                options[", ".join("yes" if f else "no" for f in flags)] = list(flags)
    if isinstance(default, (list, tuple)) and list(default) not in options.values():
        options[", ".join("yes" if f else "no" for f in default)] = list(default)
    return options


def set_text(widget: pmui.TextInput | pmui.TextAreaInput, words: str) -> None:
    """Show `words`, also where something else has been typed but not yet left."""
    widget.value = words
    with edit_readonly(widget):
        widget.value_input = words


class Control:
    """One field on the screen: `value` reads it, `set` writes it, `error` stands under it.

    `changed` is called with every keystroke, so that the check keeps up with the typing.
    """

    def __init__(self, spec: Field, changed: Callable[[], None]) -> None:
        self.spec = spec
        self._changed = changed
        self._silent = False
        self.widget = self._build()
        live = "value_input" if isinstance(self.widget, TYPED) else "value"
        self.widget.param.watch(self._on_change, live)

    def _build(self) -> Any:
        spec = self.spec
        common: dict[str, Any] = {
            "label": spec.label,
            "description": spec.tooltip,
            "sizing_mode": "stretch_width",
            "margin": MARGIN,
        }
        if spec.kind == "bool":
            return pmui.Switch(value=bool(spec.default), size="small", **common)
        if spec.kind == "choice":
            options = {
                "" if c is None else str(c): c for c in ((None, *spec.choices) if spec.optional else spec.choices)
            }
            return pmui.Select(options=options, value=spec.default, size="small", **common)
        if spec.kind == "flags":
            return pmui.Select(options=flag_options(1, spec.default), value=spec.default, size="small", **common)
        text = show(spec, spec.default)
        placeholder = "default" if spec.optional else ""
        if spec.lines:
            grow: dict[str, Any] = {"rows": 3, "auto_grow": True, "max_rows": 12, "sx": LINES_SX}
            return pmui.TextAreaInput(value=text, size="small", **grow, **common)
        return pmui.TextInput(value=text, placeholder=placeholder, size="small", **common)

    def _on_change(self, event: Any) -> None:
        if not self._silent:
            self._changed()

    @property
    def value(self) -> Any:
        """The typed value.

        Raises:
            FieldError: what is typed does not fit.
        """
        if isinstance(self.widget, TYPED):
            return parse(self.spec, self.widget.value_input or "")
        return self.widget.value

    def set(self, value: Any) -> None:
        """Show a value without counting it as typed."""
        self._silent = True
        try:
            if isinstance(self.widget, TYPED):
                set_text(self.widget, show(self.spec, value))
            elif self.spec.kind == "flags":
                self.axes(len(value) if isinstance(value, (list, tuple)) else 1, value)
            else:
                self.widget.value = value
        finally:
            self._silent = False

    def axes(self, n_axes: int, value: Any = None) -> None:
        """Offer one flag per axis for a lattice of `n_axes` axes."""
        keep = list(value) if isinstance(value, tuple) else self.widget.value if value is None else value
        if isinstance(keep, list) and len(keep) != n_axes:
            keep = keep[0]
        options = flag_options(n_axes, keep)
        was, self._silent = self._silent, True
        try:
            if self.widget.options != options or self.widget.value != keep:
                self.widget.param.update(options=options, value=keep)
        finally:
            self._silent = was

    def error(self, message: str) -> None:
        """Mark the field, or unmark it with an empty message."""
        widget = self.widget
        if hasattr(widget, "helper_text") and (widget.helper_text or "") != message:
            widget.param.update(helper_text=message, error_state=bool(message))

    def check(self) -> Any:
        """The value; a refusal is shown under the field and raised."""
        try:
            value = self.value
        except FieldError as error:
            self.error(str(error))
            raise
        self.error("")
        return value

    @property
    def shown(self) -> str:
        """What stands in the field, in words."""
        return str(self.widget.value_input or "").strip() if isinstance(self.widget, TYPED) else str(self.widget.value)


class Choice(Control):
    """A choice whose options depend on other fields; nothing chosen means any.

    A value that is not among the options stays: the server says what is wrong with it.
    """

    def __init__(self, spec: Field, changed: Callable[[], None], options: Mapping[str, Any] | None = None) -> None:
        self._offered = {ANY: ANY, **(options or {})}
        super().__init__(spec, changed)
        self._show(ANY)

    def _build(self) -> Any:
        return pmui.Select(
            label=self.spec.label, description=self.spec.tooltip, options={ANY: ANY}, value=ANY, size="small",
            sizing_mode="stretch_width", margin=MARGIN, dropdown_height=280,
        )  # fmt: skip

    def offer(self, options: Mapping[str, Any]) -> None:
        """Offer these values by their labels, beside any."""
        self._offered = {ANY: ANY, **options}
        self._show(self.widget.value)

    def set(self, value: Any) -> None:
        """Show a value without counting it as typed."""
        self._show(ANY if value is None else value)

    def _show(self, value: Any) -> None:
        offered = dict(self._offered)
        if value not in offered.values():
            offered[str(tuple(value) if isinstance(value, list) else value)] = value
        self._silent = True
        try:
            if self.widget.options != offered or self.widget.value != value:
                self.widget.param.update(options=offered, value=value)
        finally:
            self._silent = False

    @property
    def value(self) -> Any:
        """What is chosen; None for any."""
        return None if self.widget.value == ANY else self.widget.value

    @property
    def shown(self) -> str:
        """The label of what is chosen; empty for any."""
        value = self.value
        return "" if value is None else next(k for k, v in self.widget.options.items() if v == value)
