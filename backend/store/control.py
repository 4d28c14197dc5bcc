"""Changes of state. Each is one compare-and-set: whoever comes second changes nothing."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from backend.models import ACTIVE, TIMES, attempts, runs
from backend.store.connect import reading
from backend.store.judging import rejudge
from backend.store.leading import headline, lead
from backend.store.runs import StateError, UnknownRunError, emit


class Claim(NamedTuple):
    """What the process of an attempt needs to know about its run."""

    kind: str
    parent: str | None
    config: dict[str, Any]
    desired: str


class Active(NamedTuple):
    """An attempt that some process works on, or shall."""

    id: str
    attempt: int
    hb: int
    state: str
    desired: str
    slot: str | None
    host: str | None
    pid: int | None


class Work(NamedTuple):
    """What a dispatcher looks at."""

    active: list[Active]
    queued: bool


def work(engine: Engine) -> Work:
    """All active attempts, and whether any run waits."""
    with reading(engine) as connection:
        query = sa.select(*[runs.c[name] for name in Active._fields]).where(runs.c.state.in_(ACTIVE))
        active = [Active(*row) for row in connection.execute(query)]
        waiting = sa.select(runs.c.id).where(runs.c.state == "queued", runs.c.desired == "run").limit(1)
        return Work(active, connection.execute(waiting).first() is not None)


def _row(connection: Connection, run_id: str) -> Any:
    query = sa.select(runs.c.state, runs.c.desired, runs.c.attempt).where(runs.c.id == run_id)
    row = connection.execute(query).first()
    if row is None:
        raise UnknownRunError(run_id)
    return row


def request_stop(engine: Engine, run_id: str) -> None:
    """Ask a run to stop at its next step; a queued run is stopped at once.

    Raises:
        UnknownRunError: there is no such run.
        StateError: the run is neither queued nor active.
    """
    with engine.begin() as connection:
        row = _row(connection, run_id)
        if row.state == "queued":
            emit(connection, run_id, "control", {"action": "stop"}, desired="stop")
            emit(connection, run_id, "state", {"state": "stopped"}, state="stopped", ended=time.time())
        elif row.state not in ACTIVE:
            raise StateError(f"the run is {row.state}; only a queued or running run can be stopped")
        elif row.desired != "stop":
            emit(connection, run_id, "control", {"action": "stop"}, desired="stop")


def request_resume(engine: Engine, run_id: str) -> None:
    """Queue a stopped or failed run again; it continues from its last checkpoint.

    Raises:
        UnknownRunError: there is no such run.
        StateError: the run is neither stopped nor failed.
    """
    with engine.begin() as connection:
        row = _row(connection, run_id)
        if row.state not in ("stopped", "failed"):
            raise StateError(f"the run is {row.state}; only a stopped or failed run can be resumed")
        emit(connection, run_id, "control", {"action": "resume"}, desired="run")
        fresh = {"state": "queued", "failures": 0, "error": None, "ended": None, "leading": None}
        emit(connection, run_id, "state", {"state": "queued"}, **fresh)


def claim_next(engine: Engine) -> tuple[str, int] | None:
    """Take the next queued run for a dispatcher: (run id, new attempt). Two dispatchers never get the same one."""
    query = sa.select(runs.c.id, runs.c.attempt).where(runs.c.state == "queued", runs.c.desired == "run")
    query = query.order_by(runs.c.priority.desc(), runs.c.created, runs.c.id).limit(1)
    with engine.begin() as connection:
        row = connection.execute(query.with_for_update(skip_locked=True)).first()
        if row is None:
            return None
        mine = (runs.c.id == row.id, runs.c.state == "queued", runs.c.attempt == row.attempt)
        fresh = {"state": "starting", "claim": None, "phase": None, "slot": None}
        fresh["started"] = sa.func.coalesce(runs.c.started, time.time())  # of the first attempt
        changed = connection.execute(
            sa.update(runs).where(*mine).values(attempt=row.attempt + 1, hb=runs.c.hb + 1, pid=None, host=None, **fresh)
        )
        if changed.rowcount != 1:
            return None
        emit(connection, row.id, "state", {"state": "starting"})
        return row.id, row.attempt + 1


def claim_attempt(
    engine: Engine, run_id: str, attempt: int, claim: str, *, pid: int, host: str, slot: str | None
) -> Claim | None:
    """Make the calling process the owner of an attempt; None if the attempt is taken or superseded."""
    mine = (runs.c.id == run_id, runs.c.attempt == attempt, runs.c.claim.is_(None), runs.c.state == "starting")
    done = (runs.c.id == run_id, runs.c.attempt == attempt, runs.c.claim == claim, runs.c.state == "running")
    content = sa.select(runs.c.acked, *[runs.c[name] for name in Claim._fields])
    with engine.begin() as connection:
        row = connection.execute(content.where(*mine)).first()
        if row is None:
            # The answer to an earlier COMMIT may have been lost.
            row = connection.execute(content.where(*done)).first()
            return None if row is None else _claim(row)
        now = time.time()
        before = sa.select(sa.func.max(attempts.c.attempt)).where(attempts.c.run_id == run_id).scalar_subquery()
        # The counter of spooled records starts anew with each owner; the last owner's is needed to replay its spool.
        connection.execute(
            sa.update(attempts).where(attempts.c.run_id == run_id, attempts.c.attempt == before).values(acked=row.acked)
        )
        process = {"slot": slot, "host": host, "pid": pid}
        connection.execute(attempts.insert(), {"run_id": run_id, "attempt": attempt, "started": now, **process})
        changed = connection.execute(
            sa.update(runs)
            .where(*mine)
            .values(claim=claim, state="running", phase="compiling", acked=0, hb=runs.c.hb + 1, **process)
        )
        if changed.rowcount != 1:
            raise RuntimeError("the attempt changed hands inside a transaction")
        emit(connection, run_id, "state", {"state": "running", "phase": "compiling"})
        return _claim(row)


def _claim(row: Any) -> Claim:
    return Claim(*[getattr(row, name) for name in Claim._fields])


def finish(
    engine: Engine,
    run_id: str,
    attempt: int,
    claim: str,
    state: str,
    *,
    step: int | None = None,
    reason: str | None = None,
    result: dict[str, Any] | None = None,
) -> bool:
    """The owner's last word; False if it is the owner no longer (or said it already).

    A run that goes back to the queue, but that somebody wants to stop, is stopped: nobody would take it from there.
    """
    if state == "queued":
        with reading(engine) as connection:
            wish = connection.execute(sa.select(runs.c.desired).where(runs.c.id == run_id)).scalar()
        state = "stopped" if wish == "stop" else state
    payload = {"state": state} | {k: v for k, v in (("reason", reason), ("result", result)) if v is not None}
    values: dict[str, Any] = {"error": reason if state == "failed" else None}
    if result is not None:
        # Also None: the value of the last step is not that of the result.
        spent = {name: result[name] for name in TIMES if name in result}
        values |= {"result": result, "leading": None, **headline(result), **spent}
    mine = (runs.c.attempt == attempt, runs.c.claim == claim, runs.c.state.in_(ACTIVE))
    return _end(engine, run_id, mine, state, payload, step=step, exit_reason=reason or state, **values)


def lost(engine: Engine, run_id: str, attempt: int, why: str, *, graceful: bool = False) -> str | None:
    """A process has vanished: queue its run again, or give up after too many in a row without progress.

    Returns the new state, None if the attempt had already ended. `graceful`: the loss does not count.
    """
    query = sa.select(runs.c.desired, runs.c.failures, runs.c.max_failures, runs.c.state)
    mine = (runs.c.id == run_id, runs.c.attempt == attempt, runs.c.state.in_(ACTIVE))
    with reading(engine) as connection:
        row = connection.execute(query.where(*mine)).first()
    if row is None:
        return None
    failures = row.failures + (0 if graceful else 1)
    state, error = "queued", None
    if row.desired == "stop":
        state = "stopped"
    elif failures >= row.max_failures:
        killed = " It was killed by the system: possibly out of memory." if "signal 9" in why else ""
        state = "failed"
        error = f"the process of this run was lost {failures} times in a row without progress ({why}).{killed} " \
            "What it had saved is kept; resume goes on from there."  # fmt: skip
    still = (runs.c.attempt == attempt, runs.c.state == row.state, runs.c.failures == row.failures)
    payload = {"state": state, "reason": error or why}
    done = _end(engine, run_id, still, state, payload, exit_reason=why, error=error, failures=failures)
    return state if done else None


def _end(
    engine: Engine,
    run_id: str,
    condition: tuple[Any, ...],
    state: str,
    payload: dict[str, Any],
    *,
    exit_reason: str,
    step: int | None = None,
    **values: Any,
) -> bool:
    now = time.time()
    values |= {"state": state, "claim": None, "phase": None, "pid": None, "slot": None}
    values["ended"] = None if state == "queued" else now
    with engine.begin() as connection:
        update = sa.update(runs).where(runs.c.id == run_id, *condition).values(**values)
        row = connection.execute(update.returning(runs.c.attempt)).first()
        if row is None:
            return False
        emit(connection, run_id, "state", payload, step=step)
        if state != "queued":
            lead(connection, run_id)
        rejudge(connection, run_id)
        mine = (attempts.c.run_id == run_id, attempts.c.attempt == row.attempt)
        connection.execute(sa.update(attempts).where(*mine).values(ended=now, exit=exit_reason[:500]))
        return True
