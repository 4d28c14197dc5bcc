"""The sector of a system: total magnetisation, momentum, point group and spin flip."""

from collections.abc import Callable, Mapping
from typing import Any

import panel as pn

from frontend import layout
from frontend.forms.fold import Fold
from frontend.forms.schema import Field, FieldError
from frontend.forms.widgets import Choice, Control

SZ = Field(
    name="sz",
    title="Total Sᶻ",
    kind="float",
    help="Only states of this total magnetisation; empty: all. A run keeps to it by exchanging spins",
    unit="ħ",
    optional=True,
)
MOMENTUM = Field(
    name="momentum",
    title="Momentum k",
    kind="choice",
    help="k = Σ m_a b_a / L_a as integers (m_1, m_2) or the name of a point of the Brillouin zone",
    optional=True,
)
IRREP = Field(
    name="point_group",
    title="Point group",
    kind="choice",
    help="Irreducible representation of the little group of k",
    optional=True,
)
FLIP = Field(
    name="spin_flip", title="Spin flip", kind="choice", help="Eigenvalue of the flip of all spins", optional=True
)
FLIPS = {"+1 (even)": 1, "−1 (odd)": -1}
BEYOND = ("momentum", "point_group", "spin_flip")  # not every network keeps these
NOTE = "This run cannot keep to the sector; <a href='{}' target='_self'>references</a> honour every sector."
NOTE_CSS = ":host{font-size:12px;color:var(--panel-on-surface-color);opacity:.85} a{color:var(--panel-primary-color)}"


class SectorForm:
    """Four fields, all open at first. `changed` is called after every change by the user.

    `runs`: for runs, which keep less than references; a note says so where it matters.
    """

    def __init__(self, changed: Callable[[], None], *, runs: bool = True) -> None:
        self._changed = changed
        self._named: dict[str, Any] = {}
        self.momentum = Choice(MOMENTUM, self._on_field)
        self.irrep = Choice(IRREP, self._on_field)
        self.flip = Choice(FLIP, self._on_field, FLIPS)
        self.sz = Control(SZ, self._on_field)
        self.sz.widget.placeholder = "any"
        self.controls: dict[str, Control] = {
            "sz": self.sz, "momentum": self.momentum, "point_group": self.irrep, "spin_flip": self.flip
        }  # fmt: skip
        for control in self.controls.values():
            control.widget.styles = {"flex": "1 1 calc(50% - 5px)", "min-width": "0"}
            control.widget.min_width = 0
        self.note = pn.pane.HTML("", visible=False, margin=(0, 0, 4, 0), stylesheets=[NOTE_CSS])
        fields = layout.fields(*(c.widget for c in self.controls.values()))
        self.fold = Fold("Sector", fields, *([self.note] if runs else []))
        self._tell()

    def _on_field(self) -> None:
        self._tell()
        self._changed()

    def offer(self, drawing: Mapping[str, Any]) -> None:
        """Offer what a lattice holds: `momenta` [{label, m}], irreps of the `little` group, else of `point_group`."""
        momenta = [entry for entry in drawing.get("momenta") or [] if "label" in entry]
        self._named = {str(e["label"]): list(e.get("m") or []) for e in momenta}
        options = {label: (m if label.startswith("(") else label) for label, m in self._named.items()}
        self.momentum.offer(options)
        group = drawing.get("little") or drawing.get("point_group") or {}
        self.irrep.offer({name: name for name in group.get("irreps") or []})

    def limit(self, *, conserves_sz: bool) -> None:
        """Offer the magnetisation only where the Hamiltonian keeps it."""
        self.sz.widget.visible = conserves_sz
        self._tell()

    def link(self, url: str) -> None:
        """Where the references of this system are."""
        words = NOTE.format(url)
        if self.note.object != words:
            self.note.object = words

    def read(self, errors: dict[str, str]) -> dict[str, Any]:
        """What is chosen; what does not fit is marked and noted in `errors`."""
        found: dict[str, Any] = {}
        self.note.visible = False
        for key, control in self.controls.items():
            if not control.widget.visible:
                continue
            try:
                value = control.check()
            except FieldError as error:
                errors[f"sector.{key}"] = str(error)
                self.fold.show()
                continue
            if value is not None:
                found[key] = value
        return found

    def fill(self, sector: Mapping[str, Any] | None) -> None:
        """Show a sector; nothing chosen is the whole space."""
        given = dict(sector or {})
        if isinstance(m := given.get("momentum"), (list, tuple)):
            names = (k for k, v in self._named.items() if v == list(m) and not k.startswith("("))
            given["momentum"] = next(names, list(m))
        for key, control in self.controls.items():
            control.set(given.get(key))
            control.error("")
        self._tell()

    def mark(self, key: str, message: str) -> bool:
        """Put a refusal under its field, and show it; False where there is no such field."""
        control = self.controls.get(key or "sz")
        if control is None or not control.widget.visible:
            return False
        control.error(message)
        self.note.visible = key in BEYOND
        self.fold.show()
        return True

    def _tell(self) -> None:
        words = []
        for key, sign in (("sz", "Sᶻ = "), ("momentum", "k = "), ("point_group", ""), ("spin_flip", "flip ")):
            control = self.controls[key]
            if control.widget.visible and (shown := control.shown):
                words.append(f"{sign}{shown}")
        self.fold.tell(", ".join(words) or "whole space")
