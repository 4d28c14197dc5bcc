"""`spinscope reference --method dmrg`: a line on standard error per sweep and per bond dimension, then the result."""

import dataclasses
import sys
from contextlib import closing
from typing import Any

from nqs_core.config import RunConfig
from nqs_core.reference import Reference, check, conclude, dmrg


def run(config: RunConfig, plan: dmrg.Plan) -> tuple[Reference, dict[str, Any], bool]:
    """The reference, what else the result file holds, and whether somebody interrupted after a finished chi.

    Raises:
        NQSError: the process failed, or was killed before a bond dimension was finished.
    """
    _say(f"DMRG of {plan.n_sites} sites, MPO dimension {plan.mpo_dimension}, at most {plan.n_bytes / 1e9:.2g} GB")
    _say("estimate: " + ", ".join(f"chi {c} {s:.0f} s" for c, s in zip(plan.chi, plan.seconds, strict=True)))
    known = check(config, plan)
    exact = known.energy if known else None
    _say(
        f"exact diagonalisation, to check it: {exact:.12g}" if known else "no exact energy at hand: starts are compared"
    )
    points: list[dmrg.Point] = []
    interrupted, lost = False, ""
    try:
        with closing(dmrg.Job(plan, exact).events()) as events:
            for event in events:
                if isinstance(event, dmrg.Point):
                    points.append(event)  # before it is shown: whoever sees it may interrupt
                if event is not None:
                    _say(_line(event))
    except KeyboardInterrupt:
        if not points:
            raise
        interrupted = True
    except dmrg.Killed as error:
        if not points:
            raise
        lost = str(error)
        _say(f"{lost}; what it had finished counts")
    found, extrapolation = conclude(config, points, exact)
    left = plan.chi[len(points) :]
    if left and points[-1].chi_used == points[-1].chi and not interrupted and not lost:
        _say(
            f"not begun: chi = {', '.join(map(str, left))}, estimated beyond the limit of {dmrg.BUDGET:.0f} CPU seconds"
        )
    content = {
        "series": [dataclasses.asdict(point) for point in points],
        "fits": [dataclasses.asdict(fit) | {"accepted": fit.accepted} for fit in extrapolation.fits],
        "refused": extrapolation.reason or None,
        "exact": exact,
        "note": extrapolation.note or None,
    }
    return found, content, interrupted


def lines(found: Reference, content: dict[str, Any]) -> list[str]:
    """The result in words."""
    last = content["series"][-1]
    shown = [f"E(chi = {last['chi_used']}) = {last['energy']:.12g}, an upper bound"]
    if content["exact"] is not None:
        shown.append(f"exact energy: {content['exact']:.12g} (exact diagonalisation)")
    if not last["converged"]:
        shown.append("its sweeps had not converged")
    if found.bound == "upper":
        return [*shown, f"not extrapolated: {content['refused']}"]
    for fit in content["fits"]:
        if fit["kind"] == "power" and fit["a"] is not None:
            text = f"fit: E = {fit['a']:.10g} + {fit['b']:.4g} (chi + {fit['c']:.4g})^{fit['d']:.4g}"
        else:
            text = f"fit in the {fit['kind']}: " + ("no value" if fit["a"] is None else f"{fit['a']:.10g}")
        shown.append(text + (f"; refused: {fit['reason']}" if fit["reason"] else ""))
    return [*shown, *([content["note"]] if content["note"] else [])]


def _line(event: dmrg.Event) -> str:
    if isinstance(event, dmrg.Sweep):
        change = "" if event.delta_energy is None else f"  change {event.delta_energy:.1e}"
        start = f"  start {event.start + 1}" if event.start else ""
        return f"chi {event.chi}{start}  sweep {event.sweep}  E = {event.energy:.10f}{change}  {event.elapsed:.1f} s"
    spread = "" if event.variance is None else f", variance {event.variance:.1e}"
    return (
        f"chi {event.chi} finished: E = {event.energy:.10f}, truncation error {event.truncation_error:.1e}{spread}, "
        f"entropy {event.max_entropy:.4f}, {event.sweeps} sweeps, {event.cpu_seconds:.1f} CPU s"
        + ("" if event.converged else ", not converged")
    )


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
