"""Two programs measured in turn: each is a process pinned to one core that does a piece of work when told to.

Standard library only, since the peer lives in an environment of its own. Wall times on a shared machine mean little;
what counts is CPU seconds (user + system, all threads) of the process, and ratios between neighbours in time.

    python -m benchmarks.turns MODULE       # MODULE.tasks() gives facts and the tasks by name
"""

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
Task = Callable[[int], float | None]  # does COUNT repetitions and returns a figure when all of it is computed


def serve(module: str) -> None:
    """Announce what there is, then answer each line "TASK COUNT" with the CPU seconds that COUNT repetitions took."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before JAX is imported, which sizes its threads once
    out, sys.stdout = sys.stdout, sys.stderr  # libraries talk on standard output
    facts, tasks = importlib.import_module(module).tasks()
    out.write(json.dumps(facts) + "\n")
    out.flush()
    for line in sys.stdin:
        name, count = line.split()
        start = time.process_time()
        value = tasks[name](int(count))
        out.write(json.dumps({"cpu": time.process_time() - start, "value": value}) + "\n")
        out.flush()


class Worker:
    """The other end of `serve`."""

    def __init__(self, python: Path, module: str) -> None:
        command = [str(python), "-m", "benchmarks.turns", module]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.facts = self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(f"{self._process.args} ended with status {self._process.wait()}")
        return json.loads(line)

    def __call__(self, task: str, count: int) -> dict[str, Any]:
        """CPU seconds of `count` repetitions, and the figure that the task returned."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{task} {count}\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process by closing its standard input."""
        self._process.communicate()


def in_turn(workers: list[Worker], task: str, count: int, rounds: int) -> list[list[float]]:
    """For each round the CPU seconds of one repetition, one figure a worker, after a round that is thrown away."""
    figures = []
    for number in range(rounds + 1):
        # Every other round runs backwards, so that a drift of the machine favours nobody.
        order = workers if number % 2 == 0 else workers[::-1]
        cpu = {id(worker): worker(task, count)["cpu"] / count for worker in order}
        figures.append([cpu[id(worker)] for worker in workers])
    return figures[1:]


def ratio(figures: list[list[float]]) -> float:
    """Median over the rounds of the second worker's seconds over the first one's."""
    return median(theirs / ours for ours, theirs in figures)


if __name__ == "__main__":
    serve(sys.argv[1])
