"""Which charts stand under which tab: a new plot is one line here."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Chart:
    """`metric` is a name that the live chart knows, or any scalar that runs report."""

    metric: str
    title: str
    options: tuple[tuple[str, Any], ...] = ()


TABS: dict[str, tuple[str, tuple[Chart, ...]]] = {
    "energy": ("Energy", (Chart("energy", "Energy"), Chart("error", "Distance to the reference"))),
    "variance": ("Variance", (Chart("variance", "Variance"), Chart("v_score", "V-score"))),
    "sampling": (
        "Sampling",
        (Chart("acceptance", "Acceptance"), Chart("r_hat", "Split R̂"), Chart("ess", "Effective samples / samples"),
         Chart("step_seconds", "Time per step")),
    ),
    "distribution": ("JSD", (Chart("jsd", "JSD to exact |ψ|²"),)),
    "observables": ("Observables", ()),
    "compare": ("Compare", ()),
}  # fmt: skip
X_AXES = {"Steps": "step", "Time": "time", "Samples": "samples"}
SCALES = {"E/N": "site", "E": "total"}
Y_SCALES = {"linear": "linear", "log": "log"}
