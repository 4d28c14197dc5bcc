"""What a search for runs looks through: folded when it is written, since no database folds all letters by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from backend.models import runs
from nqs_core import words

FAMILIES = ("lattice", "hamiltonian", "ansatz", "sampler", "optimizer")


def text(run: Mapping[str, Any]) -> str:
    """Of the name, notes, tags, id and configuration of a run."""
    config = run["config"] or {}
    specs = [config.get(family) for family in FAMILIES]
    names = [str(spec.get("name", "")) for spec in specs if isinstance(spec, Mapping)]
    said = [run["name"], run["notes"], *(run["tags"] or []), run["id"], words.system(config), *names]
    return words.searchable("\n".join(part for part in said if part))


def condition(search: str) -> list[sa.ColumnElement[bool]]:
    """Every word occurs somewhere."""
    column = runs.c.search
    return [
        sa.or_(*[column.contains(needle, autoescape=True) for needle in either]) for either in words.needles(search)
    ]
