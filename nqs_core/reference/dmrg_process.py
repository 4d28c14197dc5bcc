"""DMRG in a process of its own: a job as JSON on standard input, one JSON line per sweep and per bond dimension.

SIGTERM ends it between two bond updates; what was printed stays valid. `nqs_core.reference.dmrg` is the other end.
"""

import json
import logging
import math
import os
import signal
import sys
import time
import warnings
from typing import Any, NamedTuple

import numpy as np

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TeNPy says which of its compiled parts are missing
    from tenpy.algorithms.dmrg import TwoSiteDMRGEngine
    from tenpy.models.lattice import Chain
    from tenpy.models.model import CouplingModel, MPOModel
    from tenpy.networks.mpo import MPO
    from tenpy.networks.mps import MPS
    from tenpy.networks.site import SpinHalfSite

MIXER = {"decay": 2.0, "disable_after": 5}
AMPLITUDE = 1e-4  # of the mixer at the first bond dimension, a tenth of it afterwards
SCREEN_CHI = 32  # bond dimension at which starts are compared where the series has one only
STUCK = 1e-6  # relative to the energy: what an exact state may be above the exact energy
SVD_MIN = 1e-9
EXACT = 1e-12  # truncation error below which a state is exact to rounding
SATURATED = 1e-13  # truncation error below which a larger bond dimension changes nothing
VARIANCE_LIMIT = 4e7  # (bond dimension x MPO dimension)^2


class Stopped(Exception):
    """The parent sent SIGTERM, or is gone."""


class BondModel(CouplingModel, MPOModel):
    """The job's strings as an MPO; sites stand in the order of the chain."""

    def __init__(self, job: dict[str, Any]) -> None:
        lattice = Chain(job["n_sites"], SpinHalfSite(conserve=job["charge"]), bc="open", bc_MPS="finite")
        CouplingModel.__init__(self, lattice)
        for name, site, coefficient in job["onsite"]:
            self.add_onsite_term(coefficient, site, name)
        for first, second, i, j, coefficient in job["couplings"]:
            value = complex(*coefficient) if isinstance(coefficient, list) else coefficient
            self.add_coupling_term(np.real_if_close(value, tol=0).item(), i, j, first, second)
        MPOModel.__init__(self, lattice, self.calc_H_MPO())


def channel_model(job: dict[str, Any]) -> MPOModel:
    """The job's on-site strings and its couplings σσ by channels, which the MPO leads from site to site."""
    n, last, onward = job["n_sites"], job["channels"]["last"], job["channels"]["onward"]
    lattice = Chain(n, SpinHalfSite(conserve=job["charge"]), bc="open", bc_MPS="finite")
    name = job["couplings"][0][0]
    onsite: list[list[Any]] = [[] for _ in range(n)]
    for operator, site, coefficient in job["onsite"]:
        onsite[site].append((operator, coefficient))
    grids = []
    nothing = [("Id", 0.0)]  # TeNPy knows no charge of a state that no path leads to
    for site in range(n):
        # States: nothing yet, the channels, all done.
        width = len(onward[site][0]) if site < n - 1 else 0
        rows = [["Id", *([(name, onward[site][-1][b])] for b in range(width)), onsite[site] or nothing]]
        for a, end in enumerate(last[site]):
            rows.append([None, *([("Id", onward[site][a][b])] for b in range(width)), [(name, end)]])
        rows.append([*[None] * (1 + width), "Id"])
        grids.append(rows)
    grids[0], grids[-1] = grids[0][:1], [row[-1:] for row in grids[-1]]
    mpo = MPO.from_grids([lattice.site(i) for i in range(n)], grids, bc="finite", IdL=0, IdR=-1)
    return MPOModel(lattice, mpo)


