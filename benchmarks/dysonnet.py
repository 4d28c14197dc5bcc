"""CPU time of a flipped amplitude against the length of the ring: DysonNet with ABACUS, its forwards, ViT and RBM."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Row
from nqs_core.ansatze import ANSATZE, Ansatz
from nqs_core.ansatze.base import FullForward, LocalUpdates
from nqs_core.budget import n_params
from nqs_core.config import Spec
from nqs_core.lattices import LATTICES
from nqs_core.sector import Sector

LENGTHS = (32, 64, 128, 256, 512)
FLIPS = 2**12  # of which the CPU time is taken, in so many configurations as that makes
FULL = 2**9  # the same for what takes a forward pass each
REPEATS = 3  # the least of so many counts
SMALLEST = {16: (0.3, 12.0, 25.0), 8: (0.2, None, None)}  # exponent, and how much faster than forwards and ViT at 512


def measure() -> tuple[list[Row], dict[str, Any]]:
    """One row for each network and each length, one for each target."""
    rows, raw = [], {}
    for d, (exponent, forwards, vit) in SMALLEST.items():
        spent: dict[str, list[float]] = {}
        for name, spec, local, limit in _networks(d):
            spent[name] = []
            for n_sites in LENGTHS:
                ansatz = _build(spec, n_sites)
                found = _per_flip(ansatz, ansatz.local_updates() if local else FullForward(ansatz), limit)
                spent[name].append(found)
                rows.append(Row((f"d = {d}, {name}", str(n_sites), f"{1e6 * found:.2f}", str(n_params(ansatz)), "")))
        first = LENGTHS.index(64)
        slope = float(np.polyfit(np.log(LENGTHS[first:]), np.log(spent["ABACUS"][first:]), 1)[0])
        rows.append(Row((f"d = {d}, exponent from 64", "", f"{slope:.2f}", "", f"< {exponent}"), slope < exponent))
        for name, target in (("its full forwards", forwards), ("ViT", vit)):
            ratio = spent[name][-1] / spent["ABACUS"][-1]
            wanted, holds = ("", None) if target is None else (f"> {target:g}", ratio > target)
            rows.append(Row((f"d = {d}, {name} / ABACUS", "512", f"{ratio:.1f}", "", wanted), holds))
        raw[f"d = {d}"] = {"cpu_seconds": spent, "lengths": LENGTHS, "exponent": slope}
    return rows, raw


def _networks(d: int) -> list[tuple[str, Spec, bool, int]]:
    dysonnet = Spec(name="dysonnet", params={"features": d})  # two blocks, filters of 3, 8 hidden units
    return [
        ("ABACUS", dysonnet, True, FLIPS),
        ("its full forwards", dysonnet, False, FULL),
        ("ViT", Spec(name="vit", params={"patch": 1, "features": d, "layers": 2}), True, FULL),
        ("RBM", Spec(name="rbm", params={"alpha": 2}), True, FLIPS),
    ]


def _build(spec: Spec, n_sites: int) -> Ansatz:
    ring = LATTICES.build(Spec(name="chain", params={"length": n_sites}))
    return ANSATZE.build(spec, lattice=ring, sector=Sector(n_sites), precision="float32")


def _per_flip(ansatz: Ansatz, updates: LocalUpdates, limit: int) -> float:
    """CPU seconds of one flip, caches included: all flips of some configurations, or `limit` flips of one."""
    n_sites = ansatz.lattice.n_sites
    n_moves, n = min(n_sites, limit), max(1, limit // n_sites)
    moves, sigma = jnp.arange(n_moves)[:, None], Sector(n_sites).random(jax.random.key(1), n)
    prepared = jax.jit(lambda key: updates.prepare(ansatz.init(key)))(jax.random.key(0))

    def one(prepared: Any, sigma: Any) -> Any:
        return updates.log_ratios(prepared, updates.cache(prepared, sigma), sigma, moves)

    ratios = jax.jit(jax.vmap(one, (None, 0)))

    return _cpu(lambda: jax.block_until_ready(ratios(prepared, sigma))) / (n * n_moves)


def _cpu(work: Callable[[], Any]) -> float:
    work()
    found = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)
