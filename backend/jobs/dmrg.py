"""DMRG at rising bond dimension: every sweep a step, every finished bond dimension a point that is kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from backend import references, store
from backend.jobs.base import Lost, Steps, Stopped, Task
from backend.provenance import provenance
from backend.series import current_rows
from nqs_core.config import ReferenceJob, parse_as
from nqs_core.errors import NQSError, TooLargeError
from nqs_core.events import MetricsEvent, PointEvent, RewindEvent, StateEvent
from nqs_core.reference import Reference, check, conclude, dmrg, plan_dmrg, upper_bound
from nqs_core.reference.exact import MEMORY_LIMIT

USUAL_SWEEPS = 8  # of a bond dimension
GROUP_SECONDS = 0.5  # between the end of the child by a signal to the whole group and that signal being heard here
_POINT = tuple(field.name for field in dataclasses.fields(dmrg.Point))


class Series:
    """What is known of a series: finished points, sweeps done and the seconds that they took."""

    def __init__(self, task: Task, n_sites: int) -> None:
        self._sink, self._n_sites = task.sink, n_sites
        events = task.ask(lambda engine: store.read_events(engine, task.run_id, 0, 10**9)[0])
        known = [event for event in events if event["kind"] == "point"]
        self.points = [_point(event) for event in known]
        self.step: int = known[-1]["step"] if known else 0
        self._before = current_rows(events)[self.step]["elapsed"] if known else 0.0
        self._elapsed = 0.0
        self._open = 0  # sweeps of the bond dimension under way
        self._expected = 0

    def rewind(self) -> None:
        """Drop the sweeps of a bond dimension that an earlier attempt did not finish."""
        self._sink.put(RewindEvent(step=self.step))

    def expect(self, n_left: int) -> None:
        """Say how many sweeps there will be, with `n_left` bond dimensions that are not finished."""
        expected = max(self.step + 1, self.step + USUAL_SWEEPS * n_left - self._open)
        if expected != self._expected:
            self._expected = expected
            self._sink.set(n_steps=expected)

    def sweep(self, sweep: dmrg.Sweep) -> None:
        """Report one sweep."""
        self.step += 1
        self._open += 1
        seconds, self._elapsed = sweep.elapsed - self._elapsed, sweep.elapsed
        told = dataclasses.asdict(sweep) | {
            "energy_per_site": sweep.energy / self._n_sites,
            "elapsed": self._before + sweep.elapsed,
            "step_seconds": seconds,
        }
        scalars = {name: float(value) for name, value in told.items() if value is not None}
        self._sink.put(MetricsEvent(step=self.step, phase="train", scalars=scalars))

    def point(self, point: dmrg.Point) -> None:
        """Report and keep a finished bond dimension."""
        self._open = 0
        self.points.append(point)
        self._sink.put(PointEvent(step=self.step, **dataclasses.asdict(point)))

    @property
    def interrupted(self) -> bool:
        """Whether sweeps are lost unless the bond dimension under way is finished."""
        return self._open > 0


def _point(event: dict[str, Any]) -> dmrg.Point:
    fields: dict[str, Any] = {name: event[name] for name in _POINT if name in event}
    return dmrg.Point(**fields)


def steps(task: Task) -> Steps:
    """Go on with the bond dimensions that are left, then say what follows from all of them."""
    job = parse_as(ReferenceJob, task.config)
    limit = task.settings.memory_bytes or MEMORY_LIMIT
    whole = plan_dmrg(job, job.chi, limit)
    task.sink.set(device="cpu", n_sites=whole.n_sites, versions=provenance("physics-tenpy", "numpy"))
    series = Series(task, whole.n_sites)
    if task.attempt > 1:
        series.rewind()
    task.sink.put(StateEvent(phase="train", step=series.step))
    yield series.step, None
    try:
        known = check(job, whole, limit, _leave_when_asked(task))
    except Stopped:
        known = None
    plan = _rest(job, whole, series.points, limit)
    if plan is not None and not task.sink.stop_requested():
        yield from _sweeps(task, plan, series, known)
    want = _wanted(task, whole, series)
    if want == "queued" or (want and not series.points):
        yield series.step, (want, {})
        return
    result = _conclude(task, job, whole, series, known)
    if want is None:
        task.sink.set(n_steps=max(1, series.step))
    yield series.step, (want or "done", {"result": result})


def _rest(job: ReferenceJob, whole: dmrg.Plan, points: list[dmrg.Point], limit: float) -> dmrg.Plan | None:
    """The plan of what is left; None where nothing is, or where it would take too long."""
    if not points:
        return whole
    left = [chi for chi in whole.chi if chi > points[-1].chi]
    try:
        return plan_dmrg(job, left, limit) if left else None
    except TooLargeError:
        return None


def _leave_when_asked(task: Task) -> Callable[[], None]:
    def tick() -> None:
        if task.sink.stop_requested():
            raise Stopped

    return tick


def _sweeps(task: Task, plan: dmrg.Plan, series: Series, known: Reference | None) -> Steps:
    n_left = len(plan.chi)
    series.expect(n_left)
    try:
        with closing(dmrg.Job(plan, known.energy if known else None).events()) as events:
            for event in events:
                if task.sink.stop_requested():
                    return
                if isinstance(event, dmrg.Sweep):
                    series.sweep(event)
                elif isinstance(event, dmrg.Point):
                    series.point(event)
                    n_left -= 1
                if event is not None:
                    series.expect(n_left)
                    yield series.step, None
    except dmrg.Killed:
        raise Lost("the process of DMRG was ended by signal 9") from None


def _wanted(task: Task, whole: dmrg.Plan, series: Series) -> str | None:
    """The state that was asked for; None where the series has come to its end.

    Raises:
        NQSError: its process ended in the middle, and nobody wants the run to stop.
    """
    if not series.interrupted and series.points and series.points[-1].chi == whole.chi[-1]:
        return None  # nothing is left to be stopped
    deadline = time.monotonic() + GROUP_SECONDS
    while not task.sink.stop_requested() and time.monotonic() < deadline:
        time.sleep(0.02)
    want = task.sink.stop_requested()
    if series.interrupted and want is None:
        raise NQSError("the process of DMRG was ended; the bond dimensions that it had finished are kept")
    return want


def _conclude(
    task: Task, job: ReferenceJob, whole: dmrg.Plan, series: Series, known: Reference | None
) -> dict[str, Any]:
    exact = known.energy if known else None
    found, extrapolation = conclude(job, series.points, exact)
    rows = [found] if found.bound == "upper" else [found, upper_bound(job, series.points, exact)]
    rows += [known] if known else []
    task.ask(lambda engine: references.record(engine, task.run_id, job, rows, series.points, whole.mpo_dimension))
    return references.as_dict(found) | {
        "energy_per_site": found.energy / whole.n_sites,
        "energy_error": found.uncertainty,
        "fits": [dataclasses.asdict(fit) | {"accepted": fit.accepted} for fit in extrapolation.fits],
        "refused": extrapolation.reason or None,
        "exact": exact,
        "note": extrapolation.note or None,
        "chi": [point.chi for point in series.points],
        "n_steps": series.step,
        "seconds": sum(point.wall_seconds for point in series.points),
    }