def total_energy(job: dict[str, Any], psi: MPS, mpo: MPO) -> float:
    """<psi|H|psi>, with the exact couplings also where the MPO has them approximately."""
    if job["channels"] is None or job["channels"]["exact"]:
        return float(np.real(mpo.expectation_value(psi)))
    name = job["couplings"][0][0]
    correlations = np.real(np.asarray(psi.correlation_function(name, name)))
    local: dict[str, np.ndarray] = {}
    for operator, _, _ in job["onsite"]:
        if operator not in local:
            local[operator] = np.real(np.asarray(psi.expectation_value(operator)))
    energy = sum(coefficient * local[operator][site] for operator, site, coefficient in job["onsite"])
    return float(energy + sum(coefficient * correlations[i, j] for _, _, i, j, coefficient in job["couplings"]))


class Engine(TwoSiteDMRGEngine):
    """Two-site DMRG that prints its sweeps and may be stopped within one."""

    series: "Series"
    start = 0

    def status_update(self, iteration_start_time: float) -> None:
        stats = {name: values[-1] for name, values in self.sweep_stats.items()}
        emit(
            {
                "kind": "sweep",
                "chi": int(self.trunc_params["chi_max"]),
                "sweep": int(stats["sweep"]),
                "energy": float(stats["E"]),
                "delta_energy": _finite(stats["Delta_E"]),
                "truncation_error": _finite(stats["max_trunc_err"]),
                "max_entropy": _finite(stats["max_S"]),
                "elapsed": time.monotonic() - self.series.began,
                "start": self.start,
            }
        )

    def post_update_local(self, *args: Any, **kwargs: Any) -> None:
        super().post_update_local(*args, **kwargs)
        if self.series.stop():
            raise Stopped


