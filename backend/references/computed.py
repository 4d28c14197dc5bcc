"""Reference energies that are computed here: what a job would take, and what it leaves in the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Engine

from backend.models import reference_energies, reference_series
from backend.references.matching import refresh, system_of
from backend.references.table import computed_row, digest
from nqs_core.config import ReferenceJob, System
from nqs_core.errors import ConfigError, NQSError, TooLargeError
from nqs_core.reference import SOURCE, Reference, dmrg, estimate, is_classical, plan_dmrg
from nqs_core.reference.exact import MEMORY_LIMIT
from nqs_core.reference.matching import canonical

SWEEPS = 8  # that a bond dimension usually takes


class JobPlan(NamedTuple):
    """A reference job before it starts: `job` has the method spelled out; `about` is what the API shows."""

    job: ReferenceJob
    n_sweeps: int
    about: dict[str, Any]


def plan_job(job: ReferenceJob, memory_limit: float = MEMORY_LIMIT) -> JobPlan:
    """What each method would take, and the one that `auto` stands for.

    Raises:
        ConfigError: the system does not fit together.
    """
    n_sites = canonical(job)[0]["n_sites"]
    exact, closed = _exact(job, memory_limit)
    classical = job.levels == 1 and is_classical(job, memory_limit)
    method, (by_dmrg, plan) = job.method, _dmrg(job, memory_limit, classical)
    if classical:  # DMRG would end in one of many local minima, and takes longer
        method = "exact"
    elif method == "auto":
        method = "dmrg" if not exact["feasible"] and by_dmrg["feasible"] else "exact"
    about = {"method": method, "n_sites": n_sites, "closed_form": closed, "diagonal": classical, "exact": exact}
    about["dmrg"] = by_dmrg
    chi = list(plan.chi) if plan is not None and method == "dmrg" else None
    return JobPlan(job.model_copy(update={"method": method, "chi": chi}), SWEEPS * len(chi or []), about)


def _exact(job: ReferenceJob, memory_limit: float) -> tuple[dict[str, Any], bool]:
    nothing = {"dim": None, "bytes": None, "seconds": None}
    try:
        cost = estimate(job, job.levels)
    except TooLargeError as error:
        return {**nothing, "feasible": False, "reason": str(error)}, False
    if cost is None:
        return {"dim": 0, "bytes": 0.0, "seconds": 0.0, "feasible": True, "reason": ""}, True
    fits = cost.n_bytes <= memory_limit
    reason = "" if fits else (
        f"exact diagonalisation of {cost.text} needs {cost.n_bytes / 1e9:.3g} GB (limit {memory_limit / 1e9:.3g} GB)"
    )  # fmt: skip
    return {"dim": cost.dim, "bytes": cost.n_bytes, "seconds": cost.seconds, "feasible": fits, "reason": reason}, False


def _dmrg(job: ReferenceJob, memory_limit: float, classical: bool) -> tuple[dict[str, Any], dmrg.Plan | None]:
    try:
        if job.levels > 1:
            raise ConfigError(f"levels = {job.levels}: DMRG gives the ground state of a sector only")
        plan = plan_dmrg(job, job.chi, memory_limit)
    except NQSError as error:
        if isinstance(error, ConfigError) and job.method == "dmrg" and not classical:
            raise
        nothing = dict.fromkeys(("chi", "seconds", "bytes", "mpo_dimension", "charge"))
        return {**nothing, "feasible": False, "reason": str(error)}, None
    about = {
        "chi": list(plan.chi),
        "seconds": list(plan.seconds),
        "bytes": plan.n_bytes,
        "mpo_dimension": plan.mpo_dimension,
        "charge": plan.charge,
    }
    return {**about, "feasible": True, "reason": ""}, plan


def record(
    engine: Engine,
    run_id: str,
    system: System,
    references: Sequence[Reference],
    points: Sequence[dmrg.Point] = (),
    mpo_dimension: int = 0,
) -> None:
    """Put what a job has found into the tables, in place of its earlier findings; runs of the system get their line.

    Args:
        engine: the store.
        run_id: of the job.
        system: what was computed; `references` and `points` are in its units.
        references: one for each level.
        points: of the bond dimensions that DMRG has finished.
        mpo_dimension: of the Hamiltonian, where there are points.
    """
    _, factor = canonical(system)
    key, sector = system_of(system)
    head = {"run_id": run_id, "origin": "computed", "key": key, "sector": sector, "level": 0, "order": "default"}
    rows = [computed_row(found, system, run_id) for found in references]
    curve = [
        head
        | {name: getattr(point, name) for name in _POINT}
        | {"energy": point.energy * factor, "mpo_dimension": mpo_dimension, "source": SOURCE}
        | {"variance": None if point.variance is None else point.variance * factor**2}
        | {"content_hash": digest({"run": run_id, "chi": point.chi})}
        for point in points
    ]
    with engine.begin() as connection:
        for table, new in ((reference_energies, rows), (reference_series, curve)):
            connection.execute(sa.delete(table).where(table.c.run_id == run_id))
            if new:
                connection.execute(table.insert(), new)
    refresh(engine, key)


_POINT = ("chi", "chi_used", "truncation_error", "max_entropy", "sweeps", "converged", "cpu_seconds", "wall_seconds")
