"""What a reference energy is, and what it allows to say about a run."""

import math
from dataclasses import dataclass
from typing import Literal

from nqs_core.health import BELOW_ERRORS, ROUNDING

Bound = Literal["exact", "estimate", "upper"]
ABOVE_EXACT = "above the exact energy"  # how an upper bound's uncertainty begins where the truth is known


@dataclass(frozen=True)
class Reference:
    """One energy level of the system of a run; total energy, in the run's own units.

    bound: "exact"; "estimate" (may lie on either side of the truth); "upper" (never below it).
    level: counted from 0 with multiplicity within `sector`; key: of the canonical system (`matching.key`).
    variance: <H²> - <H>², in squared units of the energy; bond_dimension: the largest one used by DMRG;
    truncation_error: the largest discarded weight of its last sweep; detail: algorithm and settings.
    """

    energy: float
    method: str
    bound: Bound
    uncertainty: float | None
    uncertainty_kind: str
    source: str
    sector: str
    level: int
    key: str
    detail: str = ""
    variance: float | None = None
    bond_dimension: int | None = None
    truncation_error: float | None = None


@dataclass(frozen=True)
class Verdict:
    """kind: "flag" (impossibly low), "error" (see the relative error), "above" or "beaten" (an upper bound)."""

    kind: Literal["flag", "error", "above", "beaten"]
    relative_error: float | None
    text: str


def sentence(reference: Reference | None) -> str:
    """How sharp a reference is, in words; energies are totals in the run's own units."""
    if reference is None:
        return "no reference"
    kind, u = reference.uncertainty_kind, reference.uncertainty
    if reference.bound == "exact":
        return _exact(reference)
    if reference.bound == "upper":
        return _upper(kind, u)
    method = {"qmc": "QMC"}.get(reference.method, reference.method.replace("dmrg", "DMRG").replace(" extra", ", extra"))
    if u is None:
        return f"{reference.energy:.10g} ({method}, no error bar is known)"
    about = "one standard error" if kind == "standard error" else "not a rigorous bound"
    mark = "; " if ", " in method else ", "
    return f"{with_error(reference.energy, u)} ({method}{mark}{about})"


def _upper(kind: str, u: float | None) -> str:
    if u is not None and kind.startswith(ABOVE_EXACT):
        return f"upper bound, {u:.1g} {kind}"
    if u is not None and kind == "standard error":
        return f"upper bound with a standard error of {u:.2g}, distance to the truth unknown"
    if u is not None and kind.startswith("one-sided"):
        why = kind.removeprefix("one-sided").strip(" ,:()")
        return f"upper bound, about {u:.1g} above the truth ({why}; not rigorous)"
    why = kind.removeprefix("unknown: ")
    return "upper bound, distance to the truth unknown" + (f": {why}" if why != kind else "")


def _exact(reference: Reference) -> str:
    where = "full space" if reference.sector == "full" else reference.sector.replace("=", " = ").replace(",", ", ")
    how = {
        "analytic": "closed form",
        "exact diagonalisation": f"Lanczos, {where}",
        "exact minimum": f"minimum over all configurations, {where}",
    }.get(reference.method, reference.method)
    if not reference.uncertainty:
        return f"exact ({how})"
    joined = ", residual" if reference.uncertainty_kind == "residual" else " to"
    return f"exact{joined} {reference.uncertainty:.0e} ({how})"


def with_error(value: float | None, error: float | None) -> str:
    """Such as -20.4046 ± 0.0012, with two digits of the error; no error where it is missing or 0."""
    if value is None or not error:
        return "-" if value is None else f"{value:.10g}"
    if not math.isfinite(error):
        return f"{value:.10g} ± {'undefined' if math.isnan(error) else '∞'}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def relative_error(energy: float | None, reference: Reference | None) -> float | None:
    """(E - E₀) / |E₀|, signed; None without a reference, for an upper bound, and where E₀ = 0 or E is not finite."""
    difference = absolute_error(energy, reference)
    if difference is None or reference is None or is_zero(reference):
        return None
    return difference / abs(reference.energy)


def absolute_error(energy: float | None, reference: Reference | None) -> float | None:
    """E - E₀; None without a reference, for an upper bound, and where E is not finite."""
    if energy is None or reference is None or reference.bound == "upper" or not math.isfinite(energy):
        return None
    return energy - reference.energy


def is_zero(reference: Reference) -> bool:
    """Whether E₀ cannot be told from 0, so that no error is relative to it."""
    return abs(reference.energy) <= (reference.uncertainty or 0.0)


def verdict(energy: float, error: float, reference: Reference) -> Verdict:
    """What a final energy with its standard error means against `reference`.

    An energy below the reference by more than 3 standard errors (joined with the uncertainty of an estimate and
    with rounding) is impossible for an exact reference, doubtful for an estimate, and an improvement on an upper bound.
    """
    difference = energy - reference.energy
    # How far an upper bound may lie above the truth does not blur the bound itself.
    one_sided = reference.uncertainty_kind.startswith(("one-sided", ABOVE_EXACT))
    blur = 0.0 if one_sided else reference.uncertainty or 0.0
    margin = BELOW_ERRORS * math.hypot(error, blur, ROUNDING * reference.energy)
    if reference.bound == "upper":
        if difference < -margin:
            return Verdict("beaten", None, f"below the best known upper bound by {-difference:.3g}: an improvement")
        if difference < 0:
            return Verdict("above", None, "at the best known upper bound, within 3 standard errors")
        return Verdict("above", None, f"above the best known upper bound by {difference:.3g}")
    relative = relative_error(energy, reference)
    if difference < -margin:
        return Verdict("flag", relative, _flag(-difference, reference))
    if relative is None and math.isfinite(energy):
        blurred = f" ± {math.hypot(blur, error):.1e}" if reference.bound == "estimate" and math.isfinite(error) else ""
        named = f"{_named(reference)}, E₀ = 0 (an error relative to it is undefined)"
        return Verdict("error", None, f"absolute error {difference:.2e}{blurred} against {named}")
    shown = "undefined" if relative is None else f"{relative:.2e}"
    if reference.bound == "estimate" and relative is not None and blur:
        both = math.hypot(blur, error if math.isfinite(error) else 0.0) / abs(reference.energy)
        shown += f" ± {both:.1e}"
    return Verdict("error", relative, f"relative error {shown} against {_named(reference)}")


def _named(reference: Reference) -> str:
    if reference.bound == "exact":
        return "the exact reference"
    return f"the estimate ({reference.method})" if reference.method else "the estimate"


def _flag(below: float, reference: Reference) -> str:
    shown = f"below {_named(reference)} by {below:.3g}, more than 3"
    why = "the chains are not mixed, the sampling is biased, the error bar is too small, or the sector or the system"
    if reference.bound == "exact":
        return f"{shown} standard errors: {why} differs"
    return f"{shown} joint standard errors: {why} differs, or the estimate is too high"
