"""What the owner of an attempt writes: one transaction is fence, heartbeat, gap-free numbering and data.

Records are the dictionaries of the spool: the events of the core plus `t`, and {"kind": "checkpoint", ...}, which takes
no sequence number.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from backend.models import ACTIVE, METRICS, TIMES, attempts, checkpoints, events, metrics, runs, snapshots
from backend.store.connect import reading
from backend.store.judging import rejudge

Record = dict[str, Any]
_HEAD = ("kind", "step", "t")
KEPT = 24  # newest snapshots, and rows with arrays; of the older ones, one per factor of 1.15 in the step
_RATIO = 1.15


class FencedError(Exception):
    """Another attempt owns the run, or it has ended: touch nothing."""


class Owner(NamedTuple):
    """The right to write: lost as soon as the database holds another attempt or token."""

    run_id: str
    attempt: int
    claim: str

    def condition(self) -> sa.ColumnElement[bool]:
        """True for the row of the run as long as this owner owns it."""
        mine = (runs.c.id == self.run_id, runs.c.attempt == self.attempt, runs.c.claim == self.claim)
        return sa.and_(*mine, runs.c.state.in_(ACTIVE))


class Flushed(NamedTuple):
    """What is now known to be in the database: `done` records, and the further columns if `fresh`."""

    done: int
    fresh: bool
    desired: str


def flush(engine: Engine, owner: Owner, acked: int, records: Sequence[Record], values: Record) -> Flushed:
    """Write `records`, the ones after the first `acked`; `values` are further columns of the run.

    Raises:
        FencedError: the caller is the owner no longer.
    """
    numbered = sum(record["kind"] != "checkpoint" for record in records)
    change = {"last_seq": runs.c.last_seq + numbered, "acked": runs.c.acked + len(records), "hb": runs.c.hb + 1}
    update = sa.update(runs).where(owner.condition(), runs.c.acked == acked)
    with engine.begin() as connection:
        row = connection.execute(
            update.values(change | _latest(records) | values).returning(runs.c.last_seq, runs.c.desired)
        ).first()
        if row is not None:
            _write(connection, owner.run_id, owner.attempt, records, row.last_seq - numbered)
            if any(record["kind"] in ("metrics", "warning") for record in records):
                rejudge(connection, owner.run_id)
            return Flushed(len(records), True, row.desired)
        # Either fenced out, or the answer to an earlier COMMIT was lost although it succeeded.
        now = connection.execute(sa.select(runs.c.acked, runs.c.desired).where(owner.condition())).first()
        if now is None:
            raise FencedError
        done = now.acked - acked
        if not 0 < done <= len(records):
            raise RuntimeError(f"the database has {now.acked} records of this attempt, its process has {acked}")
        return Flushed(done, False, now.desired)


def wish(engine: Engine, owner: Owner) -> str | None:
    """What is wanted of the owner's run, "run" or "stop"; None: it is not the owner's. A full disk allows this."""
    with reading(engine) as connection:
        return connection.execute(sa.select(runs.c.desired).where(owner.condition())).scalar()


def _latest(records: Sequence[Record]) -> Record:
    """The newest values for the row of the run, so that the list of runs needs no join."""
    out: Record = {}
    warnings = 0
    for record in records:
        kind = record["kind"]
        if kind == "metrics":
            out["phase"] = record["phase"]
            names = METRICS if record["phase"] == "train" else TIMES
            if record["phase"] == "train":
                out["step"] = record["step"]
            out |= {name: record["scalars"][name] for name in names if record["scalars"].get(name) is not None}
        elif kind == "state" and record.get("phase"):
            out["phase"] = record["phase"]
        elif kind == "rewind":
            out["step"] = record["step"]
        elif kind == "warning":
            warnings += 1
        elif kind == "point":
            out["failures"] = 0  # it is kept whatever happens, as a checkpoint is
        elif kind == "checkpoint":
            progress = runs.c.checkpoint_step < record["step"]
            out["failures"] = sa.case((progress, 0), else_=runs.c.failures)
            out["checkpoint_step"] = sa.case((progress, record["step"]), else_=runs.c.checkpoint_step)
    if warnings:
        out["warnings"] = runs.c.warnings + warnings
    return out


def _write(connection: Connection, run_id: str, attempt: int, records: Sequence[Record], seq: int) -> None:
    rows: dict[sa.Table, list[Record]] = {metrics: [], snapshots: [], events: []}
    for record in records:
        if record["kind"] == "checkpoint":
            _checkpoint(connection, run_id, attempt, record)
            continue
        if record["kind"] == "rewind":
            mine = (attempts.c.run_id == run_id, attempts.c.attempt == attempt)
            connection.execute(sa.update(attempts).where(*mine).values(start_step=record["step"]))
        seq += 1
        table, row = _row(record)
        rows[table].append({"run_id": run_id, "seq": seq, "attempt": attempt, **row})
    for table, batch in rows.items():
        if batch:
            connection.execute(table.insert(), batch)
    if rows[snapshots]:
        full = snapshots.c.bits.is_not(None)
        _thin(connection, snapshots, full, run_id, len(rows[snapshots]), bits=None, energies=None)
    n_arrays = sum(row["arrays"] is not None for row in rows[metrics])
    if n_arrays:
        _thin(connection, metrics, metrics.c.arrays.is_not(None), run_id, n_arrays, arrays=None)


def _row(record: Record) -> tuple[sa.Table, Record]:
    if record["kind"] == "metrics":
        scalars = {name: value for name, value in record["scalars"].items() if value is not None}
        known = {name: scalars.pop(name, None) for name in METRICS}
        head = {name: record[name] for name in ("step", "phase", "t")}
        return metrics, {**head, **known, "extra": scalars or None, "arrays": record.get("arrays") or None}
    if record["kind"] == "snapshot":
        head = {name: record[name] for name in ("step", "t", "n_chains", "n_sites", "energies")}
        return snapshots, {**head, "bits": base64.b64decode(record["spins"])}
    payload = {name: value for name, value in record.items() if name not in _HEAD and value is not None}
    return events, {"step": record.get("step"), "kind": record["kind"], "t": record["t"], "payload": payload}


def _checkpoint(connection: Connection, run_id: str, attempt: int, record: Record) -> None:
    gone = sa.or_(checkpoints.c.path.not_in(record["kept"]), checkpoints.c.path == record["path"])
    connection.execute(sa.delete(checkpoints).where(checkpoints.c.run_id == run_id, gone))
    row = {name: record[name] for name in ("step", "path", "bytes", "sha256", "t")}
    connection.execute(checkpoints.insert(), {"run_id": run_id, "attempt": attempt, **row})


def _thin(
    connection: Connection, table: sa.Table, full: sa.ColumnElement[bool], run_id: str, n_new: int, **empty: None
) -> None:
    """Empty rows of `table` that are `full` so that the newest stay, and of the older ones one per factor in the step.

    Only what has left the newest with the last `n_new` rows is looked at, next to the row that was kept before it.
    """
    query = sa.select(table.c.seq, table.c.step).where(table.c.run_id == run_id, full)
    limit = KEPT + n_new + 1
    found = connection.execute(query.order_by(table.c.seq.desc()).limit(limit)).all()[::-1]
    known = len(found) == limit
    last, drop = (found[0].step if known else 0.0), []
    for row in found[int(known) : -KEPT]:
        if row.step < last * _RATIO:
            drop.append(row.seq)
        else:
            last = row.step
    if drop:
        connection.execute(sa.update(table).where(table.c.run_id == run_id, table.c.seq.in_(drop)).values(**empty))


def unreplayed(engine: Engine, run_id: str, attempt: int) -> list[tuple[int, int]]:
    """(attempt, records that the database has) of each earlier attempt whose spool was not looked at since it ended."""
    query = sa.select(attempts.c.attempt, attempts.c.acked)
    where = (attempts.c.run_id == run_id, attempts.c.attempt < attempt, attempts.c.replayed.is_(False))
    with reading(engine) as connection:
        return [
            (row.attempt, row.acked) for row in connection.execute(query.where(*where).order_by(attempts.c.attempt))
        ]


def replay(engine: Engine, owner: Owner, attempt: int, records: Sequence[Record]) -> bool:
    """Write what an earlier attempt left in its spool, once; False if that was done before.

    Raises:
        FencedError: the caller is the owner no longer.
    """
    numbered = sum(record["kind"] != "checkpoint" for record in records)
    change = {"last_seq": runs.c.last_seq + numbered, "hb": runs.c.hb + 1}
    with engine.begin() as connection:
        row = connection.execute(
            sa.update(runs).where(owner.condition()).values(change | _latest(records)).returning(runs.c.last_seq)
        ).first()
        if row is None:
            raise FencedError
        old = (attempts.c.run_id == owner.run_id, attempts.c.attempt == attempt, attempts.c.replayed.is_(False))
        if connection.execute(sa.update(attempts).where(*old).values(replayed=True)).rowcount == 0:
            connection.rollback()
            return False
        _write(connection, owner.run_id, attempt, records, row.last_seq - numbered)
        return True
