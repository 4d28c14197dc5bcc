"""Ours against NetKet on case (a), in turn on one core: CPU seconds a step, proposals and local energies a second."""

from statistics import median
from typing import Any

from benchmarks.case_a import EXACT, N_SAMPLES, N_SITES
from benchmarks.report import Row
from benchmarks.turns import ROOT, Worker, in_turn, ratio

STEPS = 10  # in one piece of work; NetKet's fixed cost of a `run` call is spread over them
# What is measured, events in one repetition, smallest ratio that is accepted.
TASKS = {
    "step": ("CPU s a step", None, 6.0),
    "sample": ("proposals/s", N_SAMPLES * N_SITES, 1.5),
    "energies": ("local energies/s", N_SAMPLES, 1.5),
}


def measure(rounds: int) -> tuple[list[Row], dict[str, Any]]:
    """One row a task, and every figure that was taken."""
    workers = [
        Worker(ROOT / ".venv" / "bin" / "python", "benchmarks.case_a_ours"),
        Worker(ROOT / ".venv-bench" / "bin" / "python", "benchmarks.case_a_netket"),
    ]
    rows, raw = [], {}
    compile_cpu = [worker("step", 1)["cpu"] for worker in workers]
    for task, (unit, events, target) in TASKS.items():
        figures = in_turn(workers, task, STEPS, rounds)
        ours, theirs = (median(column) for column in zip(*figures, strict=True))
        factor = ratio(figures)
        shown = (
            (f"{ours:.4f}", f"{theirs:.4f}") if events is None else (f"{events / ours:.3g}", f"{events / theirs:.3g}")
        )
        rows.append(Row((unit, *shown, f"{factor:.2f}", f">= {target:g}"), holds=factor >= target))
        raw[task] = {"cpu_seconds": figures, "ratio": factor}
    energies = [worker("step", 1)["value"] for worker in workers]
    for worker in workers:
        worker.close()
    rows.append(Row(("first step, CPU s", *(f"{cpu:.2f}" for cpu in compile_cpu), "", "")))
    steps = 2 + STEPS * (rounds + 1)
    relative = [f"{(energy - EXACT) / abs(EXACT):.1e}" for energy in energies]
    rows.append(Row((f"relative error after {steps} steps", *relative, "", "")))
    programs = [worker.facts["program"] for worker in workers]
    return rows, {"programs": programs, "first_step_cpu": compile_cpu, "energies": energies, **raw}
