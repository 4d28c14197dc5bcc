"""The form of a run, built from the catalog: one section per family, each with the fields of the chosen component."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import panel_material_ui as pmui

from frontend import layout
from frontend.figures.card_text import because
from frontend.forms.nested import SpecControl, control_of
from frontend.forms.observing import ObservablesForm
from frontend.forms.schema import Field, FieldError, field, fields
from frontend.forms.sector import SectorForm
from frontend.forms.starting import StartForm
from frontend.forms.widgets import Control

FAMILIES = ("lattice", "hamiltonian", "ansatz", "sampler", "optimizer")
TITLES = {
    "lattice": "Lattice",
    "hamiltonian": "Hamiltonian",
    "ansatz": "Ansatz",
    "sampler": "Sampler",
    "optimizer": "Optimizer",
}
AUTO = "automatic"
# A reason is longer than a name.
BARRED_CSS = """
.MuiMenu-paper .MuiMenuItem-root.Mui-disabled{white-space:normal;max-width:420px;min-height:0;opacity:.65}
.MuiMenu-paper .MuiMenuItem-root.Mui-disabled .MuiListItemText-root{margin-top:4px;margin-bottom:4px}
.MuiMenu-paper .Mui-disabled .MuiListItemText-primary{font-size:13px;line-height:1.4}
"""
RUN_FIELDS = ("n_steps", "seed", "precision", "n_states", "measure")


class Section:
    """One family: a choice of registered names, and the fields of the chosen one. Fields keep what was typed."""

    def __init__(
        self, family: str, entries: Mapping[str, Any], rule: Mapping[str, Any], changed: Callable[[], None]
    ) -> None:
        self.family = family
        self.fallback: Mapping[str, Any] = rule.get("default") or {}
        optional = "default" in rule and not self.fallback
        if optional:  # what is left out is chosen by the server, to fit the ansatz
            entries = {AUTO: {"summary": rule.get("description", "")}, **entries}
        self.entries = entries
        self._changed = changed
        self._controls: dict[str, dict[str, Control]] = {}
        self._silent = False
        names = list(entries)
        self.select = pmui.Select(
            label=TITLES.get(family, family), options={name: name for name in names}, value=names[0] if names else None,
            size="small", sizing_mode="stretch_width", margin=(12, 0, 5, 0), stylesheets=[BARRED_CSS],
        )  # fmt: skip
        self.select.param.watch(self._on_select, "value")
        self.body = layout.fields()
        self._show()

    @property
    def name(self) -> str:
        return str(self.select.value)

    @property
    def entry(self) -> Mapping[str, Any]:
        return self.entries.get(self.name, {})

    @property
    def controls(self) -> dict[str, Control]:
        """The fields of the chosen component, made when it is chosen first."""
        if self.name not in self._controls:
            specs = fields(self.entry.get("schema") or {})
            self._controls[self.name] = {spec.name: control_of(spec, self._on_field) for spec in specs}
        return self._controls[self.name]

    def _on_select(self, event: Any) -> None:
        self._show()
        if not self._silent:
            self._changed()

    def _on_field(self) -> None:
        self._axes()
        self._changed()

    def _axes(self) -> None:
        """Where one field lists the extent along each axis, flags come one per axis too."""
        n_axes = 1
        for control in self.controls.values():
            if control.spec.kind == "ints":
                try:
                    n_axes = len(control.value)
                except FieldError:
                    return
                break
        for control in self.controls.values():
            if control.spec.kind == "flags":
                control.axes(n_axes)

    def _show(self) -> None:
        controls = list(self.controls.values())
        self._axes()
        # Two fields share a line where both fit; what is left over takes a line of its own.
        short = [c for c in controls if c.spec.kind != "bool"]
        for control in controls:
            narrowest = "max-content" if control.spec.kind == "bool" else "0"
            basis = "100%" if control.spec.lines or control.spec.kind == "spec" else "calc(50% - 5px)"
            control.widget.styles = {"flex": f"1 1 {basis}", "min-width": narrowest}
            control.widget.min_width = 0
        self.body.objects = [c.widget for c in [*short, *(c for c in controls if c not in short)]]
        self.select.description = f"{self.entry.get('summary', '')}"

    def offer(self, reasons: Mapping[str, str]) -> None:
        """Which components fit the rest; one that does not cannot be chosen, and says why: name -> reason or empty."""
        barred = {name: why for name, why in reasons.items() if why and name != self.name}
        labels = {because(self.family, name, barred[name]) if name in barred else name: name for name in self.entries}
        if labels != self.select.options or list(barred) != self.select.disabled_options:
            self._silently(options=labels, disabled_options=list(barred))

    def error(self, message: str) -> None:
        """Mark the choice itself, or unmark it with an empty message."""
        if (self.select.helper_text or "") != message:
            self.select.param.update(helper_text=message, error_state=bool(message))

    def _silently(self, **changes: Any) -> None:
        was, self._silent = self._silent, True
        try:
            self.select.param.update(**changes)
        finally:
            self._silent = was

    def set(self, name: str, params: Mapping[str, Any]) -> None:
        """Choose a component with these parameters; what is left out takes its default."""
        self._silent = True
        try:
            if name in self.entries:
                self.select.value = name
            for key, control in self.controls.items():
                control.set(params.get(key, control.spec.default))
                control.error("")
            self._axes()
        finally:
            self._silent = False

    def read(self, errors: dict[str, str]) -> dict[str, Any] | None:
        """The spec, None where the server chooses; what does not fit is marked and noted in `errors`."""
        self.error("")
        if self.name == AUTO:
            return None
        params: dict[str, Any] = {}
        for key, control in self.controls.items():
            try:
                value = control.check()
            except FieldError as error:
                errors[f"{self.family}.{key}"] = str(error)
                continue
            if value is not None or not control.spec.optional:
                params[key] = value
        return {"name": self.name, "params": params}


class RunForm:
    """Everything that determines a run. `changed` is called after every change by the user."""

    def __init__(self, catalog: Mapping[str, Any], changed: Callable[[], None]) -> None:
        self._changed = changed
        self._extra: dict[str, Any] = {}
        run_schema = catalog.get("run") or {}
        properties = run_schema.get("properties") or {}
        name = Field(name="name", title="Name", kind="text", help="How the run is called in the table", max_length=200)
        tags = Field(name="tags", title="Tags", kind="text", help="Words separated by commas, to find runs again")
        self.name = Control(name, changed)
        self.tags = Control(tags, changed)
        self.sections = {
            f: Section(f, catalog.get(f) or {}, properties.get(f) or {}, self._on_section) for f in FAMILIES
        }
        run_specs = [field(n, properties[n], run_schema) for n in RUN_FIELDS if n in properties]
        self.run = {spec.name: Control(spec, changed) for spec in run_specs}
        self.sector = SectorForm(changed)
        self.start = StartForm(changed)
        self.observing = ObservablesForm(catalog.get("observable") or {}, properties, changed)
        self._limit()

    def _on_section(self) -> None:
        self._limit()
        self._changed()

    def _limit(self) -> None:
        conserves = self.sections["hamiltonian"].entry.get("conserves_sz")
        self.sector.limit(conserves_sz=conserves is not False)
        network = self.sections["ansatz"]
        self.start.limit(ansatz=network.name, takes_weights=bool(network.entry.get("takes_weights")))

    def view(self, *, under: Mapping[str, Any] | None = None) -> list[Any]:
        """The widgets from top to bottom; `under` says what stands under a family's fields."""
        under = {**(under or {}), "hamiltonian": self.sector.fold.view, "ansatz": self.start.fold.view}
        out: list[Any] = []
        for family, section in self.sections.items():
            out += [section.select, section.body, *([under[family]] if family in under else [])]
        cells = list(self.run.values())
        for control in (*cells, self.name, self.tags):
            control.widget.styles = {"flex": "1 1 calc(50% - 5px)", "min-width": "0"}
            control.widget.min_width = 0
        title = layout.Words("Run", "label", margin=(12, 0, 2, 0))
        widgets = [*(c.widget for c in cells), self.name.widget, self.tags.widget]
        box = layout.fields(*widgets)
        return [*out, title, box, self.observing.fold.view]

    def read(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The configuration, and what does not fit in it by field; fields are marked on the way."""
        errors: dict[str, str] = {}
        config: dict[str, Any] = copy.deepcopy(self._extra)
        for key, control in (("name", self.name), *self.run.items()):
            try:
                config[key] = control.check()
            except FieldError as error:
                errors[key] = str(error)
        for family, section in self.sections.items():
            if (spec := section.read(errors)) is not None:
                config[family] = spec
        if sector := self.sector.read(errors):
            config["sector"] = sector
        config |= self.start.read(errors) | self.observing.read(errors)
        return config, errors

    @property
    def tag_list(self) -> list[str]:
        return split_tags(self.tags.value)

    def fill(self, config: Mapping[str, Any], tags: list[str] | None = None) -> None:
        """Show a configuration: a preset's, or another run's. Keys without a widget are carried along unchanged."""
        shown = {*FAMILIES, *self.run, "name", "sector", "observables", "observe_every", "init_from"}
        self._extra = {k: copy.deepcopy(v) for k, v in config.items() if k not in shown and v is not None}
        self.name.set(config.get("name", ""))
        if tags is not None:
            self.tags.set(", ".join(tags))
        for family, section in self.sections.items():
            spec = config.get(family) or section.fallback
            section.set(spec.get("name", AUTO), spec.get("params") or {})
        for key, control in self.run.items():
            control.set(config.get(key, control.spec.default))
        self.sector.fill(config.get("sector"))
        self.start.fill(config.get("init_from"))
        self.observing.fill(config)
        self._limit()

    def mark(self, found: Mapping[str, str]) -> dict[str, str]:
        """Put messages under the fields they name; returns those that name no field here."""
        return {where: what for where, what in found.items() if not self._mark(where, what)}

    def offer(self, fits: Mapping[str, Mapping[str, str]]) -> None:
        """Bar the samplers and optimizers that do not fit: family -> name -> reason or empty; unknown ones are open."""
        for family in ("sampler", "optimizer"):
            self.sections[family].offer(fits.get(family) or {})

    def _mark(self, where: str, what: str) -> bool:
        family, _, key = where.partition(".")
        if family == "sector":
            return self.sector.mark(key, what)
        if family == "init_from":
            return self.start.mark(key, what)
        if where in self.sections:
            self.sections[where].error(what)
            return True
        controls = self.sections[family].controls if family in self.sections else {"name": self.name, **self.run}
        key, _, inner = (key or family).partition(".")
        if (control := controls.get(key)) is None:
            return self.observing.mark(where, what)
        if not (isinstance(control, SpecControl) and inner and control.mark(inner, what)):
            control.error(what)
        return True

    def draw(self, curves: Mapping[str, Sequence[float]]) -> None:
        """Show how parameters change during the run: family.parameter -> values from the first step to the last."""
        for where, values in curves.items():
            family, _, key = where.partition(".")
            control = self.sections[family].controls.get(key) if family in self.sections else None
            if isinstance(control, SpecControl):
                control.draw(values)


def split_tags(text: str) -> list[str]:
    """Words between commas, each once."""
    return list(dict.fromkeys(t.strip() for t in text.split(",") if t.strip()))
