"""This machine: a detached process per attempt, one slot per GPU or per share of the cores.

Processes survive the death of whoever started them. A spare process per free slot has JAX imported already, so that a
run that is launched shows its first step soon.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from backend.engine.base import Key
from backend.settings import QUIET_BLAS, Settings

RUNNER = (sys.executable, "-m", "backend.runner")
PROC = Path("/proc")
RETRY_SECONDS = 5.0  # before the next spare after one that died


def is_runner(pid: int, marker: str = RUNNER[-1]) -> bool:
    """Whether this process lives and has `marker` in its command line; numbers of processes are used again."""
    try:
        os.kill(pid, 0)
        if PROC.joinpath("self").exists():
            state = PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2]
            command = os.fsdecode(PROC.joinpath(str(pid), "cmdline").read_bytes())
        else:  # -ww: else ps may cut the line where the terminal would end
            ps = ["ps", "-ww", "-p", str(pid), "-o", "state=", "-o", "command="]
            state, _, command = subprocess.run(ps, capture_output=True, text=True).stdout.strip().partition(" ")
    except OSError:
        return False
    return not state.strip().startswith("Z") and marker in command


@dataclass
class Orphan:
    """A runner that another process has started; `marker` is in its command line, unless its number was given away."""

    pid: int
    marker: str

    def poll(self) -> int | None:
        """None while it lives; then 0, since only its parent could know."""
        return None if is_runner(self.pid, self.marker) else 0


@dataclass
class Process:
    """A process that works on an attempt; after `deadline` it is ended hard."""

    popen: subprocess.Popen[bytes] | Orphan
    slot: str
    deadline: float | None = None


def find_gpus() -> list[tuple[str, str]]:
    """(index, name) of each NVIDIA GPU that this process may use."""
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    found = re.findall(r"^GPU (\d+): (.*?) \(UUID: ([^)]+)\)", listing, re.MULTILINE)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        allowed = [part.strip() for part in visible.split(",")]
        found = [gpu for gpu in found if gpu[0] in allowed or gpu[2] in allowed]
    return [(index, name) for index, name, _ in found]


def find_slots(n_slots: int) -> tuple[list[str], str]:
    """The slots of this machine and the name of its device; `n_slots` = 0 chooses one per GPU, or half of the cores."""
    gpus = find_gpus()
    if gpus:
        n_slots = n_slots or len(gpus)
        names = " + ".join(dict.fromkeys(name for _, name in gpus))
        return [f"gpu:{gpus[i % len(gpus)][0]}.{i // len(gpus)}" for i in range(n_slots)], names
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return [f"cpu:{i}" for i in range(n_slots or max(1, cores // 2))], f"CPU, {cores} cores"


def slot_environment(slot: str) -> dict[str, str]:
    """What makes a process use its slot; it must be set before JAX looks for devices."""
    kind, _, index = slot.partition(":")
    if kind == "gpu":
        return {"CUDA_VISIBLE_DEVICES": index.split(".")[0], "SPINSCOPE_SLOT": slot}
    return {"JAX_PLATFORMS": "cpu", "SPINSCOPE_SLOT": slot}


class Local:
    """Processes on this machine.

    Args:
        settings: of this deployment; children get them through the environment.
        slots: their names, `gpu:INDEX.k` or `cpu:k`.
        command: how to start a runner.
        spares: whether to keep spare processes.
    """

    def __init__(
        self, settings: Settings, slots: Sequence[str], *, command: Sequence[str] = RUNNER, spares: bool = True
    ) -> None:
        self._settings, self._slots, self._command = settings, list(slots), list(command)
        self._want_spares = spares
        self._live: dict[Key, Process] = {}
        self._spares: list[subprocess.Popen[bytes]] = []
        self._spare_allowed = 0.0

    @property
    def slots(self) -> int:
        """How many attempts can run at the same time."""
        return len(self._slots)

    def _free(self) -> list[str]:
        used = {process.slot for process in self._live.values()}
        return [slot for slot in self._slots if slot not in used]

    def nfree(self) -> int:
        """How many more attempts can be launched now."""
        return len(self._free())

    def adopt(self, key: Key, slot: str, pid: int) -> None:
        """Take over the process of an attempt that an earlier agent launched."""
        children = {popen.pid for popen in self._spares} | {process.popen.pid for process in self._live.values()}
        orphan = Orphan(pid, self._command[-1])
        if key not in self._live and pid not in children and orphan.poll() is None:
            self._live[key] = Process(orphan, slot)

    def live(self) -> set[Key]:
        """The attempts that were launched or adopted here and not reaped yet."""
        return set(self._live)

    def launch(self, run_id: str, attempt: int) -> None:
        """Hand the attempt to a spare process, or start one."""
        slot = self._free()[0]
        self._settings.run_folder(run_id).mkdir(parents=True, exist_ok=True)
        popen = self._take_spare(f"{run_id} {attempt} {slot}\n")
        if popen is None:
            popen = self._start(["--run", run_id, "--attempt", str(attempt)], slot, subprocess.DEVNULL)
        self._live[run_id, attempt] = Process(popen, slot)

    def _take_spare(self, order: str) -> subprocess.Popen[bytes] | None:
        while self._spares:
            popen = self._spares.pop(0)
            if popen.poll() is None and popen.stdin is not None:
                with contextlib.suppress(OSError):
                    popen.stdin.write(order.encode())
                    popen.stdin.close()
                    return popen
            _forget(popen)
        return None

    def keep_spares(self) -> None:
        """Have one spare process for each free slot."""
        alive = [popen for popen in self._spares if popen.poll() is None]
        if len(alive) < len(self._spares):
            self._spare_allowed = time.monotonic() + RETRY_SECONDS
        for popen in set(self._spares) - set(alive):
            _forget(popen)
        self._spares = alive
        free = self._free()
        if self._want_spares and time.monotonic() >= self._spare_allowed:
            for slot in free[len(self._spares) :]:
                self._spares.append(self._start(["--spare"], slot, subprocess.PIPE))

    def _start(self, arguments: list[str], slot: str, stdin: int) -> subprocess.Popen[bytes]:
        env = {**QUIET_BLAS, **os.environ, **self._settings.environment(), **slot_environment(slot)}
        if any(slot.endswith(".1") for slot in self._slots):  # a GPU that is shared
            env.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        with _log(self._settings.data_dir) as log:
            return subprocess.Popen(
                [*self._command, *arguments], env=env, stdin=stdin, stdout=log, stderr=log, start_new_session=True
            )

    def reap(self) -> list[tuple[Key, int]]:
        """Attempts whose process has ended, with exit statuses; the overdue ones are ended hard."""
        ended = []
        for key, process in list(self._live.items()):
            if process.deadline is not None and time.monotonic() > process.deadline:
                _signal(process.popen, signal.SIGKILL)
            status = process.popen.poll()
            if status is not None:
                del self._live[key]
                ended.append((key, status))
        return ended

    def kill(self, run_id: str, grace: float) -> None:
        """Ask the process of a run to end, after `grace` seconds end it hard."""
        for (live, _), process in self._live.items():
            if live == run_id and process.deadline is None:
                process.deadline = time.monotonic() + grace
                _signal(process.popen, signal.SIGTERM)

    def close(self, grace: float) -> list[tuple[Key, int]]:
        """End every process within `grace` seconds and a little."""
        self._want_spares = False
        for popen in self._spares:
            _signal(popen, signal.SIGTERM)
        for run_id, _ in self._live:
            self.kill(run_id, grace)
        ended = []
        while True:
            ended += self.reap()
            if not self._live:
                break
            time.sleep(0.02)
        for popen in self._spares:
            with contextlib.suppress(subprocess.TimeoutExpired):
                popen.wait(1)
            _signal(popen, signal.SIGKILL)
            popen.wait()
            _forget(popen)
        self._spares = []
        return ended


def _forget(popen: subprocess.Popen[bytes]) -> None:
    if popen.stdin is not None:
        with contextlib.suppress(OSError):
            popen.stdin.close()


def _signal(popen: subprocess.Popen[bytes] | Orphan, number: int) -> None:
    if popen.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(popen.pid, number)


def _log(folder: Path) -> IO[bytes]:
    path = folder / "logs" / "runner.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")
