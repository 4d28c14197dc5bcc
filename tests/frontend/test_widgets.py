"""Fields on the screen."""

import panel_material_ui as pmui

from frontend.forms.schema import Field
from frontend.forms.widgets import Control


def test_text_of_several_lines_keeps_them() -> None:
    control = Control(Field(name="strings", title="Strings", kind="text", default="-1 Z0\n-1 X0"), lambda: None)
    assert isinstance(control.widget, pmui.TextAreaInput)
    control.set("1 Z0\n2 X0")
    assert control.value == "1 Z0\n2 X0"
