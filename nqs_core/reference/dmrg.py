"""DMRG through TeNPy: what a computation would take, and the computation as events from a process of its own."""

import contextlib
import dataclasses
import functools
import importlib.util
import itertools
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nqs_core.errors import ConfigError, NQSError, TooLargeError
from nqs_core.hamiltonians import Hamiltonian
from nqs_core.lattices import Lattice
from nqs_core.reference import dmrg_model
from nqs_core.reference.exact import MEMORY_LIMIT, Labels

LOG = logging.getLogger("spinscope.dmrg")
CHI = (25, 50, 100, 200)
BUDGET = 3600.0  # CPU seconds of a series
MAX_SITES, MAX_CHI = 512, 10_000
MAX_COUPLINGS = 65_000  # of more than this not even the estimate is quick
SAME = 1e-11  # error of a coupling below which the MPO is the Hamiltonian
TICK_SECONDS = 0.2
STOP_SECONDS = 1.5  # for the end after SIGTERM; then the process is killed
MISSING = "DMRG needs TeNPy, the extra `dmrg` of this package: pip install 'spinscope[dmrg]'"
PROCESS = Path(__file__).with_name("dmrg_process.py")  # run as a file: the package would import JAX first
_MAX_SWEEPS, _USUAL_SWEEPS = 12, 8


@dataclass(frozen=True)
class Sweep:
    """State after one sweep; energies in the run's units, `elapsed` in seconds since the start of the series.

    start: which of the starts it comes from.
    """

    chi: int
    sweep: int
    energy: float
    delta_energy: float | None
    truncation_error: float | None
    max_entropy: float | None
    elapsed: float
    start: int = 0


@dataclass(frozen=True)
class Point:
    """A finished bond dimension. energy: <psi|H|psi> of the truncated state, hence never below the ground state.

    starts: how many were compared at this bond dimension; spread: the highest of their energies minus the lowest.
    """

    chi: int
    chi_used: int
    energy: float
    truncation_error: float
    variance: float | None
    max_entropy: float
    sweeps: int
    converged: bool
    cpu_seconds: float
    wall_seconds: float
    starts: int = 1
    spread: float = 0.0


Event = Sweep | Point


@dataclass(frozen=True)
class Plan:
    """A series before it starts.

    charge: what is conserved, "parity", "Sz" or None; seconds: CPU seconds of each bond dimension (within a factor 3);
    n_bytes: memory of the largest one. job: what the process reads; further: finds the starts after the first.
    """

    n_sites: int
    chi: tuple[int, ...]
    charge: str | None
    mpo_dimension: int
    seconds: tuple[float, ...]
    n_bytes: float
    job: dict[str, Any] = dataclasses.field(repr=False)
    further: Callable[[], list[Any]] = dataclasses.field(repr=False, default=list)


