"""The classical Ising model against enumeration: every algorithm, and broken ones that must be caught."""

import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from nqs_core import classical
from nqs_core.classical import (
    ALGORITHMS,
    Counts,
    Estimate,
    Ising,
    heat_bath,
    kawasaki,
    metropolis,
    swendsen_wang,
    wolff,
)
from nqs_core.classical.base import Algorithm
from nqs_core.errors import ConfigError

FREE = [name for name in ALGORITHMS if name != "kawasaki"]  # the magnetisation changes
LIMIT = 4.0  # standard errors
WARM, HOT = 2.0, 3.5


@lru_cache
def spectrum(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Interaction energy and Σ s of all states, bond by bond; independent of the code under test."""
    states = np.arange(2**size**2)
    spin = [(1 - 2 * ((states >> k) & 1)).astype(np.int8) for k in range(size**2)]
    bonds = {
        tuple(sorted((y * size + x, b * size + a)))
        for y in range(size) for x in range(size) for b, a in ((y, (x + 1) % size), ((y + 1) % size, x))
    }  # fmt: skip
    return -sum(spin[i] * spin[j] for i, j in bonds), sum(s.astype(int) for s in spin)  # type: ignore[return-value]


def weights(model: Ising, total: int | None = None) -> np.ndarray:
    energy, m = spectrum(model.size)
    cost = energy - model.field * m
    weight = np.exp(-(cost - cost.min()) / model.temperature)
    if total is not None:
        weight = weight * (m == total)
    return weight / weight.sum()


def enumerated(model: Ising, total: int | None = None) -> tuple[float, float]:
    """⟨E⟩ and ⟨m⟩ per site; `total`: only states of this Σ s."""
    energy, m = spectrum(model.size)
    p = weights(model, total)
    return float(p @ (energy - model.field * m)) / model.n_sites, float(p @ m) / model.n_sites


def measure(
    algorithm: Algorithm, model: Ising, n: int, seed: int = 1, sigma: np.ndarray | None = None
) -> tuple[Estimate, Estimate]:
    rng = np.random.default_rng(seed)
    first = model.start("random", rng) if sigma is None else sigma
    done = [s for s in classical.simulate(model, algorithm, first, rng, 100, n) if not s.equilibrating]
    energies, ms = ([getattr(s, f"{what}_per_site") for s in done] for what in ("energy", "magnetisation"))
    return classical.estimate(np.array(energies)), classical.estimate(np.array(ms))


def z(found: Estimate, exact: float) -> float:
    assert found.error > 0
    return abs(found.mean - exact) / found.error


def balanced(size: int) -> np.ndarray:
    return np.where(np.indices((size, size)).sum(0) % 2, 1, -1).astype(np.int8)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0, classical.CRITICAL_TEMPERATURE, 3.0, 50.0])
def test_finite_lattice_formula_is_enumeration(size: int, temperature: float) -> None:
    exact = enumerated(Ising(size, temperature))[0]
    assert classical.kaufman_energy(size, temperature) == pytest.approx(exact, abs=1e-12)


def test_infinite_lattice_formulas() -> None:
    critical = classical.CRITICAL_TEMPERATURE
    assert classical.onsager_energy(critical) == pytest.approx(-math.sqrt(2), abs=1e-12)
    for temperature in (0.01, 1.0, 2.0, 2.6, 10.0, 1000.0):  # far from criticality size corrections fall exponentially
        large = classical.kaufman_energy(512, temperature)
        assert classical.onsager_energy(temperature) == pytest.approx(large, abs=1e-11)
    # Ferdinand and Fisher: the correction at the critical point falls as 1 / L.
    gaps = [
        size * (classical.onsager_energy(critical) - classical.kaufman_energy(size, critical)) for size in (64, 128)
    ]
    assert gaps[0] == pytest.approx(gaps[1], rel=1e-3)
    assert classical.spontaneous_magnetisation(critical) == 0
    assert classical.spontaneous_magnetisation(2.0) == pytest.approx(0.911319, abs=1e-6)
    assert classical.spontaneous_magnetisation(1e-3) == 1


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize(("size", "temperature"), [(4, WARM), (4, HOT), (8, WARM), (8, HOT)])
def test_energy_of_the_finite_lattice(name: str, size: int, temperature: float) -> None:
    model = Ising(size, temperature)
    energy, m = measure(classical.algorithm(name), model, 1500)
    assert z(energy, classical.kaufman_energy(size, temperature)) < LIMIT
    assert energy.error < 0.03
    if temperature == HOT:  # below, single flips turn the lattice over too rarely
        assert z(m, 0) < LIMIT


@pytest.mark.parametrize("name", FREE)
def test_in_a_field(name: str) -> None:
    model = Ising(4, HOT, field=-0.3)
    energy, m = measure(classical.algorithm(name), model, 1000)
    exact = enumerated(model)
    assert z(energy, exact[0]) < LIMIT
    assert z(m, exact[1]) < LIMIT
    assert m.mean < -0.3


@pytest.mark.parametrize("total", [0, 8])
def test_kawasaki_at_fixed_magnetisation(total: int) -> None:
    model = Ising(4, HOT)
    sigma = balanced(4)
    sigma.ravel()[np.flatnonzero(sigma.ravel() < 0)[: total // 2]] = 1
    energy, m = measure(classical.algorithm("kawasaki"), model, 1500, sigma=sigma)
    assert m.mean == total / 16
    assert z(energy, enumerated(model, total)[0]) < LIMIT
    assert z(energy, classical.kaufman_energy(4, HOT)) > 2 * LIMIT  # another ensemble, and the test sees it


@pytest.mark.parametrize("size", [5, 6, 7])
def test_kawasaki_conserves_on_any_lattice(size: int) -> None:
    model, rng = Ising(size, HOT), np.random.default_rng(0)
    sigma = model.start("random", rng)
    after, counts = classical.algorithm("kawasaki").sweep(model, sigma, rng)
    assert after.sum() == sigma.sum()
    assert 0 < counts.accepted <= counts.proposed <= 2 * model.n_sites


class Impatient(Algorithm):
    """Wolff until as many spins as there are sites have flipped: favours states that flip in large clusters."""

    def sweep(self, model: Ising, sigma: Any, rng: np.random.Generator) -> tuple[Any, Counts]:
        flat, flipped = sigma.ravel().copy(), 0
        while flipped < model.n_sites:
            flipped += wolff.flip_cluster(model, flat, int(rng.integers(model.n_sites)), rng)[0]
        return flat.reshape(sigma.shape), Counts()

    def tuned(self, model: Ising, counts: Counts) -> "Impatient":
        return self


@pytest.mark.parametrize("size", [4, 8])
def test_wolff_that_stops_at_n_flipped_spins_is_caught(size: int) -> None:
    energy, _ = measure(Impatient(), Ising(size, HOT), 1000)
    assert z(energy, classical.kaufman_energy(size, HOT)) > LIMIT


BROKEN: list[tuple[str, Any, str, Callable[..., Any]]] = [
    ("metropolis", metropolis, "boltzmann", lambda cost, t: np.exp(-np.maximum(cost, 0) / (1.25 * t))),
    ("heat_bath", heat_bath, "up_probability", lambda b, t: 1 / (1 + np.exp(-b / t))),
    ("wolff", wolff, "neighbours", lambda size, table=wolff.neighbours: table(size)[:, :3]),
    (
        "swendsen_wang",
        swendsen_wang,
        "clusters",
        lambda s, bind, rng, right=swendsen_wang.clusters: right(s, bind**2, rng),
    ),
    ("kawasaki", kawasaki, "boltzmann", lambda cost, t: np.exp(-np.maximum(cost, 0) / (1.25 * t))),
]


@pytest.mark.parametrize(("name", "module", "part", "wrong"), BROKEN, ids=[case[0] for case in BROKEN])
def test_a_wrong_probability_is_caught(
    name: str, module: Any, part: str, wrong: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, part, wrong)
    model = Ising(4, HOT)
    fixed = name == "kawasaki"
    energy, _ = measure(classical.algorithm(name), model, 1500, sigma=balanced(4) if fixed else None)
    assert z(energy, enumerated(model, 0 if fixed else None)[0]) > LIMIT


def chi_square(algorithm: Algorithm, model: Ising, n: int, thin: int, total: int | None = None) -> float:
    """(χ² - degrees of freedom) / √(2 degrees of freedom) of the states of the smallest lattices."""
    rng = np.random.default_rng(3)
    sigma = np.array([[1, 1], [-1, -1]], np.int8)
    counts = np.zeros(2**model.n_sites)
    for _ in range(n):
        for _ in range(thin):
            sigma, _ = algorithm.sweep(model, sigma, rng)
        counts[int((1 - sigma.ravel()) // 2 @ (1 << np.arange(model.n_sites)))] += 1
    expected = n * weights(model, total)
    assert counts[expected == 0].sum() == 0
    seen = expected > 0
    dof = np.count_nonzero(seen) - 1
    return float((np.sum((counts[seen] - expected[seen]) ** 2 / expected[seen]) - dof) / math.sqrt(2 * dof))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_distribution_over_all_states(name: str) -> None:
    fixed = name == "kawasaki"
    model = Ising(2, HOT, field=0.0 if fixed else 0.4)
    assert chi_square(classical.algorithm(name), model, 600, 4, 0 if fixed else None) < LIMIT


def test_cluster_flips_are_in_detailed_balance() -> None:
    """As many steps a → b as b → a in equilibrium, where every step flips one cluster; with a field."""
    model, rng = Ising(2, HOT, field=0.2), np.random.default_rng(5)
    flat = np.ones(4, np.int8)
    flows = np.zeros((16, 16))
    code = 1 << np.arange(4)
    before = 0
    for seed in rng.integers(4, size=8000):
        wolff.flip_cluster(model, flat, int(seed), rng)
        after = int((1 - flat) // 2 @ code)
        flows[before, after] += 1
        before = after
    both = (flows + flows.T)[np.triu_indices(16, 1)]
    net = (flows - flows.T)[np.triu_indices(16, 1)]
    dof = np.count_nonzero(both)
    assert dof >= 32
    chi = np.sum(net[both > 0] ** 2 / both[both > 0])
    assert abs(chi - dof) / math.sqrt(2 * dof) < LIMIT


@pytest.mark.parametrize("phi", [0.0, 0.6, 0.9])
def test_error_bar_of_correlated_values(phi: float) -> None:
    x = np.random.default_rng(0).normal(size=(4000, 100))
    x[0] /= math.sqrt(1 - phi**2)
    for before, now in itertools.pairwise(x):
        now += phi * before
    found = [classical.estimate(series) for series in x.T]
    assert np.mean([e.tau for e in found]) == pytest.approx(phi / (1 - phi), rel=0.1, abs=0.05)
    inside = np.mean([abs(e.mean) < e.error for e in found])
    assert 0.68 - 0.14 < inside < 0.68 + 0.14  # 3 standard deviations of 100 trials


@pytest.mark.parametrize("values", [[1.0], [-2.0] * 10, [0.1] * 1000])
def test_what_never_moved_has_no_error_bar(values: list[float]) -> None:
    mean, error, tau = classical.estimate(np.array(values))
    assert mean == pytest.approx(values[0], rel=1e-14)
    assert math.isnan(error)
    assert math.isnan(tau)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_seed_determines_the_run(name: str) -> None:
    def last() -> np.ndarray:
        rng = np.random.default_rng(11)
        model = Ising(6, 2.3, 0.1)
        return [
            s.sigma for s in classical.simulate(model, classical.algorithm(name), model.start("random", rng), rng, 3, 3)
        ][-1]

    assert np.array_equal(last(), last())
    assert last().dtype == np.int8
    assert set(np.unique(last())) <= {-1, 1}


def test_a_sweep_leaves_its_argument_alone() -> None:
    for name in ALGORITHMS:
        model, rng = Ising(4, HOT), np.random.default_rng(0)
        sigma = model.start("random", rng)
        kept = sigma.copy()
        classical.algorithm(name).sweep(model, sigma, rng)
        assert np.array_equal(sigma, kept)


@pytest.mark.parametrize(
    ("given", "word"),
    [((1, 2.0), "size"), ((2049, 2.0), "size"), ((8, -1.0), "temperature"), ((8, 0.0), "temperature"),
     ((8, math.nan), "temperature"), ((8, math.inf), "temperature"), ((8, 2.0, math.nan), "field")],
)  # fmt: skip
def test_out_of_range_is_refused(given: tuple[Any, ...], word: str) -> None:
    with pytest.raises(ConfigError, match=f"^{word} must be between .* given: "):
        Ising(*given)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown algorithm 'worm'; choose one of metropolis, heat_bath"):
        classical.algorithm("worm")
    with pytest.raises(ConfigError, match="unknown start 'down'"):
        Ising(4, 2.0).start("down", np.random.default_rng(0))


def test_needs_no_jax() -> None:
    code = "import sys, nqs_core.classical; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
