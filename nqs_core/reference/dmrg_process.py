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
from typing import Any

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
SVD_MIN = 1e-9
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
            self.add_coupling_term(coefficient, i, j, first, second)
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
    for site in range(n):
        # States: nothing yet, the channels, all done.
        width = len(onward[site][0]) if site < n - 1 else 0
        rows = [["Id", *([(name, onward[site][-1][b])] for b in range(width)), onsite[site] or None]]
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

    chi = 0
    began = 0.0
    stop: Any = staticmethod(lambda: False)

    def status_update(self, iteration_start_time: float) -> None:
        stats = {name: values[-1] for name, values in self.sweep_stats.items()}
        emit(
            {
                "kind": "sweep",
                "chi": self.chi,
                "sweep": int(stats["sweep"]),
                "energy": float(stats["E"]),
                "delta_energy": _finite(stats["Delta_E"]),
                "truncation_error": _finite(stats["max_trunc_err"]),
                "max_entropy": _finite(stats["max_S"]),
                "elapsed": time.monotonic() - self.began,
            }
        )

    def post_update_local(self, *args: Any, **kwargs: Any) -> None:
        super().post_update_local(*args, **kwargs)
        if self.stop():
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


def series(job: dict[str, Any], stop: Any) -> None:
    """All bond dimensions of the job, each from the state of the last; a step that would not end in time is left."""
    model = channel_model(job) if job["channels"] else BondModel(job)
    mpo = model.H_MPO
    psi = MPS.from_product_state([model.lat.site(0)] * job["n_sites"], job["start"], bc="finite")
    began, spent = time.monotonic(), time.process_time()
    for k, chi in enumerate(job["chi"]):
        left = job["budget_seconds"] - (time.process_time() - spent)
        if job["seconds"][k] > left and k:
            return
        wall, cpu = time.monotonic(), time.process_time()
        engine = Engine(psi, model, options(job, chi, k == 0))
        engine.chi, engine.began, engine.stop = chi, began, stop
        psi = engine.run()[1]  # pyright: ignore[reportOptionalSubscript]
        used = int(max(psi.chi))
        energy = total_energy(job, psi, mpo)
        affordable = (used * max(mpo.chi)) ** 2 < VARIANCE_LIMIT and (not job["channels"] or job["channels"]["exact"])
        variance = max(0.0, float(np.real(mpo.variance(psi)))) if affordable else None
        stats = engine.sweep_stats
        truncation, delta = float(stats["max_trunc_err"][-1]), float(stats["Delta_E"][-1])
        emit(
            {
                "kind": "point",
                "chi": chi,
                "chi_used": used,
                "energy": energy,
                "truncation_error": truncation,
                "variance": variance,
                "max_entropy": float(max(psi.entanglement_entropy())),
                "sweeps": int(engine.sweeps),
                "converged": bool(abs(delta) < job["tolerance"] * max(1.0, abs(energy))),
                "cpu_seconds": time.process_time() - cpu,
                "wall_seconds": time.monotonic() - wall,
            }
        )
        if used < chi and truncation < SATURATED:
            return


def main() -> int:
    """Read the job and work on it; the exit status is 0 when stopped, too."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    logging.getLogger("tenpy").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="tenpy")
    parent = os.getppid()
    try:
        series(json.load(sys.stdin), lambda: bool(told) or os.getppid() != parent)
    except (Stopped, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
