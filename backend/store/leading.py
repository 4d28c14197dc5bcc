"""Which measurement speaks for a run: its own final one, or a better one of the same parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from backend.models import METRICS, TIMES, metrics, runs
from nqs_core import health

ENDED = ("stopped", "done", "failed")


def headline(result: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a run that a result fills, also with None: the last step's value is not that of the result."""
    return {name: result[name] for name in METRICS if name in result and name not in TIMES}


def rank(result: Mapping[str, Any]) -> tuple[bool, float]:
    """Lower is better: first whether its diagnostics are bad, then its error."""
    error, agreement = _real(result.get("energy_error")), health.agreement(result)
    known = math.isfinite(_real(result.get("energy"))) and math.isfinite(error)
    moves = result.get("acceptance") is None or _real(result["acceptance"]) > 0
    mixed = result.get("r_hat") is None or (agreement is not None and agreement <= health.MAX_R_HAT)
    return not (known and moves and mixed), error if known else math.inf


def _real(value: Any) -> float:
    return math.nan if value is None else float(value)


def lead(connection: Connection, run_id: str) -> None:
    """Let the best measurement of a run that has ended speak for it, or for the run that it is a measurement of."""
    row = connection.execute(sa.select(runs.c.kind, runs.c.parent).where(runs.c.id == run_id)).first()
    if row is None:
        return
    about = [runs.c[name] for name in ("id", "step", "result", "leading")]
    owner = run_id if row.kind == "vmc" else row.parent
    ended = (runs.c.kind == "vmc", runs.c.state.in_(ENDED))
    run = connection.execute(sa.select(*about).where(runs.c.id == owner, *ended)).first()
    if run is None:
        return
    children = sa.select(runs.c.id, runs.c.result).where(runs.c.parent == run.id, runs.c.state == "done")
    measured = {child.id: child.result for child in connection.execute(children.order_by(runs.c.created, runs.c.id))}
    # A measurement of an earlier step, before the run was resumed, is one of other parameters.
    found = {None: run.result} if run.result else {}
    found |= {child: result for child, result in measured.items() if result and result.get("n_steps") == run.step}
    if not found:
        if run.leading is not None:
            back = {"leading": None, **_last_step(connection, run.id)}
            connection.execute(sa.update(runs).where(runs.c.id == run.id).values(**back))
        return
    best = min(found, key=lambda child: rank(found[child]))
    if best is not None or run.leading is not None:
        values = {"leading": best, **headline(found[best])}
        connection.execute(sa.update(runs).where(runs.c.id == run.id).values(**values))


def _last_step(connection: Connection, run_id: str) -> dict[str, Any]:
    names = [name for name in METRICS if name not in TIMES]
    query = sa.select(*[metrics.c[name] for name in names]).where(
        metrics.c.run_id == run_id, metrics.c.phase == "train"
    )
    row = connection.execute(query.order_by(metrics.c.seq.desc()).limit(1)).mappings().first()
    return {} if row is None else dict(row)


def lead_all(engine: Engine) -> None:
    """As `lead`, for every run that was measured again and that nothing leads."""
    parent = runs.alias()
    query = sa.select(runs.c.id).join(parent, parent.c.id == runs.c.parent)
    with engine.begin() as connection:
        for run_id in (
            connection.execute(query.where(runs.c.state == "done", parent.c.leading.is_(None))).scalars().all()
        ):
            lead(connection, run_id)
