"""What a reference energy is, and what it allows to say about a run."""

import math
from dataclasses import dataclass
from typing import Literal

Bound = Literal["exact", "estimate", "upper"]
ROUNDING = 2.0**-23  # relative; energies are sums in single precision


@dataclass(frozen=True)
class Reference:
    """One energy level of the system of a run; total energy, in the run's own units.

    bound: "exact"; "estimate" (may lie on either side of the truth); "upper" (never below it).
    level: counted from 0 with multiplicity within `sector`; key: of the canonical system (`matching.key`).
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


@dataclass(frozen=True)
class Verdict:
    """kind: "flag" (impossibly low), "error" (see the relative error), "above" or "beaten" (an upper bound)."""

    kind: Literal["flag", "error", "above", "beaten"]
    relative_error: float | None
    text: str


def relative_error(energy: float | None, reference: Reference | None) -> float | None:
    """(E - E₀) / |E₀|, signed; None without a reference, for an upper bound, and where E₀ = 0 or E is not finite."""
    if energy is None or reference is None or reference.bound == "upper":
        return None
    if reference.energy == 0 or not math.isfinite(energy):
        return None
    return (energy - reference.energy) / abs(reference.energy)


def verdict(energy: float, error: float, reference: Reference) -> Verdict:
    """What a final energy with its standard error means against `reference`.

    An energy below the reference by more than 3 standard errors (joined with the uncertainty of an estimate and
    with rounding) is impossible for an exact reference, doubtful for an estimate, and an improvement on an upper bound.
    """
    difference = energy - reference.energy
    relative = relative_error(energy, reference)
    margin = 3 * math.hypot(error, reference.uncertainty or 0.0, ROUNDING * reference.energy)
    if reference.bound == "upper":
        if difference < -margin:
            return Verdict("beaten", None, f"below the best known upper bound by {-difference:.3g}: an improvement")
        if difference < 0:
            return Verdict("above", None, "at the best known upper bound, within 3 σ")
        return Verdict("above", None, f"above the best known upper bound by {difference:.3g}")
    if difference < -margin:
        return Verdict(
            "flag",
            relative,
            f"below the {reference.bound} reference by {-difference:.3g}, more than 3 standard errors: the chains are "
            "not mixed, the error bar is too small, or the sector or the system differs",
        )
    shown = "undefined (E₀ = 0)" if relative is None else f"{relative:.2e}"
    return Verdict("error", relative, f"relative error {shown} against the {reference.bound} reference")
