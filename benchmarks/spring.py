"""What the memory of spring costs: a step of it beside one of minSR on the cases of the peer, in turn on one core."""

from collections.abc import Iterable
from statistics import median
from typing import Any

from benchmarks.peer import CASES
from benchmarks.report import Row
from benchmarks.turns import ROOT, Worker, in_turn, ratio

MINSR = ("a", "c")  # the cases that minSR optimises
LARGEST = 1.1  # steps of minSR that one of spring may take


def measure(names: Iterable[str], rounds: int) -> tuple[list[Row], dict[str, Any]]:
    """One row a case, and every figure that was taken."""
    rows, raw = [], {}
    for name in (name for name in names if name in MINSR):
        case = CASES[name]
        workers = [Worker(ROOT / ".venv" / "bin" / "python", f"{case.module}_{rule}") for rule in ("spring", "ours")]
        for worker in workers:
            worker("step", 1)  # compiles
        figures = in_turn(workers, "step", case.steps, rounds)
        for worker in workers:
            worker.close()
        spring, minsr = (median(column) for column in zip(*figures, strict=True))
        slower = 1 / ratio(figures)
        cells = (f"case ({name}), CPU s a step", f"{spring:.4f}", f"{minsr:.4f}", f"{slower:.2f}", f"<= {LARGEST:g}")
        rows.append(Row(cells, slower <= LARGEST))
        raw[name] = {"cpu_seconds": figures, "slower": slower}
    return rows, raw
