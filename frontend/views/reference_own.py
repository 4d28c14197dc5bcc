"""The fields below a system: what to compute, or an energy that a user knows."""

from collections.abc import Callable, Mapping
from typing import Any

import panel_material_ui as pmui

from frontend import layout
from frontend.forms.schema import Field, FieldError
from frontend.forms.widgets import Control

METHODS = ("auto", "exact", "dmrg")
BOUNDS = ("exact", "estimate", "upper")
LEVELS = Field(
    name="levels", title="Levels", kind="int", default=1, minimum=1, maximum=16,
    help="How many of the lowest levels, counted with multiplicity; DMRG gives the ground state of a sector only",
)  # fmt: skip
CHI = Field(
    name="chi", title="Bond dimensions χ", kind="ints", optional=True,
    help="Of DMRG, rising, such as 25, 50, 100, 200; empty: chosen by the size of the system. Four or more allow a fit",
)  # fmt: skip
METHOD = Field(
    name="method", title="Method", kind="choice", default="auto", choices=METHODS,
    help="auto: a closed form or Lanczos where it fits into memory, else DMRG",
)  # fmt: skip
NAME = Field(name="name", title="Name", kind="text", help="How it is called in the list", max_length=200)
OWN = (
    Field(name="level", title="Level", kind="int", default=0, minimum=0, maximum=1000,
          help="Counted from 0 with multiplicity, in the sector above"),
    Field(name="bound", title="Kind", kind="choice", default="estimate", choices=BOUNDS,
          help="exact; estimate: may lie on either side of the truth; upper: a variational energy"),
    Field(name="energy", title="Energy", kind="float", required=True,
          help="In the units of the Hamiltonian above"),
    Field(name="uncertainty", title="Uncertainty", kind="float", optional=True, minimum=0,
          help="One standard error, total or per site as the energy"),
    Field(name="method", title="Method", kind="text", required=True, max_length=200, help="Such as QMC or DMRG"),
    Field(name="source", title="Source", kind="text", required=True, max_length=200,
          help="Who found it: authors, journal, year"),
    Field(name="url", title="Link", kind="text", max_length=200, help="Where it can be read"),
    Field(name="licence", title="Licence", kind="text", max_length=200, help="Under which it may be passed on"),
    Field(name="note", title="Note", kind="text", max_length=200, help="Whatever else should be known"),
)  # fmt: skip
NUMBERS = ("level", "bound", "energy", "uncertainty")
WHOLE_LINE = ("chi", "name", "source", "url", "note")


def _box(controls: Mapping[str, Control]) -> Any:
    """Two fields share a line; long texts have one of their own."""
    for name, control in controls.items():
        basis = "100%" if name in WHOLE_LINE else "calc(50% - 5px)"
        control.widget.styles = {"flex": f"1 1 {basis}", "min-width": "0"}
        control.widget.min_width = 0
    widgets = [c.widget for c in controls.values()]
    return layout.fields(*widgets)


class Fields:
    """Some controls that read as one JSON object."""

    def __init__(self, specs: tuple[Field, ...], changed: Callable[[], None]) -> None:
        self.controls = {spec.name: Control(spec, changed) for spec in specs}
        self.view = layout.Box(*self._content(), visible=False)

    def _content(self) -> list[Any]:
        return [_box(self.controls)]

    def read(self, errors: dict[str, str], final: bool = False) -> dict[str, Any]:
        """What is typed; what does not fit is marked and noted in `errors`, what is missing only where `final`."""
        found: dict[str, Any] = {}
        for name, control in self.controls.items():
            if not control.widget.visible:
                continue
            if not final and control.spec.required and not control.shown:
                continue  # still to be typed; where it was missed already the mark stays
            try:
                value = control.check()
                if final and control.spec.required and value == "":
                    control.error(problem := f"{control.spec.title} is needed")
                    errors[name] = problem
                    continue
            except FieldError as error:
                errors[name] = str(error)
                continue
            if value not in (None, ""):
                found[name] = value
        return found

    def mark(self, found: Mapping[str, str]) -> dict[str, str]:
        """Put messages under the fields they name; returns those that name no field here."""
        rest = {}
        for where, what in found.items():
            control = self.controls.get(where.partition(".")[0])
            if control is None:
                rest[where] = what
            else:
                control.error(what)
        return rest


class ComputeFields(Fields):
    """Method, levels, bond dimensions and name of a computation."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__((METHOD, LEVELS, CHI, NAME), changed)
        self.controls["chi"].widget.placeholder = "25, 50, 100, 200"
        self.controls["method"].widget.param.watch(lambda event: self._show(), "value")

    def _show(self) -> None:
        """An exact computation has no bond dimension."""
        self.controls["chi"].widget.visible = self.controls["method"].widget.value != "exact"


class OwnFields(Fields):
    """An energy with its source. `size` tells the number of sites, for energies per site."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._n_sites = 1
        self.per_site = pmui.Switch(
            label="Energy and uncertainty are per site", value=False, size="small", margin=(5, 0, 2, 0)
        )
        super().__init__(OWN, changed)

    def _content(self) -> list[Any]:
        for control in self.controls.values():
            if control.spec.required:
                control.widget.label = f"{control.spec.label} *"
        numbers = {name: c for name, c in self.controls.items() if name in NUMBERS}
        texts = {name: c for name, c in self.controls.items() if name not in NUMBERS}
        return [_box(numbers), self.per_site, _box(texts)]

    def size(self, n_sites: int) -> None:
        self._n_sites = n_sites

    def read(self, errors: dict[str, str], final: bool = False) -> dict[str, Any]:
        """As typed, energies turned into totals."""
        found = super().read(errors, final)
        if self.per_site.value:
            for name in ("energy", "uncertainty"):
                if name in found:
                    found[name] = found[name] * self._n_sites
        return found

    def clear(self) -> None:
        """Forget the number; who found it stays, for the next one."""
        for name in ("energy", "uncertainty", "note"):
            self.controls[name].set(None)
            self.controls[name].error("")
