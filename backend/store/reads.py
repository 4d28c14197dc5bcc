"""A run's story in the order of its sequence numbers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, RowMapping

from backend.models import METRICS, checkpoints, events, metrics, runs, snapshots
from backend.store.connect import reading
from backend.store.runs import UnknownRunError
from nqs_core.events import decoded


def _metrics(row: RowMapping) -> dict[str, Any]:
    scalars = {name: row[name] for name in METRICS if row[name] is not None} | (row["extra"] or {})
    head = {name: row[name] for name in ("seq", "step", "t", "attempt", "phase")}
    return {"kind": "metrics", **head, "scalars": scalars, "arrays": row["arrays"] or {}}


def _snapshot(row: RowMapping) -> dict[str, Any]:
    bits = row["bits"]
    head = {name: row[name] for name in ("seq", "step", "t", "attempt", "n_sites")}
    return {
        "kind": "snapshot",
        **head,
        "n_chains": 0 if bits is None else row["n_chains"],
        "spins": "" if bits is None else base64.b64encode(bits).decode(),
        "energies": row["energies"] or [],
    }


def _event(row: RowMapping) -> dict[str, Any]:
    return decoded(row["payload"] | {name: row[name] for name in ("seq", "kind", "step", "t", "attempt")})


_SOURCES: tuple[tuple[sa.Table, Callable[[RowMapping], dict[str, Any]]], ...] = (
    (metrics, _metrics),
    (snapshots, _snapshot),
    (events, _event),
)


def read_events(engine: Engine, run_id: str, after: int = 0, limit: int = 2000) -> tuple[list[dict[str, Any]], int]:
    """Events with after < seq <= after + limit, ordered and without gaps, and the last seq that the run has.

    A snapshot that was thinned out comes with n_chains = 0.

    Raises:
        UnknownRunError: there is no such run.
    """
    with reading(engine) as connection:
        last = connection.execute(sa.select(runs.c.last_seq).where(runs.c.id == run_id)).scalar()
        if last is None:
            raise UnknownRunError(run_id)
        out: list[dict[str, Any]] = []
        if after < last:
            for table, convert in _SOURCES:
                out += [convert(row) for row in _between(connection, table, run_id, after, min(last, after + limit))]
    return sorted(out, key=lambda event: event["seq"]), last


def _between(connection: Connection, table: sa.Table, run_id: str, after: int, upto: int) -> Iterable[RowMapping]:
    where = (table.c.run_id == run_id, table.c.seq > after, table.c.seq <= upto)
    return connection.execute(sa.select(table).where(*where).order_by(table.c.seq)).mappings()


def checkpoint_hashes(engine: Engine, run_id: str) -> dict[str, str]:
    """{file: sha256} of a run's checkpoints; every step before one of them is in the database."""
    query = sa.select(checkpoints.c.path, checkpoints.c.sha256).where(checkpoints.c.run_id == run_id)
    with reading(engine) as connection:
        return {row.path: row.sha256 for row in connection.execute(query)}


def worked(engine: Engine, devices: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """Newest first: id, config and planned work of the VMC runs that have ended on a device of one of these names."""
    query = sa.select(runs.c.id, runs.c.config, runs.c.work).where(
        runs.c.kind == "vmc",
        runs.c.state.in_(("done", "stopped")),
        runs.c.device.in_(devices),
        runs.c.work.is_not(None),
    )
    with reading(engine) as connection:
        found = connection.execute(query.order_by(runs.c.ended.desc(), runs.c.id).limit(limit))
        return [{"id": row.id, "config": row.config, "work": row.work} for row in found]


def training_rows(engine: Engine, run_id: str, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """The columns `names` of each training step of the current series, steps rising.

    Raises:
        UnknownRunError: there is no such run.
    """
    table = metrics.c
    where = (table.run_id == run_id, table.phase == "train")
    query = sa.select(table.step, *[table[name] for name in names]).where(*where).order_by(table.seq)
    with reading(engine) as connection:
        reached = connection.execute(sa.select(runs.c.step).where(runs.c.id == run_id)).scalar()
        if reached is None:
            raise UnknownRunError(run_id)
        newest = {row[0]: tuple(row[1:]) for row in connection.execute(query)}
    # Steps beyond are those of an earlier attempt, which a rewind has superseded.
    return [newest[step] for step in sorted(newest) if step <= reached]
