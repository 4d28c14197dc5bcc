"""When a run cannot go on, and what its optimizer advises."""

from collections.abc import Iterator, Mapping

import numpy as np

from nqs_core import health
from nqs_core.errors import DivergedError
from nqs_core.events import WarningEvent
from nqs_core.problem import Problem


class Guard:
    """Ends a run whose energy is no number, or whose energies no state of the system has, several steps in a row.

    And one whose batches or updates are refused many times in a row.
    """

    def __init__(self, problem: Problem) -> None:
        self._spectrum = problem.spectrum
        self._remedy, self._sampler_remedy = problem.optimizer.remedy, problem.sampler.remedy
        self._n_outside = 0
        self._warned = False
        self._n_refused = 0
        self._told = False

    def look(self, scalars: Mapping[str, float], step: int) -> Iterator[WarningEvent]:
        """Warn of the first such energy, and say why before giving up.

        Raises:
            DivergedError: the run cannot go on.
        """
        yield from self._refused(scalars, step)
        if "energy" not in scalars:
            return
        why = health.impossible(scalars["energy"], scalars.get("energy_error"), self._spectrum)
        self._n_outside = 0 if why is None else self._n_outside + 1
        if why is None:
            return
        if not np.isfinite(scalars["energy"]):
            words = f"the energy became {scalars['energy']} at step {step}; {self._remedy}"
        elif self._n_outside >= health.OUTSIDE_STEPS:
            words = f"{why.text}, at step {step} and the {self._n_outside - 1} before it; {self._remedy}"
        else:
            if not self._warned:
                yield WarningEvent(step=step, code=why.code, message=f"{why.text}, at step {step}")
            self._warned = True
            return
        yield WarningEvent(step=step, code=health.DIVERGED, message=words)
        raise DivergedError(words)

    def _refused(self, scalars: Mapping[str, float], step: int) -> Iterator[WarningEvent]:
        self._n_refused = self._n_refused + 1 if scalars.get("refused") else 0
        if self._n_refused == 0:
            return
        who, remedy = "optimizer refused its update", self._remedy
        if "energy" not in scalars:
            who, remedy = "sampler refused its batch", self._sampler_remedy
        if not self._told:
            self._told = True
            text = f"the {who} at step {step}: the parameters stay as they were"
            yield WarningEvent(step=step, code=health.REFUSED, message=text)
        if self._n_refused >= health.REFUSED_STEPS:
            words = f"the {who} at step {step} and the {self._n_refused - 1} before it; {remedy}"
            yield WarningEvent(step=step, code=health.DIVERGED, message=words)
            raise DivergedError(words)
