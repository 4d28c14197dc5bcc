"""Submit, show, rename and delete runs."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from backend.models import ACTIVE, TIMES, attempts, events, runs
from backend.store import searching
from backend.store.connect import reading

COLUMNS = (
    "id", "name", "state", "desired", "phase", "step", "n_steps", "energy", "energy_error", "energy_per_site",
    "n_sites", "variance", "v_score", "acceptance", "r_hat", "ess", "jsd", "n_samples", "attempt", "pid", "host",
    "device", "tags", "archived", "notes", "config", "reference", "result", "error", "warnings", "created", "started",
    "ended", "step_seconds", "last_seq", "cloned_from", "kind", "parent", "system_key", "system_sector",
    "checkpoint_step", "leading", "health", "versions", *TIMES,
)  # fmt: skip
_ABSOLUTE = sa.case(
    (runs.c.energy == math.nan, sa.null()),  # SQLite takes a text for 0
    else_=runs.c.energy - runs.c.reference_energy,
)
_RELATIVE = _ABSOLUTE / sa.func.abs(sa.func.nullif(runs.c.reference_energy, 0.0))
PACED = 3  # steps before which the time that is left cannot be known
_ETA = sa.case(
    (sa.and_(runs.c.state.in_(ACTIVE), runs.c.step >= PACED), runs.c.step_seconds * (runs.c.n_steps - runs.c.step)),
    else_=sa.null(),
)
_IMPOSSIBLE = sa.case((runs.c.health["level"].as_string() == "impossible", 1), else_=0)
SORTS: dict[str, Any] = {
    name: runs.c[name]
    for name in ("name", "state", "step", "n_steps", "energy", "energy_per_site", "energy_error", "variance",
                 "v_score", "acceptance", "r_hat", "ess", "jsd", "n_sites", "created", "started", "ended", "attempt")
}  # fmt: skip
SORTS |= {"relative_error": sa.func.abs(_RELATIVE), "eta_seconds": _ETA, "progress": runs.c.step * 1.0 / runs.c.n_steps}


class StateError(Exception):
    """The run is in a state that does not allow this; the API answers 409."""


class UnknownRunError(LookupError):
    """No run has this id; the API answers 404."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id[:40]!r}")


def emit(
    connection: Connection,
    run_id: str,
    kind: str,
    payload: Mapping[str, Any],
    *,
    step: int | None = None,
    **values: Any,
) -> int:
    """Append one event and set columns of the run; the row's lock makes the order of seq the order of commits."""
    update = sa.update(runs).where(runs.c.id == run_id).values(last_seq=runs.c.last_seq + 1, **values)
    row = connection.execute(update.returning(runs.c.last_seq, runs.c.attempt)).one()
    record = {"run_id": run_id, "seq": row.last_seq, "attempt": row.attempt, "step": step, "kind": kind}
    connection.execute(events.insert(), {**record, "t": time.time(), "payload": dict(payload)})
    return row.last_seq


def submit(
    engine: Engine,
    config: Mapping[str, Any],
    *,
    name: str | None = None,
    tags: Sequence[str] = (),
    idem_key: str | None = None,
    cloned_from: str | None = None,
    reference: Mapping[str, Any] | None = None,
    n_sites: int | None = None,
    n_steps: int | None = None,
    priority: int = 0,
    kind: str = "vmc",
    parent: str | None = None,
    system: tuple[str, str] | None = None,
    run_id: str | None = None,
    work: Sequence[float] | None = None,
) -> str:
    """Queue a run and return its id; a repeated `idem_key` returns the id of the first submission.

    Args:
        engine: the store.
        config: everything that determines the run.
        name: default: that of the configuration.
        tags: labels for people.
        idem_key: from the client, against submitting twice.
        cloned_from: the run whose configuration this one started from.
        reference: the energy to compare with.
        n_sites: where it is known.
        n_steps: expected number of steps; default: that of the configuration, else 300.
        priority: higher goes first.
        kind: one of `models.KINDS`.
        parent: the run that is measured.
        system: canonical key and sector label, by which references are matched.
        run_id: an identifier that nobody has yet; default: a new one.
        work: operations of a step by kind, by which the speed of the device is learned.
    """
    run_id = run_id or str(uuid.uuid4())
    row = {
        "id": run_id,
        "idem_key": idem_key,
        "name": config.get("name", "") if name is None else name,
        "tags": list(tags),
        "cloned_from": cloned_from,
        "config": dict(config),
        "n_sites": n_sites,
        "n_steps": config.get("n_steps", 300) if n_steps is None else n_steps,
        "work": None if work is None else list(work),
        "kind": kind,
        "parent": parent,
        "system_key": system[0] if system else None,
        "system_sector": system[1] if system else None,
        "reference": None if reference is None else dict(reference),
        "reference_energy": comparable(reference),
        "notes": "",
        "state": "queued",
        "priority": priority,
        "created": time.time(),
    }
    row["search"] = searching.text(row)
    try:
        with engine.begin() as connection:
            connection.execute(runs.insert(), row)
            emit(connection, run_id, "state", {"state": "queued"})
        return run_id
    except IntegrityError:
        with reading(engine) as connection:
            first = connection.execute(sa.select(runs.c.id).where(runs.c.idem_key == idem_key)).scalar()
        if idem_key is None or first is None:
            raise
        return first


def comparable(reference: Mapping[str, Any] | None) -> float | None:
    """The energy of a reference that allows to state an error: exact or an estimate, never a mere bound.

    0 where it cannot be told from 0: the error is then an absolute one.
    """
    if reference is None or reference.get("bound") not in ("exact", "estimate"):
        return None
    energy = reference.get("energy")
    return 0.0 if energy is not None and abs(energy) <= (reference.get("uncertainty") or 0.0) else energy


