"""The judgement of runs beside what it is made from: whoever writes numbers or a reference judges anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from backend.models import ACTIVE, METRICS, events, metrics, runs
from backend.store.connect import reading
from nqs_core import health

JUDGED = ("vmc", "measure")  # other jobs are references themselves
_ROW = (
    "kind",
    "parent",
    "leading",
    "state",
    "phase",
    "step",
    "n_steps",
    "attempt",
    "warnings",
    "spectrum",
    "reference",
    "result",
    "health",
)
_LATEST = ("energy", "energy_error", "acceptance", "r_hat", "ess", "n_samples")


def rejudge(connection: Connection, run_id: str) -> None:
    """Bring `runs.health` up to date with everything that this transaction has written."""
    config = runs.c.config
    row = connection.execute(
        sa.select(
            *[runs.c[name] for name in (*_ROW, *_LATEST)],
            config["init_from"]["run"].as_string().label("origin"),
            config["sector"]["sz"].as_float().label("sz"),
        ).where(runs.c.id == run_id, runs.c.kind.in_(JUDGED))
    ).first()
    if row is None:
        return
    found = _judged(connection, run_id, row._mapping)
    if found != row.health:
        connection.execute(sa.update(runs).where(runs.c.id == run_id).values(health=found))
    if row.kind == "measure" and row.state not in ("queued", *ACTIVE):  # it may speak for its run
        rejudge(connection, row.parent)


def _result(connection: Connection, row: Mapping[Any, Any]) -> Mapping[str, Any] | None:
    """That of the measurement that speaks for the run."""
    if row["leading"] is None:
        return row["result"]
    return connection.execute(sa.select(runs.c.result).where(runs.c.id == row["leading"])).scalar()


def _judged(connection: Connection, run_id: str, row: Mapping[Any, Any]) -> dict[str, Any] | None:
    first, recent = _steps(connection, run_id)
    training = row["state"] in ("queued", *ACTIVE) and row["phase"] != "measure"
    record = health.Record(
        result=_result(connection, row),
        first=first,
        recent=recent,
        latest={name: row[name] for name in _LATEST},
        reference=row["reference"],
        spectrum=tuple(row["spectrum"]) if row["spectrum"] else None,
        restricted=row["sz"] is not None,
        warm=row["origin"] is not None,
        progress=row["step"] / max(1, row["n_steps"]) if training else 1.0,
        diverged=_diverged(connection, run_id, row["attempt"]) if row["warnings"] else "",
    )
    found = health.judge(record.facts())
    return None if found is None else found.as_dict()


def _steps(connection: Connection, run_id: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The first training step, and the newest steps or batches of one phase, the newest last."""
    names = (*METRICS, "phase", "extra")
    query = sa.select(*[metrics.c[name] for name in names]).where(metrics.c.run_id == run_id)
    rising = connection.execute(query.order_by(metrics.c.seq).limit(1)).mappings().first()
    newest = connection.execute(query.order_by(metrics.c.seq.desc()).limit(health.RECENT)).mappings().all()
    first = _scalars(rising) if rising is not None and rising["phase"] == "train" else None
    return first, [_scalars(row) for row in reversed(newest) if row["phase"] == newest[0]["phase"]]


def _scalars(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: row[name] for name in METRICS} | (row["extra"] or {})


def _diverged(connection: Connection, run_id: str, attempt: int) -> str:
    """Why this attempt gave up."""
    mine = (events.c.run_id == run_id, events.c.attempt == attempt, events.c.kind == "warning")
    code = events.c.payload["code"].as_string() == health.DIVERGED
    payload = connection.execute(sa.select(events.c.payload).where(*mine, code)).scalars().first()
    return str(payload["message"]) if payload else ""


def unjudged(engine: Engine) -> list[dict[str, Any]]:
    """Id, configuration and bounds of the runs of earlier versions, which did not judge what they measured."""
    query = sa.select(runs.c.id, runs.c.config, runs.c.spectrum).where(
        runs.c.health.is_(None), runs.c.kind.in_(JUDGED), runs.c.energy.is_not(None)
    )
    with reading(engine) as connection:
        return [{"id": run, "config": config, "spectrum": bounds} for run, config, bounds in connection.execute(query)]


def judge_all(engine: Engine, spectra: Iterable[tuple[str, tuple[float, float] | None]]) -> None:
    """Judge runs, with the bounds of their spectra where they are known."""
    with engine.begin() as connection:
        for run_id, spectrum in spectra:
            if spectrum is not None:
                connection.execute(sa.update(runs).where(runs.c.id == run_id).values(spectrum=list(spectrum)))
            rejudge(connection, run_id)
