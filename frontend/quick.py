"""Questions of Bokeh and param whose answers never change, asked once: a page has 200 models of 50 properties each."""

import functools
from typing import Any

import panel as pn
import panel_material_ui as pmui
from bokeh.core.property.descriptors import PropertyDescriptor
from bokeh.settings import settings

from frontend import layout

IMMUTABLE = (str, int, float, bool, type(None))
# Nothing changes a parameter of one instance of these, such as its bounds: their classes' parameters do for all.
UNIFORM = (
    pmui.Alert, pmui.Button, pmui.IconButton, pmui.Select, pmui.Switch, pn.Column, pn.Row, pn.pane.HTML, layout.Box,
    layout.Words,
)  # fmt: skip


def quicken() -> None:
    """Lower what the construction of a page costs, once per process; nothing that the browser gets is different."""
    # Checks for developers: the signature of each of 2000 callbacks, and layouts without content, which fill up later.
    settings.perform_error_diagnostics = False
    settings.perform_document_validation = False
    for kind in UNIFORM:
        kind._param__private.disable_instance_params = True
    if not hasattr(PropertyDescriptor.has_unstable_default, "__wrapped__"):
        PropertyDescriptor.has_unstable_default = _once_for_each_class(PropertyDescriptor.has_unstable_default)
        PropertyDescriptor.instance_default = _constant_defaults(PropertyDescriptor.instance_default)


def _once_for_each_class(has_unstable_default: Any) -> Any:
    """It depends on the property and the model's class alone."""
    known: dict[tuple[Any, type], bool] = {}

    @functools.wraps(has_unstable_default)
    def answer(descriptor: Any, model: Any) -> bool:
        key = (descriptor, type(model))
        if key not in known:
            known[key] = has_unstable_default(descriptor, model)
        return known[key]

    return answer


def _constant_defaults(instance_default: Any) -> Any:
    """A default that no theme sets and that cannot be changed is validated once for a class, not for each model."""
    known: dict[tuple[Any, type], Any] = {}

    @functools.wraps(instance_default)
    def answer(descriptor: Any, model: Any) -> Any:
        themed = model.themed_values()
        if themed is not None and descriptor.name in themed:
            return instance_default(descriptor, model)
        key = (descriptor, type(model))
        if key in known:
            return known[key]
        default = instance_default(descriptor, model)
        if type(default) in IMMUTABLE and not descriptor.has_unstable_default(model):
            known[key] = default
        return default

    return answer