def plan(
    hamiltonian: Hamiltonian,
    labels: Labels,
    ground_sz: float | None,
    chi: Sequence[int] | None = None,
    budget: float = BUDGET,
    memory_limit: float = MEMORY_LIMIT,
) -> Plan:
    """Strings, order of the sites, conserved charge, start, and what it would take.

    Args:
        ground_sz: S^z of a ground state where `labels` leaves it open; None where it is not known.
        chi: bond dimensions in rising order; default: 2^(N/2), which is exact, up to 16 sites, else 25, 50, 100, 200.
        budget: in CPU seconds; a bond dimension whose estimate exceeds what is left of it is not begun.
        memory_limit: in bytes.

    Raises:
        ConfigError: TeNPy is not there, a string acts on three or more sites, or the sector is not one DMRG can hold.
        TooLargeError: the estimates exceed the limits.
    """
    if importlib.util.find_spec("tenpy") is None:
        raise ConfigError(MISSING)
    n = hamiltonian.lattice.n_sites
    if not 4 <= n <= MAX_SITES:
        kind = ConfigError if n < 4 else TooLargeError
        raise kind(f"DMRG is offered for 4 to {MAX_SITES} sites; this system has {n}")
    chosen = _bond_dimensions(n, chi)
    terms = hamiltonian.terms()
    for letters, _, _ in terms:
        if len(letters) > 2:
            raise ConfigError(f"DMRG takes Pauli strings on one or two sites; {letters!r} acts on {len(letters)}")
    order = dmrg_model.order(hamiltonian.lattice, terms)
    strings = dmrg_model.strings(terms, order)
    charge = dmrg_model.conserved(strings, labels.sz, ground_sz)
    start = dmrg_model.start(hamiltonian.lattice, order, strings, charge, labels, ground_sz)
    onsite, couplings = dmrg_model.operators(strings, charge)
    if len(couplings) > MAX_COUPLINGS:
        raise TooLargeError(f"DMRG is offered for up to {MAX_COUPLINGS} couplings; this system has {len(couplings)}")
    channels = _channels(n, strings, charge, dmrg_model.mpo_dimension(n, couplings))
    dimension = channels.dimension if channels else dmrg_model.mpo_dimension(n, couplings)
    seconds = tuple(_USUAL_SWEEPS * _sweep_seconds(n, c, dimension, charge) for c in chosen)
    largest = min(chosen[-1], 2 ** (n // 2))
    n_bytes = 8.0 * largest**2 * (n * (2 + dimension) + 40 * dimension)
    _require_affordable(n, chosen, seconds, n_bytes, budget, memory_limit)
    job = {
        "n_sites": n, "charge": charge, "onsite": onsite, "couplings": couplings, "starts": [start], "chi": chosen,
        "seconds": seconds, "budget_seconds": budget, "max_sweeps": _MAX_SWEEPS,
        "tolerance": tolerance(hamiltonian.lattice), "channels": _as_lists(channels),
    }  # fmt: skip
    further = functools.partial(dmrg_model.further_starts, n, strings, charge, start)
    return Plan(n, chosen, charge, dimension, seconds, n_bytes, job, further)


def _require_affordable(
    n: int, chosen: tuple[int, ...], seconds: tuple[float, ...], n_bytes: float, budget: float, memory_limit: float
) -> None:
    if n_bytes > memory_limit:
        raise TooLargeError(
            f"DMRG of {n} sites at chi = {chosen[-1]} needs {n_bytes / 1e9:.3g} GB (limit {memory_limit / 1e9:.3g} GB)"
        )
    if seconds[0] > budget:
        raise TooLargeError(
            f"DMRG of {n} sites at chi = {chosen[0]} needs about {seconds[0]:.0f} CPU seconds (limit {budget:.0f})"
        )


def _channels(n: int, strings: dmrg_model.Strings, charge: str | None, explicit: int) -> dmrg_model.Channels | None:
    """A smaller MPO than that of dimension `explicit`, which has a state for every waiting operator; None: no such."""
    matrix = None if charge == "Sz" else dmrg_model.ising_couplings(n, strings)
    found = None if matrix is None else dmrg_model.compress(matrix)
    return found if found and found.dimension < explicit else None


def _as_lists(channels: dmrg_model.Channels | None) -> dict[str, Any] | None:
    if channels is None:
        return None
    matrices = {name: [m.tolist() for m in getattr(channels, name)] for name in ("last", "onward")}
    return {**matrices, "exact": channels.error < SAME}


def _bond_dimensions(n: int, chi: Sequence[int] | None) -> tuple[int, ...]:
    if chi is None:
        return (2 ** (n // 2),) if n <= 16 else CHI
    chosen = tuple(chi)
    if not chosen or any(b <= a for a, b in itertools.pairwise(chosen)) or not 2 <= chosen[0] <= chosen[-1] <= MAX_CHI:
        raise ConfigError(f"bond dimensions {list(chosen)}: they must rise, from 2 or more to {MAX_CHI} at most")
    return chosen


def tolerance(lattice: Lattice) -> float:
    """Relative change of the energy per sweep at which a bond dimension counts as converged."""
    if len(lattice.extent) > 1:
        return 2e-6 if lattice.n_sites >= 36 else 1e-8
    return 1e-7 if any(lattice.periodicity) and lattice.n_sites > 16 else 1e-8


def _sweep_seconds(n: int, chi: int, dimension: int, charge: str | None) -> float:
    """CPU seconds of one sweep on one core: a fit to 61 series, scatter a factor 1.5, bond by bond.

    Towards both ends of the chain the bonds are smaller than `chi`.
    """
    sizes = [min(chi, 2 ** min(k, n - k, 30)) for k in range(n)]
    return sum(_bond_seconds(size, dimension, charge) for size in sizes)


def _bond_seconds(chi: int, dimension: int, charge: str | None) -> float:
    least = 0.012 * max(1.0, dimension / 10) ** 0.5  # what a bond of any size costs
    if charge == "Sz":
        return max(least, 0.029 * (chi / 100) ** 0.85 * (dimension / 10) ** 0.5)
    return max(least, (1 if charge else 4) * 0.028 * (chi / 100) ** 1.4 * (dimension / 10) ** 1.1)


class Killed(NQSError):
    """The process was ended by signal 9, which nobody but the system sends."""

    def __init__(self) -> None:
        super().__init__("the process of DMRG was killed by the system (signal 9): possibly out of memory")


class Job:
    """A series under way in a child process with one BLAS thread; iterate over `events()`, or `stop()` it."""

    def __init__(self, plan: Plan, known: float | None = None) -> None:
        """Start the process. `known`: the exact energy, where it is; other starts are then tried only until one has it.

        Where nothing is known all starts are compared.
        """
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed when the events end
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(PROCESS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env={**os.environ, **threads},
        )  # fmt: skip
        self.pid = self._process.pid
        starts = [*plan.job["starts"], *plan.further()]
        self._job = plan.job | {"starts": starts, "target": known}

    def events(self, tick_seconds: float = TICK_SECONDS) -> Generator[Event | None, None, None]:
        """Sweeps and points as they come, None after `tick_seconds` without one, so that the caller can look around.

        Ends early, without an error, where the process got SIGTERM; ends the process where the caller leaves early.

        Raises:
            Killed: the system killed the process.
            NQSError: the process failed.
        """
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        other_end = threading.Thread(target=self._talk, args=(lines,), daemon=True)
        other_end.start()
        try:
            while True:
                try:
                    line = lines.get(timeout=tick_seconds)
                except queue.Empty:
                    yield None
                    continue
                if line is None:
                    break
                content = json.loads(line)
                yield (Point if content.pop("kind") == "point" else Sweep)(**content)
            status = self._process.wait()
            if status == -signal.SIGKILL:
                raise Killed
            if status not in (0, -signal.SIGTERM):
                self._errors.seek(0)
                LOG.error("the process of DMRG ended with status %d:\n%s", status, self._errors.read()[-5000:])
                raise NQSError("DMRG failed for this system, for no fault of yours; its log has the library's reason")
        finally:
            self.stop()
            other_end.join()
            self._errors.close()

    def _talk(self, lines: queue.SimpleQueue[str | None]) -> None:
        """Send the job, which may wait for the process to read it, and pass on what comes back; None at its end."""
        sent, received = self._process.stdin, self._process.stdout
        assert sent is not None
        assert received is not None
        try:
            with contextlib.suppress(BrokenPipeError), sent:
                json.dump(self._job, sent)
            with received:
                for line in received:
                    lines.put(line)
        finally:
            lines.put(None)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL; what was yielded stays valid."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