def emit(line: dict[str, Any]) -> None:
    """One line, at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def options(job: dict[str, Any], chi: int, first: bool) -> dict[str, Any]:
    """Settings of TeNPy for one bond dimension."""
    return {
        "mixer": True,
        "mixer_params": {**MIXER, "amplitude": AMPLITUDE if first else AMPLITUDE / 10},
        "trunc_params": {"chi_max": chi, "svd_min": SVD_MIN},
        "max_E_err": job["tolerance"],
        "max_S_err": 1e-4,
        "max_trunc_err": None,
        "min_sweeps": 2,
        "max_sweeps": job["max_sweeps"],
        "N_sweeps_check": 1,
        "combine": True,
    }


class State(NamedTuple):
    """What the sweeps of one start at one bond dimension ended in."""

    psi: MPS
    energy: float
    truncation: float
    converged: bool
    sweeps: int


class Series:
    """All bond dimensions of a job, each from the state of the last; a step that would not end in time is left."""

    def __init__(self, job: dict[str, Any], stop: Any) -> None:
        self.job, self.stop = job, stop
        self.model = channel_model(job) if job["channels"] else BondModel(job)
        self.began, self._cpu = time.monotonic(), time.process_time()

    def product(self, start: Any) -> MPS:
        """An entry of `starts` as a state."""
        n, site = self.job["n_sites"], self.model.lat.site(0)
        if isinstance(start, list):
            states = [s if isinstance(s, str) else np.array(s) for s in start]
            return MPS.from_product_state([site] * n, states, bc="finite")
        # Each bond holds the parity of the flipped spins so far; the last one lets the asked parity through.
        tensors = []
        for k, s in enumerate(start["cat"]):
            tensor = np.zeros((2, 2, 2))
            tensor[0, [0, 1], [0, 1]], tensor[1, [0, 1], [1, 0]] = math.sqrt(0.5), s * math.sqrt(0.5)
            tensor = tensor[:, :1] if k == 0 else tensor
            tensors.append(tensor[:, :, [int(start["parity"] < 0)]] if k == n - 1 else tensor)
        return MPS.from_Bflat([site] * n, tensors, bc="finite", form=None)  # pyright: ignore[reportArgumentType]

    def optimise(self, psi: MPS, chi: int, start: int, first: bool = True) -> State:
        """Sweep until nothing changes any more."""
        engine = Engine(psi, self.model, options(self.job, chi, first))
        engine.series, engine.start = self, start
        psi = engine.run()[1]  # pyright: ignore[reportOptionalSubscript]
        energy, stats = total_energy(self.job, psi, self.model.H_MPO), engine.sweep_stats
        converged = abs(float(stats["Delta_E"][-1])) < self.job["tolerance"] * max(1.0, abs(energy))
        return State(psi, energy, float(stats["max_trunc_err"][-1]), bool(converged), int(engine.sweeps))

    def run(self) -> None:
        """Print a point for each bond dimension."""
        chi, wall, cpu = self.job["chi"], time.monotonic(), time.process_time()
        single = len(chi) == 1 and len(self.job["starts"]) > 1 and self.job["target"] is None
        found, screened = self.screen(min(chi[0], SCREEN_CHI) if single else chi[0])
        best = min(found, key=lambda state: state.energy)
        for k, size in enumerate(chi):
            if k:
                wall, cpu = time.monotonic(), time.process_time()
            if k and self.job["seconds"][k] > self.left():
                return
            sweeps = sum(state.sweeps for state in found) if size == screened and not k else 0
            if k or size != screened:
                best = self.optimise(best.psi, size, 0, k == 0)
                sweeps += best.sweeps
            compared = [best.energy] if k or size != screened else [state.energy for state in found]
            try:
                if best.truncation < EXACT and len(compared) == 1 and self.job["target"] is None:
                    other = self.verify(best, k)
                    compared += [state.energy for state in other]
                    sweeps += sum(state.sweeps for state in other)
                    best = min([best, *other], key=lambda state: state.energy)
            finally:
                emit(self.point(size, best, compared, sweeps) | _spent(wall, cpu))
            if int(max(best.psi.chi)) < size and best.truncation < SATURATED:
                return

    def left(self) -> float:
        """CPU seconds of the budget that are left."""
        return self.job["budget_seconds"] - (time.process_time() - self._cpu)

    def screen(self, chi: int) -> tuple[list[State], int]:
        """The states that the starts end in; with a known energy no more than are needed to reach it."""
        found: list[State] = []
        target = self.job["target"]
        for k, start in enumerate(self.job["starts"]):
            if found and self.job["seconds"][0] > self.left():
                break
            found.append(self.optimise(self.product(start), chi, k))
            # Truncation explains a larger distance, an eigenstate that is not the lowest does not go away with it.
            if target is not None and (
                found[-1].truncation > 1e-8 or found[-1].energy < target + STUCK * max(1.0, abs(target))
            ):
                break
        return found, chi

    def verify(self, best: State, k: int) -> list[State]:
        """The state of another start at the same bond dimension, where there is time."""
        if len(self.job["starts"]) < 2 or self.job["seconds"][k] > self.left():
            return []
        last = len(self.job["starts"]) - 1
        return [self.optimise(self.product(self.job["starts"][last]), self.job["chi"][k], last)]

    def point(self, chi: int, state: State, compared: list[float], sweeps: int) -> dict[str, Any]:
        """A finished bond dimension as it is printed."""
        used, mpo, channels = int(max(state.psi.chi)), self.model.H_MPO, self.job["channels"]
        affordable = (used * max(mpo.chi)) ** 2 < VARIANCE_LIMIT and (not channels or channels["exact"])
        return {
            "kind": "point",
            "chi": chi,
            "chi_used": used,
            "energy": state.energy,
            "truncation_error": state.truncation,
            "variance": max(0.0, float(np.real(mpo.variance(state.psi)))) if affordable else None,
            "max_entropy": float(max(state.psi.entanglement_entropy())),
            "sweeps": sweeps,
            "converged": state.converged,
            "starts": len(compared),
            "spread": max(compared) - min(compared),
        }


def _spent(wall: float, cpu: float) -> dict[str, float]:
    return {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.monotonic() - wall}


def main() -> int:
    """Read the job and work on it; the exit status is 0 when stopped, too."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    logging.getLogger("tenpy").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="tenpy")
    parent = os.getppid()
    try:
        Series(json.load(sys.stdin), lambda: bool(told) or os.getppid() != parent).run()
    except (Stopped, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
