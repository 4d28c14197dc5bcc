"""Extrapolation of DMRG energies to infinite bond dimension, or the reason why it is refused."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import least_squares

EXACT = 1e-12  # truncation error below which the last state is exact to rounding
MAX_STEPS = 2.0  # an extrapolation further than this many last steps E(χ_k-1) - E(χ_k) is not believed
_LOG_D = (np.log(0.05), np.log(30.0))
_LOG_C = (-8.0, 9.0)  # of c + 0.9 χ_min
_STARTS = tuple(itertools.product((0.1, 1.0, 10.0, 100.0, 1000.0), (0.3, 1.0, 2.0, 4.0, 8.0)))


@dataclass(frozen=True)
class Fit:
    """One fit: E = a + b (χ + c)^d, or E = a + b x with x the variance or the truncation error.

    rms: root mean square of the residuals; uncertainty: E_last - a; both, and a, in the unit of the energies.
    reason: why it is refused, empty where it is accepted.
    """

    kind: Literal["power", "variance", "truncation"]
    reason: str
    a: float | None = None
    b: float | None = None
    c: float | None = None
    d: float | None = None
    rms: float | None = None
    uncertainty: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether `a` is believed."""
        return not self.reason


@dataclass(frozen=True)
class Extrapolation:
    """The middle of [lowest accepted fit, E_last] and half its width; without an accepted fit E_last and None.

    uncertainty: the half width, or half the spread of the accepted fits where that is larger.
    reason: why nothing is extrapolated. note: what to keep in mind about an accepted fit.
    """

    energy: float
    uncertainty: float | None
    fits: tuple[Fit, ...]
    reason: str
    note: str


def extrapolate(
    chi: Sequence[int],
    energy: Sequence[float],
    truncation: Sequence[float],
    variance: Sequence[float | None],
    converged: Sequence[bool] | None = None,
) -> Extrapolation:
    """Fit one series, in rising order of `chi`.

    The interval [lowest accepted fit, E_last] held the exact energy in all of 12 series where that is known; it is no
    rigorous bound, and four parameters through four points have no error bar of their own.
    """
    last = energy[-1]
    reason = _unfit(energy, truncation)
    if reason:
        return Extrapolation(last, None, tuple(Fit(kind, reason) for kind in ("power",)), reason, "")
    fits = (
        power(chi, energy),
        linear("variance", variance, energy),
        linear("truncation", truncation, energy),
    )
    values = [f.a for f in fits if f.accepted and f.a is not None]
    if not values:
        return Extrapolation(last, None, fits, fits[0].reason, "")
    open_ends = [str(x) for x, done in zip(chi, converged or (), strict=False) if not done]
    note = f"not converged in sweeps at chi = {', '.join(open_ends)}" if open_ends else ""
    width = last - min(values)  # never less than the spread of the accepted fits, all of which lie below E_last
    return Extrapolation(last - width / 2, width / 2, fits, "", note)


def _unfit(energy: Sequence[float], truncation: Sequence[float]) -> str:
    if truncation[-1] < EXACT:
        return f"truncation error {truncation[-1]:.1e} below {EXACT:g}: the last energy is the answer"
    if len(energy) < 3:
        return f"{len(energy)} bond dimension(s): too few for any fit"
    if not np.all(np.diff(energy) < 0):
        return "the energies do not fall strictly with chi"
    return ""


def power(chi: Sequence[int], energy: Sequence[float]) -> Fit:
    """Least squares of E = a + b (χ + c)^d with d in [-30, -0.05], c > -0.9 χ_min, b > 0, a <= E_last.

    a and b are eliminated linearly; the best of 25 starts in (c, d).
    """
    if len(energy) < 4:
        return Fit("power", f"{len(energy)} bond dimensions: a + b (chi + c)^d needs 4")
    x, e = np.asarray(chi, float), np.asarray(energy, float)
    span = e[0] - e[-1]
    y = (e - e[-1]) / span

    def solve(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
        c, d = float(np.exp(p[0])) - 0.9 * x[0], -float(np.exp(p[1]))
        design = np.stack([np.ones_like(x), ((x + c) / (x[0] + c)) ** d], axis=1)
        solution = np.linalg.lstsq(design, y, rcond=None)[0]
        return design @ solution - y, solution, c, d

    best: tuple[float, np.ndarray] | None = None
    for c0, d0 in _STARTS:
        found = least_squares(
            lambda p: solve(p)[0], [np.log(c0), np.log(d0)], bounds=tuple(zip(_LOG_C, _LOG_D, strict=True)),
            xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=500,
        )  # fmt: skip
        solution = solve(found.x)[1]
        if solution[1] > 0 and solution[0] <= 1e-12 and (best is None or found.cost < best[0]):
            best = float(found.cost), found.x
    if best is None:
        return Fit("power", "no fit with b > 0 lies below the last energy")
    residual, solution, c, d = solve(best[1])
    at_bound = any(
        min(abs(value - low), abs(value - high)) < 1e-3
        for value, (low, high) in zip(best[1], (_LOG_C, _LOG_D), strict=True)
    )
    a, b = float(e[-1] + span * solution[0]), float(span * solution[1] / (x[0] + c) ** d)
    reason = "a parameter of the fit is at its bound" if at_bound else _too_far(a, e)
    return Fit("power", reason, a, b, c, d, float(span * np.sqrt(np.mean(residual**2))), float(e[-1] - a))


def linear(kind: Literal["variance", "truncation"], x: Sequence[float | None], energy: Sequence[float]) -> Fit:
    """Least squares of E = a + b x with weights 1/x."""
    name = "variance" if kind == "variance" else "truncation error"
    known = [v for v in x if v is not None and v > 0]
    if len(known) < len(x):
        return Fit(kind, f"the {name} is not known at every chi")
    abscissa, e = np.asarray(known), np.asarray(energy, float)
    if not np.all(abscissa[:-1] >= 2 * abscissa[1:]):
        return Fit(kind, f"the {name} did not fall by 2 at each step")
    root = np.sqrt(1 / abscissa)
    design = np.stack([root, abscissa * root], axis=1)
    shifted = np.linalg.lstsq(design, (e - e[-1]) * root, rcond=None)[0]
    a, b = float(e[-1] + shifted[0]), float(shifted[1])
    rms = float(np.sqrt(np.mean((a + b * abscissa - e) ** 2)))
    return Fit(kind, _too_far(a, e), a, b, None, None, rms, float(e[-1] - a))


def _too_far(a: float, energy: np.ndarray) -> str:
    distance, step = energy[-1] - a, energy[-2] - energy[-1]
    if distance < 0:
        return "the fit lies above the last energy"
    if distance > MAX_STEPS * step:
        return f"the fit lies {distance:.2g} below the last energy, more than twice the last step of {step:.2g}"
    return ""
