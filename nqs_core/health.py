"""A judgement of a run: can its energy be true, and may one trust it? Every limit stands here. Never imports JAX."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from nqs_core.events import real

RECENT = 16  # steps or batches whose medians stand for a run that is not done: one of them alone flickers
OUTSIDE_ERRORS = 5.0  # standard errors beyond the bounds of the spectrum that sampling alone does not explain
REFUSED_STEPS = 25  # batches or updates in a row that are refused, after which a run ends
OUTSIDE_STEPS = 5  # steps in a row with such an energy, after which a run ends
BELOW_ERRORS = 3.0  # standard errors below an exact energy that sampling alone does not explain
MIDDLE_ERRORS = 5.0  # standard errors above the middle of the spectrum
MAX_R_HAT = 1.1
MIN_EFFECTIVE = 100.0  # effective samples
INDEPENDENT = 0.5  # effective part of a training step's samples from which on their number is the user's choice
MAX_ABOVE = 0.1  # of |E₀|, above a reference
AGREES = 1e-3  # of |E₀|
MIN_DESCENT = 0.01  # of the way from the first energy to the lower bound of the spectrum
DESCENT_ERRORS = 3.0
PATIENCE = 0.5  # part of the steps after which a run that trains should have come down
ROUNDING = 2.0**-23  # relative; energies are sums in single precision

DIVERGED = "diverged"  # code of the warning with which a run gives up
REFUSED = "refused"  # code of the warning that a batch or an update did not count

Level = Literal["good", "doubtful", "impossible"]
Spectrum = tuple[float, float]


class Reason(NamedTuple):
    """`code` for programs, `text` for people."""

    code: str
    text: str


@dataclass(frozen=True)
class Health:
    """impossible: the energy cannot be one of this system; doubtful: something says that it may be wrong."""

    level: Level
    reasons: tuple[Reason, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As the API shows it."""
        return {"level": self.level, "reasons": [reason._asdict() for reason in self.reasons]}


@dataclass(frozen=True)
class Facts:
    """What is known of a run; what is not known is None, and is not held against it. Energies are totals.

    first, first_error: of the first training step, None where the run began with trained parameters.
    spectrum: bounds of every energy; restricted: to a sector, whose middle may lie anywhere between them.
    effective: number of independent samples that are worth as much; distinct: configurations in the last batches.
    reference_bound: "exact", "estimate" or "upper". progress: part of the training that is done.
    diverged: why the run gave up.
    """

    energy: float | None = None
    error: float | None = None
    first: float | None = None
    first_error: float | None = None
    spectrum: Spectrum | None = None
    restricted: bool = False
    acceptance: float | None = None
    r_hat: float | None = None
    effective: float | None = None
    distinct: float | None = None
    reference: float | None = None
    reference_bound: str = ""
    uncertainty: float | None = None
    progress: float = 1.0
    diverged: str = ""


@dataclass(frozen=True)
class Record:
    """What a run has written down; each mapping has the names of its stream or result.

    first: scalars of the first training step; recent: of the newest steps or batches, rising; latest: the same where no
    step is left.
    reference: {energy, bound, uncertainty}. warm: the run began with trained parameters.
    """

    result: Mapping[str, Any] | None = None
    first: Mapping[str, Any] | None = None
    recent: Sequence[Mapping[str, Any]] = ()
    latest: Mapping[str, Any] = field(default_factory=dict)
    reference: Mapping[str, Any] | None = None
    spectrum: Spectrum | None = None
    restricted: bool = False
    warm: bool = False
    progress: float = 1.0
    diverged: str = ""

    def facts(self) -> Facts:
        """The final measurement where there is one, else the newest steps."""
        result, reference = self.result or {}, self.reference or {}
        newest = self.recent[-1] if self.recent else self.latest
        final = real(result.get("energy")) is not None
        source = result if final else newest
        first = {} if self.warm else self.first or {}
        return Facts(
            energy=real(source.get("energy")),
            error=real(source.get("energy_error")),
            first=real(first.get("energy")),
            first_error=real(first.get("energy_error")),
            spectrum=self.spectrum,
            restricted=self.restricted,
            acceptance=real(result.get("acceptance")) if final else self._median("acceptance"),
            r_hat=agreement(result) if final else agreement(self._medians("r_hat", "r_hat_nested")),
            effective=_product(result, "ess", "n_samples_final") if final else self._effective(),
            distinct=max(_known(self.recent, "distinct"), default=None),
            reference=real(reference.get("energy")),
            reference_bound=str(reference.get("bound") or ""),
            uncertainty=real(reference.get("uncertainty")),
            progress=1.0 if final else self.progress,
            diverged=self.diverged,
        )

    def _medians(self, *names: str) -> dict[str, float | None]:
        return {name: self._median(name) for name in names}

    def _median(self, name: str) -> float | None:
        values = _known(self.recent, name)
        return statistics.median(values) if values else None

    def _effective(self) -> float | None:
        """Of a step; None where its samples are as good as independent, however few a step takes."""
        values = [value for row in self.recent if (value := _product(row, "ess", "n_samples")) is not None]
        if not values or (self._median("ess") or 0.0) > INDEPENDENT:
            return None
        return statistics.median(values)


def agreement(scalars: Mapping[str, Any]) -> float | None:
    """The R-hat that judges: the smaller of the usual and the nested one, where both are known.

    Many short chains that mix exceed any limit of the usual one, R̂² - 1 ≈ 2τ / n; chains that are stuck exceed both.
    """
    values = _known([scalars], "r_hat") + _known([scalars], "r_hat_nested")
    return min(values, default=None)


