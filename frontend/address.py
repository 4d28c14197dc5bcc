"""A visitor's choices in the address of the page."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

import param


class Choices(param.Parameterized):
    """What a visitor has chosen; all of `URL` is in the address, so that a link shows the same picture.

    Texts are taken as they stand: Panel's `Location.sync` makes a number of what looks like one, such as the run
    383e4481, which then is infinite.

    URL: parameter -> its name in the address; texts, selectors, booleans and numbers that are not negative.
    """

    URL: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._busy = False  # reading or telling: neither causes the other

    def follow(self, location: Any) -> None:
        """Take the choices from the page's address, and write every later one there; defaults are left out."""
        self.read(location.search)
        self.param.watch(lambda *events: self._tell(location), list(self.URL))
        location.param.watch(lambda event: None if self._busy else self.read(event.new), "search")

    def read(self, search: str) -> None:
        """Show what an address says; what it leaves out takes its default, what is broken is ignored."""
        given = dict(parse_qsl((search or "").removeprefix("?")))
        found: dict[str, Any] = {}
        for name, short in self.URL.items():
            parameter = self.param[name]
            value = _value(given.get(short, ""), type(parameter.default))
            found[name] = value if _is_allowed(parameter, value) else parameter.default
        self._busy = True
        try:
            self.param.update(**found)
        finally:
            self._busy = False

    def _tell(self, location: Any) -> None:
        if self._busy:
            return
        said = {name: getattr(self, name) for name in self.URL}
        kept = {self.URL[name]: value for name, value in said.items() if value != self.param[name].default}
        words = urlencode({k: int(value) if isinstance(value, bool) else value for k, value in kept.items()})
        self._busy = True
        try:
            location.search = f"?{words}" if words else ""
        finally:
            self._busy = False


def _value(words: str, kind: type) -> Any:
    """None where there is no value of this kind."""
    if kind is bool:
        return {"0": False, "1": True}.get(words)
    if kind in (int, float):
        pattern = r"\d{1,6}" if kind is int else r"\d{1,6}(\.\d{1,17})?"
        return kind(words) if re.fullmatch(pattern, words, re.ASCII) else None
    return words or None


def _is_allowed(parameter: Any, value: Any) -> bool:
    if value is None:
        return False
    low, high = getattr(parameter, "bounds", None) or (None, None)
    within = (low is None or value >= low) and (high is None or value <= high)
    return within and value in getattr(parameter, "objects", [value])
