"""DMRG energies against the bond dimension, with their extrapolation."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from backend import store
from backend.models import reference_series
from backend.references.table import plain
from backend.store import reading
from nqs_core.reference.fit import Extrapolation, extrapolate

POINT = (
    "chi", "chi_used", "energy", "truncation_error", "variance", "max_entropy", "sweeps", "converged", "cpu_seconds",
    "wall_seconds",
)  # fmt: skip
_FIT = ("kind", "a", "b", "c", "d", "rms", "uncertainty", "accepted", "reason")
_GROUP = ("origin", "run_id", "key", "sector", "level", "order", "mpo_dimension", "source")


def series_of(
    engine: Engine, *, key: str | None = None, sector: str | None = None, level: int = 0, run: str | None = None
) -> list[dict[str, Any]]:
    """Every stored series of a system, energies in canonical units; or that of a job, in the units of its system.

    A job's series is read from its events, and so is there from the first finished bond dimension on.
    """
    if run is not None:
        points = [e for e in _events(engine, run) if e["kind"] == "point"]
        return [_described({"run_id": run, "origin": "computed"}, points)] if points else []
    table = reference_series.c
    where = [table.key == key, table.level == level] + ([table.sector == sector] if sector else [])
    order = (table.run_id, table.sector, table.order, table.source, table.chi)
    with reading(engine) as connection:
        found = connection.execute(sa.select(reference_series).where(*where).order_by(*order)).mappings()
        rows = [plain(row) for row in found]
    groups = groupby(rows, lambda row: tuple(row[name] for name in _GROUP))
    return [_described(dict(zip(_GROUP, about, strict=True)), list(points)) for about, points in groups]


def _events(engine: Engine, run: str) -> Iterable[dict[str, Any]]:
    after, last = 0, 1
    while after < last:
        events, last = store.read_events(engine, run, after, 5000)
        yield from events
        after += 5000


def _described(about: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    newest = {point["chi"]: {name: point[name] for name in POINT} for point in points}  # a repeated one counts once
    rows = [newest[chi] for chi in sorted(newest)]
    columns = ("chi", "energy", "truncation_error", "variance", "converged")
    found = _extrapolated(*(tuple(row[name] for row in rows) for name in columns))
    return {
        **about,
        "points": rows,
        "fits": [{name: getattr(fit, name) for name in _FIT} for fit in found.fits],
        "energy": found.energy,
        "uncertainty": found.uncertainty,
        "reason": found.reason,
        "note": found.note,
    }


@functools.lru_cache(256)
def _extrapolated(chi: tuple, energy: tuple, truncation: tuple, variance: tuple, converged: tuple) -> Extrapolation:
    # An unknown truncation error must not pass for a vanishing one.
    known = tuple(float("inf") if t is None else t for t in truncation)
    return extrapolate(chi, energy, known, variance, tuple(c is not False for c in converged))
