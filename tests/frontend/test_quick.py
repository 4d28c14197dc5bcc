"""Answers that are remembered are the answers of Bokeh itself."""

from typing import Any

import panel as pn
import panel_material_ui as pmui
from bokeh.core.property.descriptors import PropertyDescriptor
from bokeh.document import Document
from bokeh.themes import Theme

from frontend import quick, theme
from frontend.components import LiveChart


def models() -> list[Any]:
    """What a page is made of, twice: the second of a kind gets the remembered answers."""
    theme.extension()
    doc = Document()
    for _ in range(2):
        parts = [pmui.TextInput(), pmui.Select(options=["a"]), pmui.Button(label="b"), LiveChart(), pn.pane.HTML("x")]
        doc.add_root(pn.Column(*parts).get_root(doc))
    return list(doc.models)


def test_every_default_is_the_one_of_bokeh() -> None:
    quick.quicken()
    unstable: Any = getattr(PropertyDescriptor.has_unstable_default, "__wrapped__", None)
    default: Any = getattr(PropertyDescriptor.instance_default, "__wrapped__", None)
    compared = 0
    for model in models():
        for name in model.properties():
            descriptor = model.lookup(name)
            assert descriptor.has_unstable_default(model) == unstable(descriptor, model)
            if not unstable(descriptor, model):
                assert descriptor.instance_default(model) == default(descriptor, model)
                compared += 1
    assert compared > 100


def test_a_theme_wins_over_what_is_remembered() -> None:
    html = next(model for model in models() if type(model).__name__ == "HTML")
    descriptor = html.lookup("height")
    assert descriptor.instance_default(html) is None
    html.document.theme = Theme(json={"attrs": {"HTML": {"height": 7}}})
    assert descriptor.instance_default(html) == 7


def test_what_one_widget_is_told_another_is_not() -> None:
    theme.extension()
    one, other = pmui.Select(options=["a"]), pmui.Select(options=["b"])
    told: list[Any] = []
    one.param.watch(lambda event: told.append(event.new), "value")
    other.value = "b"
    one.param.update(options=["a", "c"], value="c")
    assert (one.value, other.value, other.options, told) == ("c", "b", ["b"], ["c"])


def test_quickening_twice_is_quickening_once() -> None:
    quick.quicken()
    first = PropertyDescriptor.instance_default
    quick.quicken()
    assert PropertyDescriptor.instance_default is first
