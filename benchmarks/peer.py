"""Ours against NetKet, in turn on one core: CPU seconds a step, proposals and local energies a second."""

from statistics import median
from typing import Any, NamedTuple

from benchmarks import case_a, case_c, case_d
from benchmarks.report import Row
from benchmarks.turns import ROOT, Worker, in_turn, ratio


class Case(NamedTuple):
    """What both programs do, and how many times as fast ours has to be."""

    title: str
    module: str  # with _ours and _netket
    n_samples: int
    n_sites: int
    exact: float  # total energy
    steps: int  # in one piece of work; NetKet's fixed cost of a `run` call is spread over them
    wanted: dict[str, float | None]


CASES = {
    "a": Case(
        "Case (a): TFIM chain 64, RBM alpha 1, 1024 samples, minSR; each pinned to one core, in turn",
        "benchmarks.case_a", case_a.N_SAMPLES, case_a.N_SITES, case_a.EXACT, 10,
        {"step": 6.0, "sample": 1.5, "energies": 1.5},
    ),
    "c": Case(
        "Case (c): J1-J2 6x6 at 0.5, ResCNN 2 x 8 channels, 512 samples, minSR; each pinned to one core, in turn",
        "benchmarks.case_c", case_c.N_SAMPLES, case_c.N_SITES, case_c.EXACT, 2,
        {"step": 1 / 0.6, "sample": None, "energies": None},
    ),
    "d": Case(
        "Case (d): TFIM chain 32, dense autoregressive network, 512 samples, Adam; each pinned to one core, in turn",
        "benchmarks.case_d", case_d.N_SAMPLES, case_d.N_SITES, case_d.EXACT, 4,
        {"step": 2.0, "sample": None, "energies": None},
    ),
}  # fmt: skip


def measure(case: Case, rounds: int) -> tuple[list[Row], dict[str, Any]]:
    """One row a task, and every figure that was taken."""
    workers = [
        Worker(ROOT / ".venv" / "bin" / "python", f"{case.module}_ours"),
        Worker(ROOT / ".venv-bench" / "bin" / "python", f"{case.module}_netket"),
    ]
    # Unit, and events in one repetition.
    tasks = {
        "step": ("CPU s a step", None),
        "sample": ("proposals/s", case.n_samples * case.n_sites),
        "energies": ("local energies/s", case.n_samples),
    }
    rows, raw = [], {}
    compile_cpu = [worker("step", 1)["cpu"] for worker in workers]
    for task, (unit, events) in tasks.items():
        figures = in_turn(workers, task, case.steps, rounds)
        ours, theirs = (median(column) for column in zip(*figures, strict=True))
        factor, target = ratio(figures), case.wanted[task]
        shown = (
            (f"{ours:.4f}", f"{theirs:.4f}") if events is None else (f"{events / ours:.3g}", f"{events / theirs:.3g}")
        )
        wanted, holds = (f">= {target:.2f}", factor >= target) if target else ("", None)
        rows.append(Row((unit, *shown, f"{factor:.2f}", wanted), holds))
        raw[task] = {"cpu_seconds": figures, "ratio": factor}
    energies = [worker("step", 1)["value"] for worker in workers]
    for worker in workers:
        worker.close()
    rows.append(Row(("first step, CPU s", *(f"{cpu:.2f}" for cpu in compile_cpu), "", "")))
    steps = 2 + case.steps * (rounds + 1)
    relative = [f"{(energy - case.exact) / abs(case.exact):.1e}" for energy in energies]
    rows.append(Row((f"relative error after {steps} steps", *relative, "", "")))
    programs = [worker.facts["program"] for worker in workers]
    return rows, {"programs": programs, "first_step_cpu": compile_cpu, "energies": energies, **raw}
