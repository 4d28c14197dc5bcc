"""Reference energies in the database: shipped, computed here, or added by users; and which of them speak of a run."""

from backend.references.computed import plan_job, record
from backend.references.matching import (
    as_dict,
    contradiction,
    judge,
    lookup,
    match,
    refresh,
    refresh_run,
    start,
    system_of,
)
from backend.references.series import series_of
from backend.references.table import add, load, remove, search

__all__ = [
    "add",
    "as_dict",
    "contradiction",
    "judge",
    "load",
    "lookup",
    "match",
    "plan_job",
    "record",
    "refresh",
    "refresh_run",
    "remove",
    "search",
    "series_of",
    "start",
    "system_of",
]