def _runtime() -> sa.ScalarSelect[float]:
    """Seconds for which processes have worked on a run, all attempts together."""
    # What an attempt that has no end is said to last until: a process can only work on an active run.
    until = sa.case((runs.c.state.in_(ACTIVE), sa.bindparam("now", callable_=time.time)), else_=attempts.c.started)
    spent = sa.func.coalesce(attempts.c.ended, until) - attempts.c.started
    total = sa.func.sum(sa.case((spent > 0, spent), else_=0.0))
    return sa.select(total).where(attempts.c.run_id == runs.c.id).correlate(runs).scalar_subquery()


_SELECT = sa.select(
    *[runs.c[name] for name in COLUMNS],
    _RELATIVE.label("relative_error"),
    _ABSOLUTE.label("absolute_error"),
    _ETA.label("eta_seconds"),
    _runtime().label("runtime_seconds"),
)

_LARGE = ("result", "versions")
_LISTED = _SELECT.with_only_columns(*[column for column in _SELECT.selected_columns if column.name not in _LARGE])


def results(engine: Engine, run_ids: Sequence[str]) -> dict[str, dict[str, Any] | None]:
    """The results of runs, None where a run has none yet."""
    with reading(engine) as connection:
        found = connection.execute(sa.select(runs.c.id, runs.c.result).where(runs.c.id.in_(run_ids)))
        return {row.id: row.result for row in found}


def _as_dict(row: Any) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}  # orjson refuses SQLAlchemy's own kind of string


def get_run(engine: Engine, run_id: str) -> dict[str, Any] | None:
    """One run as the API shows it."""
    with reading(engine) as connection:
        row = connection.execute(_SELECT.where(runs.c.id == run_id)).mappings().first()
    return None if row is None else _as_dict(row)


def existing(engine: Engine, run_ids: Sequence[str]) -> set[str]:
    """Those of `run_ids` that are runs."""
    found: set[str] = set()
    with reading(engine) as connection:
        for start in range(0, len(run_ids), 500):
            some = sa.select(runs.c.id).where(runs.c.id.in_(run_ids[start : start + 500]))
            found.update(connection.execute(some).scalars())
    return found


def list_runs(
    engine: Engine,
    *,
    search: str | None = None,
    state: str | Sequence[str] | None = None,
    tag: str | None = None,
    archived: bool | str | None = False,
    kind: str = "vmc",
    sort: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[dict[str, Any]], int]:
    """A page of runs and the number of all that match. `sort` is a name in SORTS, with a leading '-' for descending.

    Runs whose energy is impossible come last in every such order. `kind` is one of `models.KINDS`, several with commas
    between them, or "any". Results are left out, since they hold maps and lists come often: `results` has them.

    Raises:
        ValueError: `sort` is not a known name.
    """
    where: list[Any] = searching.condition(search or "")
    if "any" not in (kinds := kind.split(",")):
        where.append(runs.c.kind.in_(kinds))
    if state:
        where.append(runs.c.state.in_(state.split(",") if isinstance(state, str) else list(state)))
    if tag:
        text = sa.cast(runs.c.tags, sa.Text)  # LIKE would ignore case on SQLite
        where.append(sa.func.replace(text, orjson.dumps(tag).decode(), "") != text)
    if archived not in (None, "any"):
        where.append(runs.c.archived == (archived in (True, "true")))
    descending, key = (sort or "-created").startswith("-"), (sort or "-created").lstrip("-")
    if key not in SORTS:
        raise ValueError(f"cannot sort by {key[:40]!r}; choose one of {', '.join(SORTS)}")
    order = sa.desc(SORTS[key]) if descending else sa.asc(SORTS[key])
    last = [_IMPOSSIBLE] if sort else []  # else they stay where people saw them begin
    query = _LISTED.where(*where).order_by(*last, order.nulls_last(), runs.c.created.desc(), runs.c.id)
    with reading(engine) as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(runs).where(*where)).scalar_one()
        rows = connection.execute(query.limit(limit).offset(offset)).mappings().all()
    return [_as_dict(row) for row in rows], total


def names(engine: Engine) -> set[str]:
    """The names of all runs."""
    with reading(engine) as connection:
        return set(connection.execute(sa.select(runs.c.name).distinct()).scalars())


def counts(engine: Engine) -> dict[str, int]:
    """Number of runs in each state."""
    with reading(engine) as connection:
        rows = connection.execute(sa.select(runs.c.state, sa.func.count()).group_by(runs.c.state)).all()
    return {row[0]: row[1] for row in rows}


def update_run(
    engine: Engine,
    run_id: str,
    *,
    name: str | None = None,
    tags: Sequence[str] | None = None,
    archived: bool | None = None,
    notes: str | None = None,
) -> None:
    """Change what describes a run; None leaves a field as it is.

    Raises:
        UnknownRunError: there is no such run.
    """
    given = {"name": name, "tags": None if tags is None else list(tags), "archived": archived, "notes": notes}
    values = {field: value for field, value in given.items() if value is not None}
    with engine.begin() as connection:
        about = sa.select(*[runs.c[field] for field in ("id", "name", "tags", "notes", "config")])
        row = connection.execute(about.where(runs.c.id == run_id)).mappings().first()
        if row is None:
            raise UnknownRunError(run_id)
        if values:
            values["search"] = searching.text({**row, **values})
            connection.execute(sa.update(runs).where(runs.c.id == run_id).values(**values))
