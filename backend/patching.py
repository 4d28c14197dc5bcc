"""JSON merge patches (RFC 7396) of configurations."""

from collections.abc import Mapping
from typing import Any


def kept(spec: Any, change: Any) -> Any:
    """`spec` without the parameters of components that `change` replaces: another one does not take them."""
    if not isinstance(spec, Mapping) or not isinstance(change, Mapping):
        return spec
    if change.get("name") not in (None, spec.get("name")):
        return {}
    params, changes = spec.get("params"), change.get("params")
    if not isinstance(params, Mapping) or not isinstance(changes, Mapping):
        return spec
    return {**spec, "params": {key: kept(value, changes.get(key)) for key, value in params.items()}}


def merge(target: Any, patch: Any) -> Any:
    """`target` changed by a JSON merge patch: null removes, objects merge, all else replaces."""
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge(out.get(key), value)
    return out
