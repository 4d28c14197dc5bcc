"""Fields on the screen."""

from typing import Any

import panel_material_ui as pmui
import pytest

from frontend.forms.nested import SpecControl, control_of
from frontend.forms.schema import Field, FieldError, fields
from frontend.forms.widgets import Control
from nqs_core.registry import Registry, component, param
from nqs_core.schedules import SCHEDULES, Schedule


def test_text_of_several_lines_keeps_them() -> None:
    control = Control(Field(name="strings", title="Strings", kind="text", default="-1 Z0\n-1 X0"), lambda: None)
    assert isinstance(control.widget, pmui.TextAreaInput)
    control.set("1 Z0\n2 X0")
    assert control.value == "1 Z0\n2 X0"


@component
class Palette:
    """A component whose rate may be a number or a schedule."""

    rate: Schedule | None = param(0.5, family=SCHEDULES, gt=0, le=1, help="A rate", title="Rate", unit="1/J")


def rate() -> SpecControl:
    (spec,) = fields(Registry("palette", {"palette": Palette}).catalog()["palette"]["schema"])
    made = control_of(spec, lambda: None)
    assert isinstance(made, SpecControl)
    return made


@pytest.mark.parametrize("value", [0.25, {"name": "cosine", "params": {"start": 0.4, "end": 0.0, "scaled": True}}])
def test_a_number_or_a_spec_passes_through_its_field_unchanged(value: Any) -> None:
    control = rate()
    assert control.value == 0.5
    control.set(value)
    assert control.check() == value


def test_a_spec_takes_the_defaults_of_its_kind_and_marks_its_own_fields() -> None:
    control = rate()
    control.set({"name": "linear"})
    assert control.value == {"name": "linear", "params": {"start": 0.1, "end": 0.01, "scaled": False}}
    assert control.mark("start", "Too large")
    assert control.controls["start"].widget.error_state
    control.controls["end"].set(-1.0)
    with pytest.raises(FieldError, match="1000"):
        control.check()


def test_the_curve_of_a_schedule_has_its_ends_in_words() -> None:
    control = rate()
    control.draw([0.1, 0.4, 0.02])
    assert "0.1 → 0.4 → 0.02 1/J" in control.curve.object
    control.draw([0.1, 0.1])
    assert control.curve.object == ""
