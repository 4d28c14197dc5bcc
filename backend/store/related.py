"""What hangs on a run or on its system: its measurements, the runs of the same system, their reference."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from backend.models import ACTIVE, attempts, checkpoints, events, metrics, reference_series, runs, snapshots
from backend.store.connect import reading
from backend.store.judging import rejudge
from backend.store.leading import lead
from backend.store.runs import StateError, UnknownRunError, comparable, emit

DATA_TABLES = (metrics, snapshots, events, checkpoints, attempts)
_CHILD = ("id", "state", "n_samples", "created", "result", "health")
_ALIKE = ("id", "kind", "config", "system_sector", "reference")


def children(engine: Engine, parent: str) -> list[dict[str, Any]]:
    """The measurements of a run, oldest first; `n_samples`: how many were asked for."""
    query = sa.select(*[runs.c[name] for name in _CHILD], runs.c.config)
    with reading(engine) as connection:
        rows = connection.execute(query.where(runs.c.parent == parent).order_by(runs.c.created, runs.c.id)).mappings()
        return [{name: row[name] for name in _CHILD} | {"n_samples": row["config"].get("measure")} for row in rows]


def started_from(engine: Engine, run: str, step: int) -> list[str]:
    """The runs that began with the parameters of `step` of a run, which may be gone; newest first."""
    origin = runs.c.config["init_from"]
    mine = (origin["run"].as_string() == run, origin["step"].as_integer() == step, runs.c.kind == "vmc")
    with reading(engine) as connection:
        return list(connection.execute(sa.select(runs.c.id).where(*mine).order_by(runs.c.created.desc())).scalars())


def same_system(engine: Engine, key: str) -> list[dict[str, Any]]:
    """The runs of the system with this canonical key, in whichever sector."""
    query = sa.select(*[runs.c[name] for name in _ALIKE]).where(runs.c.system_key == key)
    with reading(engine) as connection:
        return [{name: row[name] for name in _ALIKE} for row in connection.execute(query).mappings()]


def systems(engine: Engine) -> list[str]:
    """The canonical keys of all runs."""
    with reading(engine) as connection:
        return [row[0] for row in connection.execute(sa.select(runs.c.system_key).distinct()) if row[0] is not None]


def without_system(engine: Engine) -> list[dict[str, Any]]:
    """The runs of earlier versions, which did not store their system."""
    query = sa.select(runs.c.id, runs.c.config).where(runs.c.system_key.is_(None))
    with reading(engine) as connection:
        return [{"id": row.id, "config": row.config} for row in connection.execute(query)]


def set_system(engine: Engine, run_id: str, key: str, sector: str) -> None:
    """Name the system of a run."""
    with engine.begin() as connection:
        connection.execute(sa.update(runs).where(runs.c.id == run_id).values(system_key=key, system_sector=sector))


def set_reference(
    where: Engine | Connection, run_ids: str | Sequence[str], reference: Mapping[str, Any] | None
) -> list[str]:
    """Give runs a reference, total energy in their own units, and tell who watches them; the runs that it changed.

    Args:
        where: the store, or a transaction under way.
        run_ids: one run or several; unknown ones are left out.
        reference: as `references.as_dict` gives it.
    """
    wanted = [run_ids] if isinstance(run_ids, str) else list(run_ids)
    given = None if reference is None else dict(reference)
    values = {"reference": given, "reference_energy": comparable(given)}
    changed = []
    with _transaction(where) as connection:
        for run_id in wanted:
            known = connection.execute(sa.select(runs.c.id, runs.c.reference).where(runs.c.id == run_id)).first()
            if known is not None and known.reference != given:
                emit(connection, run_id, "log", {"message": _said(given)}, **values)
                rejudge(connection, run_id)
                changed.append(run_id)
    return changed


@contextlib.contextmanager
def _transaction(where: Engine | Connection) -> Iterator[Connection]:
    if isinstance(where, Engine):
        with where.begin() as connection:
            yield connection
    else:
        yield where


def _said(reference: Mapping[str, Any] | None) -> str:
    if reference is None:
        return "reference: none any more"
    spread = reference.get("uncertainty")
    about = reference.get("label") or reference.get("method") or reference.get("bound")
    return f"reference: {reference['energy']:.10g}" + (f" ± {spread:.2g}" if spread else "") + f", {about}"


def delete_run(engine: Engine, run_id: str, folder: Path | None) -> None:
    """Remove a run and its measurements, their data and their folders, which are siblings.

    Raises:
        UnknownRunError: there is no such run.
        StateError: a process works on it or on a measurement of it.
    """
    with engine.begin() as connection:
        gone = _removable(connection, run_id)
        parent = connection.execute(sa.select(runs.c.parent).where(runs.c.id == run_id)).scalar()
        for table in (*DATA_TABLES, reference_series):  # two series whose runs are gone would look like one
            connection.execute(sa.delete(table).where(table.c.run_id.in_(gone)))
        connection.execute(sa.delete(runs).where(runs.c.id.in_(gone)))
        if parent is not None:
            lead(connection, parent)
            rejudge(connection, parent)  # it may have been this one that spoke for the run
    if folder is not None:
        _remove(folder, gone)


def delete_files(engine: Engine, run_id: str, folder: Path) -> None:
    """Remove the folders of a run that is about to be deleted and of its measurements, to make room for that.

    Raises:
        UnknownRunError: there is no such run.
        StateError: a process works on it or on a measurement of it.
    """
    with reading(engine) as connection:
        gone = _removable(connection, run_id)
    _remove(folder, gone)


def _removable(connection: Connection, run_id: str) -> list[str]:
    state = connection.execute(sa.select(runs.c.state).where(runs.c.id == run_id)).scalar()
    if state is None:
        raise UnknownRunError(run_id)
    if state in ACTIVE:
        raise StateError(f"the run is {state}; stop it before deleting it")
    parts = connection.execute(sa.select(runs.c.id, runs.c.state).where(runs.c.parent == run_id)).all()
    for part in parts:
        if part.state in ACTIVE:
            raise StateError(f"a measurement of the run is {part.state}; stop it before deleting the run")
    return [run_id, *(part.id for part in parts)]


def _remove(folder: Path, gone: list[str]) -> None:
    for name in gone:
        shutil.rmtree(folder.with_name(name), ignore_errors=True)
