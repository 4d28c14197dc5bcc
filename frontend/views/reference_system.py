"""The part of a form that names a system: lattice, Hamiltonian and sector, without anything of a run."""

from collections.abc import Callable, Mapping
from typing import Any

from frontend.components.browser import Formula
from frontend.figures import text
from frontend.forms.run_form import Section
from frontend.forms.sector import SectorForm
from frontend.state import Hub
from frontend.views.preview import LatticePreview

FAMILIES = ("lattice", "hamiltonian")


class SystemForm:
    """`changed` is called after every change by the user, not after `fill`."""

    def __init__(self, hub: Hub, changed: Callable[[], None]) -> None:
        self._changed = changed
        catalog = hub.catalog or {}
        properties = (catalog.get("run") or {}).get("properties") or {}
        self.sections = {
            f: Section(f, catalog.get(f) or {}, properties.get(f) or {}, self._on_change) for f in FAMILIES
        }
        self.sector = SectorForm(self._on_change, runs=False)
        self.preview = LatticePreview(hub, self.sector.offer, open=False)
        self.formula = Formula(sizing_mode="stretch_width", margin=(6, 0, 2, 0), min_height=30)
        self._look()

    def view(self) -> list[Any]:
        lattice, hamiltonian = (self.sections[f] for f in FAMILIES)
        return [
            self.formula, lattice.select, lattice.body, self.preview.fold.view, hamiltonian.select, hamiltonian.body,
            self.sector.fold.view,
        ]  # fmt: skip

    def _on_change(self) -> None:
        self._look()
        self._changed()

    def _look(self) -> None:
        """What follows from the fields alone: the formula, and whether Sᶻ may be chosen."""
        section = self.sections["hamiltonian"]
        self.sector.limit(conserves_sz=section.entry.get("conserves_sz") is not False)
        values: dict[str, Any] = {}
        for name, control in section.controls.items():
            try:
                values[name] = f"{control.value:g}" if control.spec.kind in ("int", "float") else control.value
            except ValueError:
                values[name] = f"\\mathrm{{{name}}}"
        template = str(section.entry.get("formula") or "")
        try:
            self.formula.param.update(latex=text.tidy(template.format(**values)), visible=bool(template))
        except (KeyError, IndexError, ValueError):
            self.formula.param.update(latex=template, visible=bool(template))

    def read(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The system, and what does not fit in it by field; fields are marked on the way."""
        errors: dict[str, str] = {}
        found: dict[str, Any] = {family: self.sections[family].read(errors) for family in FAMILIES}
        if sector := self.sector.read(errors):
            found["sector"] = sector
        if "lattice" in found and not any(where.startswith("lattice") for where in errors):
            self.preview.show(found["lattice"], found.get("sector"))
        return found, errors

    def fill(self, config: Mapping[str, Any]) -> None:
        """Show the system of a run, of a row, or of a link."""
        for family, section in self.sections.items():
            spec = config.get(family) or {}
            if spec.get("name") in section.entries:
                section.set(str(spec["name"]), spec.get("params") or {})
        self.sector.fill(config.get("sector"))
        self._look()

    def mark(self, found: Mapping[str, str]) -> dict[str, str]:
        """Put messages under the fields they name; returns those that name no field here."""
        return {where: what for where, what in found.items() if not self._mark(where, what)}

    def _mark(self, where: str, what: str) -> bool:
        family, _, key = where.partition(".")
        if family == "sector":
            return self.sector.mark(key, what)
        control = self.sections[family].controls.get(key) if family in self.sections else None
        if control is not None:
            control.error(what)
        return control is not None
