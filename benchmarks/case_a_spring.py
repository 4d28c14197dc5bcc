"""Case (a) with spring instead of minSR."""

from benchmarks import case_a_ours, ours
from benchmarks.turns import Task

SPRING = {"name": "spring", "params": case_a_ours.CONFIG["optimizer"]["params"]}


def tasks() -> tuple[dict[str, str], dict[str, Task]]:
    """The version, and `step`, `sample`, `energies`."""
    return ours.tasks({**case_a_ours.CONFIG, "optimizer": SPRING})