def _known(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    values = (real(row.get(name)) for row in rows)
    return [value for value in values if value is not None and not math.isnan(value)]


def _product(row: Mapping[str, Any], *names: str) -> float | None:
    values = [real(row.get(name)) for name in names]
    known = [value for value in values if value is not None and not math.isnan(value)]
    return math.prod(known) if len(known) == len(names) else None


def judge(facts: Facts) -> Health | None:
    """The level of a run with every reason for it, the gravest first; None where there is no energy yet."""
    if facts.energy is None and not facts.diverged:
        return None
    fatal = [Reason(DIVERGED, facts.diverged)] if facts.diverged else []
    if facts.energy is not None and (why := impossible(facts.energy, facts.error, facts.spectrum)):
        fatal.append(why)
    if fatal or facts.energy is None:
        return Health("impossible", (*fatal, *_frozen(facts), *_mixing(facts)))
    stood = () if _agrees(facts, facts.energy) else (*_frozen(facts), *_no_descent(facts, facts.energy))
    doubts = (*stood, *_mixing(facts), *_against_reference(facts, facts.energy))
    return Health("doubtful" if doubts else "good", doubts)


def impossible(energy: float, error: float | None, spectrum: Spectrum | None) -> Reason | None:
    """Why no state of the system has this energy; None where one may.

    |⟨H⟩| ≤ Σ |c| for H = Σ c P with Pauli strings P. For the same reason no state spreads by more than half the width
    of the spectrum, so that a larger error excuses no more than that.
    """
    if not math.isfinite(energy):
        return Reason("not_finite", f"the energy is {_shown(energy)}")
    if spectrum is None:
        return None
    low, high = spectrum
    spread = min(_finite(error), (high - low) / 2)
    margin = OUTSIDE_ERRORS * spread + 8 * ROUNDING * max(abs(low), abs(high))
    if low - margin <= energy <= high + margin:
        return None
    bounds = f"from {low:.6g} to {high:.6g}"
    return Reason("outside", f"no state has the energy {energy:.6g}: the spectrum lies within the bounds {bounds}")


def _frozen(facts: Facts) -> Iterator[Reason]:
    if facts.acceptance == 0:
        yield Reason("no_moves", "no proposal was accepted: the chains stand still, and error bars mean nothing")
    if facts.distinct == 1:
        yield Reason("one_configuration", "every sample is the same configuration: error bars mean nothing")


def _no_descent(facts: Facts, energy: float) -> Iterator[Reason]:
    if facts.progress < PATIENCE:
        return
    if facts.first is not None and not _descended(facts, facts.first - energy):
        words = f"training has hardly lowered the energy: from {facts.first:.6g} at the first step to {energy:.6g}"
        yield Reason("no_descent", words)
    if facts.spectrum is not None and not facts.restricted:
        middle = sum(facts.spectrum) / 2
        if energy > middle + max(MIDDLE_ERRORS * _finite(facts.error), ROUNDING * facts.spectrum[1]):
            yield Reason("high", f"the energy {energy:.6g} is above the mean of all levels, {middle:.6g}")


def _mixing(facts: Facts) -> Iterator[Reason]:
    if facts.r_hat is not None and facts.r_hat > MAX_R_HAT:
        much = "infinite" if math.isinf(facts.r_hat) else f"{facts.r_hat:.3g}, above {MAX_R_HAT:g}"
        yield Reason("r_hat", f"the chains disagree: R-hat is {much}")
    if facts.effective is not None and facts.effective < MIN_EFFECTIVE:
        yield Reason("ess", f"only about {facts.effective:.2g} effective samples, fewer than {MIN_EFFECTIVE:g}")


def _descended(facts: Facts, drop: float) -> bool:
    noise = DESCENT_ERRORS * math.hypot(_finite(facts.error), _finite(facts.first_error))
    way = MIN_DESCENT * (facts.first - facts.spectrum[0]) if facts.spectrum and facts.first is not None else 0.0
    return drop > max(noise, way)


def _agrees(facts: Facts, energy: float) -> bool:
    """Whether a reference says that the energy is right; an error bar of more than 1 % agrees with anything."""
    if facts.reference is None or facts.reference_bound not in ("exact", "estimate"):
        return False
    width = facts.spectrum[1] if facts.spectrum else 1.0
    scale = abs(facts.reference) or width
    return abs(energy - facts.reference) <= max(AGREES * scale, min(_finite(facts.error), 10 * AGREES * scale))


def _against_reference(facts: Facts, energy: float) -> Iterator[Reason]:
    known = facts.reference
    if known is None:
        return
    name = {"exact": "the exact reference", "estimate": "the estimate"}.get(facts.reference_bound, "an upper bound")
    above = energy - known
    if facts.progress >= PATIENCE and known and above > MAX_ABOVE * abs(known):
        yield Reason("above_reference", f"the energy is {100 * above / abs(known):.3g} % above {name} {known:.6g}")
    error = facts.error if facts.error is not None else math.inf
    if facts.reference_bound != "upper" and below(above, error, facts.uncertainty or 0.0, known):
        yield Reason("below_reference", f"the energy is {-above:.3g} below {name}, by more than sampling explains")


def below(difference: float, error: float, uncertainty: float, reference: float) -> bool:
    """Whether an energy lies below `reference` by more than 3 standard errors, those of both and rounding together."""
    return difference < -BELOW_ERRORS * math.hypot(error, uncertainty, ROUNDING * reference)


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else 0.0


def _shown(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{'minus ' if value < 0 else ''}infinite"
