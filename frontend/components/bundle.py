"""Joins ES modules into the one module that a Panel component may have.

The assets are ordinary modules with relative imports, so that node runs their tests; the browser gets each component's
modules concatenated, since a module from a blob URL cannot import its neighbours.
"""

import functools
import pathlib
import re

import panel

# Panel serves a Plotly; its own model of it is not imported, for that would put the script into every page.
_SERVED = pathlib.Path(panel.__file__).parent / "dist"
PLOTLY = next(
    f"static/extensions/panel/{path.relative_to(_SERVED).as_posix()}"
    for path in _SERVED.glob("bundled/plotlyplot/plotly-*.min.js")
)
ASSETS = pathlib.Path(__file__).parent / "assets"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w.]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)
_TOP_LEVEL = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)


class BundleError(Exception):
    """Two modules of one bundle declare the same name."""


@functools.cache
def bundle(entry: str) -> str:
    """The modules that `entry` needs, dependencies first, as one module that exports only what `entry` exports."""
    order: list[str] = []
    _visit(entry, order)
    parts: list[str] = []
    owners: dict[str, str] = {}
    for name in order:
        text = (ASSETS / name).read_text(encoding="utf-8")
        for declared in _TOP_LEVEL.findall(text):
            if declared in owners:
                raise BundleError(f"{declared!r} is declared in {owners[declared]} and in {name}")
            owners[declared] = name
        text = _IMPORT.sub("", text)
        parts.append(text if name == entry else _EXPORT.sub("", text))
    return "\n".join(parts)


def _visit(name: str, order: list[str]) -> None:
    if name in order:
        return
    for needed in _IMPORT.findall((ASSETS / name).read_text(encoding="utf-8")):
        _visit(needed, order)
    order.append(name)
