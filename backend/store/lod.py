"""A summary of every scalar, one row per 64 steps of the current series: mean, minimum and maximum.

For readers that cannot take every step of a long run; superseded steps are not in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from backend.models import METRICS, metrics, metrics_lod
from backend.store.connect import reading

STEPS = 64
Bucket = dict[int, dict[str, float]]  # step -> scalars of the steps in the bucket that is still open


def _index(step: int) -> int:
    return (step - 1) // STEPS


def load(connection: Connection, run_id: str, step: int) -> Bucket:
    """The open bucket of a series that has reached `step`."""
    if step % STEPS == 0:
        return {}
    low = _index(step) * STEPS
    where = (metrics.c.run_id == run_id, metrics.c.phase == "train", metrics.c.step > low, metrics.c.step <= step)
    out: Bucket = {}
    for row in connection.execute(sa.select(metrics).where(*where).order_by(metrics.c.seq)).mappings():
        known = {name: row[name] for name in METRICS if row[name] is not None}
        out[row["step"]] = known | (row["extra"] or {})
    return out


def rewind(connection: Connection, run_id: str, step: int) -> Bucket:
    """Forget the steps after `step` and return the open bucket."""
    first = step // STEPS  # the first bucket that has a step after `step`
    gone = sa.delete(metrics_lod).where(metrics_lod.c.run_id == run_id, metrics_lod.c.bucket >= first)
    connection.execute(gone)
    bucket = load(connection, run_id, step)
    if bucket:
        connection.execute(metrics_lod.insert(), _rows(run_id, first, bucket))
    return bucket


def advance(connection: Connection, run_id: str, bucket: Bucket, records: Iterable[dict[str, Any]]) -> Bucket:
    """Write the rows of every bucket that `records` touch and return the one that stays open."""
    groups: dict[int, Bucket] = {_index(step): {} for step in bucket}
    for step, scalars in bucket.items():
        groups[_index(step)][step] = scalars
    touched: set[int] = set()
    for record in records:
        if record["kind"] == "metrics" and record["phase"] == "train":
            index = _index(record["step"])
            scalars = {name: value for name, value in record["scalars"].items() if value is not None}
            groups.setdefault(index, {})[record["step"]] = scalars
            touched.add(index)
    if not touched:
        return bucket
    gone = sa.delete(metrics_lod).where(metrics_lod.c.run_id == run_id, metrics_lod.c.bucket.in_(touched))
    connection.execute(gone)
    rows = [row for index in sorted(touched) for row in _rows(run_id, index, groups[index])]
    if rows:
        connection.execute(metrics_lod.insert(), rows)
    last = max(groups)
    return {} if (last + 1) * STEPS in groups[last] else groups[last]


def _rows(run_id: str, index: int, bucket: Bucket) -> list[dict[str, Any]]:
    values: dict[str, list[float]] = defaultdict(list)
    for scalars in bucket.values():
        for name, value in scalars.items():
            values[name[:64]].append(value)
    head = {"run_id": run_id, "bucket": index, "step_lo": min(bucket), "step_hi": max(bucket)}
    return [
        {**head, "name": name, "n": len(x), "mean": sum(x) / len(x), "min": min(x), "max": max(x)}
        for name, x in values.items()
    ]


def read_lod(engine: Engine, run_id: str, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """For each scalar its rows (step_lo, step_hi, n, mean, min, max), by step."""
    columns = [metrics_lod.c[name] for name in ("name", "step_lo", "step_hi", "n", "mean", "min", "max")]
    where = (metrics_lod.c.run_id == run_id, metrics_lod.c.name.in_(names))
    out: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with reading(engine) as connection:
        query = sa.select(*columns).where(*where).order_by(metrics_lod.c.name, metrics_lod.c.bucket)
        for row in connection.execute(query).mappings():
            out[row["name"]].append({str(key): value for key, value in row.items() if key != "name"})
    return out
