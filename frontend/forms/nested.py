"""A parameter that is a component of its own: a choice of kinds, the fields of the chosen one, and its curve."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui

from frontend import layout
from frontend.figures.sparkline import sparkline
from frontend.forms.schema import Field, FieldError, Variant
from frontend.forms.widgets import MARGIN, Control

NUMBER, NOTHING = "number", "none"
CURVE_CSS = ":host{color:var(--panel-on-surface-color);font-size:12px;line-height:1.3} svg{display:block;width:100%}"


class SpecControl(Control):
    """A bare number or a spec `{name, params}`; fields of kinds that are not chosen keep what was typed."""

    def __init__(self, spec: Field, changed: Callable[[], None]) -> None:
        self.spec = spec
        self._changed = changed
        self._silent = False
        self._variants: dict[str, Variant] = {v.name or NUMBER: v for v in spec.variants}
        self._controls: dict[str, dict[str, Control]] = {}
        names = [NOTHING, *self._variants] if spec.optional else list(self._variants)
        self.select = pmui.Select(
            label=spec.label, description=spec.tooltip, options={name.replace("_", " "): name for name in names},
            value=names[0], size="small", sizing_mode="stretch_width", margin=MARGIN,
        )  # fmt: skip
        self.body = layout.fields()
        self.curve = pn.pane.HTML("", sizing_mode="stretch_width", margin=(0, 0, 4, 0), stylesheets=[CURVE_CSS])
        self.widget = layout.Box(self.select, self.body, self.curve)
        self.set(spec.default)
        self.select.param.watch(self._on_select, "value")

    @property
    def controls(self) -> dict[str, Control]:
        """The fields of the chosen kind."""
        name = self.select.value
        if name not in self._controls:
            made = self._variants[name].fields if name in self._variants else ()
            self._controls[name] = {field.name: control_of(field, self._on_field) for field in made}
        return self._controls[name]

    def _on_field(self) -> None:
        if not self._silent:
            self._changed()

    def _on_select(self, event: Any) -> None:
        self._show()
        self._on_field()

    def _show(self) -> None:
        for inner in self.controls.values():
            least = "max-content" if inner.spec.kind == "bool" else "0"
            inner.widget.styles = {"flex": "1 1 calc(33% - 8px)", "min-width": least}
            inner.widget.min_width = 0
        self.body.objects = [inner.widget for inner in self.controls.values()]
        self.curve.object = ""

    @property
    def value(self) -> Any:
        """The number or the spec.

        Raises:
            FieldError: a field of it does not fit.
        """
        name = self.select.value
        if name == NOTHING:
            return None
        params = {key: inner.value for key, inner in self.controls.items()}
        return next(iter(params.values())) if name == NUMBER else {"name": name, "params": params}

    def set(self, value: Any) -> None:
        """Show a value without counting it as typed."""
        self._silent = True
        try:
            is_spec = isinstance(value, Mapping)
            name = str(value.get("name")) if is_spec else NOTHING if value is None else NUMBER
            if name == NOTHING and not self.spec.optional:
                name = next(iter(self._variants))
            if name in self.select.options.values():
                self.select.value = name
            self._show()
            given: Mapping[str, Any] = (value.get("params") or {}) if is_spec else {}
            for key, inner in self.controls.items():
                inner.set(value if name == NUMBER and value is not None else given.get(key, inner.spec.default))
                inner.error("")
        finally:
            self._silent = False

    def error(self, message: str) -> None:
        """Mark the choice, or unmark it with an empty message."""
        if (self.select.helper_text or "") != message:
            self.select.param.update(helper_text=message, error_state=bool(message))

    def mark(self, key: str, message: str) -> bool:
        """Put a message under the field of this name, where there is one."""
        inner = self.controls.get(key)
        if inner is not None:
            inner.error(message)
        return inner is not None

    def check(self) -> Any:
        """The value; a refusal is shown under the field that does not fit, and raised."""
        self.error("")
        failed = None
        for inner in self.controls.values():
            try:
                inner.check()
            except FieldError as error:
                failed = failed or error
        if failed:
            raise failed
        return self.value

    def axes(self, n_axes: int, value: Any = None) -> None:
        """Its fields do not depend on the number of axes."""

    def draw(self, values: Sequence[float]) -> None:
        """Draw how the value changes during the run; a constant needs no drawing."""
        moves = len(set(values)) > 1
        self.curve.object = sparkline(values, self.spec.unit) if moves else ""

    @property
    def shown(self) -> str:
        """What is chosen, in words."""
        words = [f"{key} {inner.shown}" for key, inner in self.controls.items()]
        return ", ".join([str(self.select.value), *words])


def control_of(spec: Field, changed: Callable[[], None]) -> Control:
    """The field on the screen that its kind needs."""
    return SpecControl(spec, changed) if spec.kind == "spec" else Control(spec, changed)
