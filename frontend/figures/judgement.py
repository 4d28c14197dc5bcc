"""The server's judgement of a run or a measurement in words; nothing where it is good or there is none."""

import html
from collections.abc import Mapping
from typing import Any

from frontend.figures import text

TITLES = {"impossible": "The energy is impossible.", "doubtful": "The energy is doubtful."}


def found(run: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The level where it is not good, and the reasons as sentences."""
    said = run.get("health") or {}
    level = str(said.get("level") or "")
    reasons = [text.signed(words) for words in texts(run)]
    return ("", []) if level in ("", "good") else (level, [words[:1].upper() + words[1:] + "." for words in reasons])


def texts(run: Mapping[str, Any]) -> list[str]:
    """The reasons as the server gives them."""
    return [str(reason.get("text") or "") for reason in (run.get("health") or {}).get("reasons") or []]


def chip(run: Mapping[str, Any]) -> str:
    """The level, which says why when one points at it."""
    level, reasons = found(run)
    why = html.escape(" ".join(reasons), quote=True)
    return f" <span class='chip chip-{html.escape(level)}' title='{why}'>{html.escape(level)}</span>" if level else ""


def note(run: Mapping[str, Any]) -> str:
    """The level and every reason."""
    level, reasons = found(run)
    if not level:
        return ""
    listed = "".join(f"<li>{html.escape(words)}</li>" for words in reasons)
    look = "error" if level == "impossible" else "warning"
    return f"<div class='note {look}'><b>{html.escape(TITLES.get(level, level))}</b><ul>{listed}</ul></div>"


def cell(run: Mapping[str, Any]) -> str:
    """The level and every reason, for a column of a comparison."""
    level, reasons = found(run)
    if not level:
        return "good" if run.get("health") else text.NONE
    return chip(run) + "".join(f"<div class='why'>{html.escape(words)}</div>" for words in reasons)
