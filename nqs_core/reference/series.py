"""What a DMRG series says of the ground state: how its states were checked, and the reference that follows."""

import dataclasses
from collections.abc import Sequence

from nqs_core.config import System
from nqs_core.errors import ConfigError
from nqs_core.lattices import LATTICES
from nqs_core.reference import dmrg, exact, matching
from nqs_core.reference.fit import EXACT, Extrapolation, extrapolate
from nqs_core.reference.result import ABOVE_EXACT, Reference
from nqs_core.reference.subspace import system

SOURCE = "computed by Spinscope"
AGREE = 1e-5  # relative difference of energies below which starts count as ended in the same state
CHECK_SECONDS = (5.0, 60.0)  # estimated time of a diagonalisation that checks a series: at least, at most


def plan_dmrg(config: System, chi: Sequence[int] | None = None, memory_limit: float = exact.MEMORY_LIMIT) -> dmrg.Plan:
    """What DMRG of the ground state in the sector of `config` would take; `dmrg.Job` does it.

    Raises:
        ConfigError: the configuration does not fit together, or DMRG does not know the Hamiltonian or the sector.
        TooLargeError: the estimates of time or memory exceed the limits.
    """
    hamiltonian, labels = system(config)
    fields, _ = matching.canonical(config)
    if fields["hamiltonian"] in ("heisenberg", "j1j2"):  # every multiplet has a member there
        ground_sz = fields["n_sites"] % 2 / 2
    else:
        ground_sz = 0.0 if "Sz=0" in matching.ground_sectors(fields, "full") else None
    return dmrg.plan(hamiltonian, labels, ground_sz, chi, memory_limit=memory_limit)


def is_checkable(config: System, plan: dmrg.Plan, memory_limit: float = exact.MEMORY_LIMIT) -> bool:
    """Whether exact diagonalisation takes little, as measured by the series that it would check."""
    hamiltonian, labels = system(config)
    if plan.n_sites > exact.MAX_SITES:
        return False
    least, most = CHECK_SECONDS
    try:
        cost = exact.estimate(hamiltonian, labels)
    except exact.TooLargeError:
        return False
    return cost.n_bytes <= memory_limit and cost.seconds <= min(most, max(least, sum(plan.seconds) / 2))


def conclude(
    config: System, points: Sequence[dmrg.Point], known: float | None = None
) -> tuple[Reference, Extrapolation]:
    """The reference that finished bond dimensions give: extrapolated where a fit is accepted, else the last energy.

    Args:
        known: the exact energy, where it is.

    Raises:
        ConfigError: no bond dimension is finished.
    """
    last = upper_bound(config, points, known)
    found = extrapolate(
        [p.chi for p in points],
        [p.energy for p in points],
        [p.truncation_error for p in points],
        [p.variance for p in points],
        [p.converged for p in points],
    )
    if found.uncertainty is not None and (doubt := _apart(points)):
        fits = tuple(dataclasses.replace(fit, reason=fit.reason or doubt) for fit in found.fits)
        found = Extrapolation(last.energy, None, fits, doubt, "")
    if found.uncertainty is None:
        return last, found
    fits = ", ".join(f"{fit.kind} {fit.a:.9f}" for fit in found.fits if fit.accepted)
    return dataclasses.replace(
        last,
        energy=found.energy,
        method="dmrg extrapolated",
        bound="estimate",
        uncertainty=found.uncertainty,
        uncertainty_kind="half width of [lowest accepted extrapolation, last variational energy]",
        detail=f"middle of [lowest fit, E(chi = {points[-1].chi})], {_chi(points)}: {fits}",
        variance=None,
        truncation_error=None,
    ), found


def upper_bound(config: System, points: Sequence[dmrg.Point], known: float | None = None) -> Reference:
    """The energy of the largest finished bond dimension: never below the ground state of the sector.

    How far above it lies is said only where something else than the state itself tells: the exact energy, or another
    start. A small variance or truncation error would be those of any eigenstate.

    Raises:
        ConfigError: no bond dimension is finished.
    """
    if not points:
        raise ConfigError("DMRG ended before the first bond dimension was finished")
    key, sector = matching.key(matching.canonical(config)[0]), matching.sector_label(config)
    last = points[-1]
    open_end = "" if last.converged else ", sweeps not converged"
    uncertainty, kind = _above(last, points, known, dmrg.tolerance(LATTICES.build(config.lattice)))
    starts = max(p.starts for p in points)
    compared = f", {starts} starts" if starts > 1 else ""
    return Reference(
        last.energy, "dmrg", "upper", uncertainty, kind, SOURCE, sector, 0, key,
        f"TeNPy, two-site, {_chi(points)}{compared}{open_end}", last.variance, last.chi_used, last.truncation_error,
    )  # fmt: skip


def _above(
    last: dmrg.Point, points: Sequence[dmrg.Point], known: float | None, tolerance: float
) -> tuple[float | None, str]:
    """How far above the ground state the last energy lies, and how that is known or why it is not."""
    scale = max(1.0, abs(last.energy))
    if known is not None:
        above = max(last.energy - known, 1e-14 * scale)
        stuck = last.truncation_error < EXACT and above > AGREE * scale
        return above, ABOVE_EXACT + (", DMRG ended in a local minimum" if stuck else "")
    if not last.converged:
        return None, "unknown: the sweeps had not converged"
    if doubt := _apart(points):
        return None, f"unknown: {doubt}"
    if last.truncation_error >= EXACT:
        return None, "unknown: the bond dimension is not saturated"
    if last.starts < 2:
        return None, "unknown: no other start was tried, and this one may have ended in a local minimum"
    return max(tolerance * scale, last.spread), f"one-sided: bond dimension saturated, {last.starts} starts agree"


def _apart(points: Sequence[dmrg.Point]) -> str:
    """Why the starts do not support one another; empty where truncation explains their distance, or none was tried."""
    last = points[-1]
    for p in points:
        explained = max(AGREE * max(1.0, abs(last.energy)), p.energy - last.energy)
        if p.starts > 1 and p.spread > explained:
            return f"{p.starts} starts ended up to {p.spread:.2g} apart at chi = {p.chi}: a local minimum is possible"
    return ""


def _chi(points: Sequence[dmrg.Point]) -> str:
    return f"chi = {', '.join(str(p.chi) for p in points)}"
