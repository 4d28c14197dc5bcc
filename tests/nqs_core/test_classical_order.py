"""The order of the sites: the same equilibrium in every order, the right kinetics of a quench in random order."""

import itertools
import math
from functools import lru_cache

import numpy as np
import pytest

from nqs_core import classical
from nqs_core.classical import LOCAL, ORDERS, Ising, metropolis
from nqs_core.classical.order import site_groups
from nqs_core.errors import ConfigError
from tests.nqs_core.test_classical import HOT, LIMIT, chi_square, enumerated, measure, z

BOX, QUENCHED = 256, 1.0
SEEDS = range(8)
FIRST, LAST = 8, 128  # sweeps


def visited(size: int, order: str, seed: int = 0) -> list[np.ndarray]:
    return [group.sites for group in site_groups(size, order, np.random.default_rng(seed))]


def rank_of(groups: list[np.ndarray]) -> np.ndarray:
    return np.argsort(np.concatenate(groups))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [2, 3, 4, 7, 16])
def test_a_sweep_visits_every_site_once_and_no_two_neighbours_together(size: int, order: str) -> None:
    groups = visited(size, order)
    assert sorted(np.concatenate(groups)) == list(range(size**2))
    for sites in groups:
        here = np.isin(np.arange(size**2), sites).reshape(size, size)
        assert not any((here & np.roll(here, 1, axis)).any() for axis in (0, 1))


@pytest.mark.parametrize("size", [2, 3, 6])
def test_sequential_is_row_by_row(size: int) -> None:
    """Of two neighbours the one with the lower index comes first."""
    rank = rank_of(visited(size, "sequential"))
    site = np.arange(size**2).reshape(size, size)
    for axis in (0, 1):
        pairs = np.stack([site.ravel(), np.roll(site, -1, axis).ravel()])
        low, high = np.sort(pairs, axis=0)
        assert (rank[low] < rank[high]).all()


def test_random_order_is_drawn_anew_and_has_few_groups() -> None:
    rng = np.random.default_rng(0)
    first, second = ([group.sites for group in site_groups(BOX, "random", rng)] for _ in range(2))
    assert len(first) < 20
    assert not np.array_equal(first[0], second[0])


def one_after_another(
    kind: str, model: Ising, sigma: np.ndarray, permutation: np.ndarray, draw: np.ndarray
) -> np.ndarray:
    """A sweep in the order of the ranks, site by site, with the rule written out; no code in common."""
    s, size = sigma.copy(), model.size
    for site in np.argsort(permutation):
        y, x = divmod(int(site), size)
        near = {((y + 1) % size, x), ((y - 1) % size, x), (y, (x + 1) % size), (y, (x - 1) % size)}
        b = sum(int(s[place]) for place in near) + model.field
        if kind == "metropolis":
            if draw[site] < 15 / 16 * min(1.0, math.exp(-2 * s[y, x] * b / model.temperature)):
                s[y, x] *= -1
        else:
            s[y, x] = 1 if draw[site] < 1 / (1 + math.exp(-2 * b / model.temperature)) else -1
    return s


@pytest.mark.parametrize("kind", LOCAL)
@pytest.mark.parametrize("size", [2, 5, 32])
def test_groups_at_once_are_one_site_after_another(kind: str, size: int) -> None:
    model = Ising(size, 1.7, field=0.1)
    sigma = model.start("random", np.random.default_rng(1))
    twin = np.random.default_rng(2)
    draw = twin.random(size**2)
    permutation = twin.permutation(size**2)
    after, counts = classical.algorithm(kind).sweep(model, sigma, np.random.default_rng(2))
    assert np.array_equal(after, one_after_another(kind, model, sigma, permutation, draw))
    assert counts.accepted == np.count_nonzero(after != sigma)
    other = one_after_another(kind, model, sigma, permutation[::-1], draw)
    assert size < 32 or not np.array_equal(after, other)  # the order matters, and the test sees it


@pytest.mark.parametrize(("name", "order"), list(itertools.product(LOCAL, ("sequential", "checkerboard"))))
def test_every_order_has_the_same_equilibrium(name: str, order: str) -> None:
    algorithm = classical.algorithm(name, order)
    assert chi_square(algorithm, Ising(2, HOT, field=0.4), 600, 4) < LIMIT
    model = Ising(4, HOT, field=-0.3)
    energy, m = measure(algorithm, model, 1000)
    exact = enumerated(model)
    assert z(energy, exact[0]) < LIMIT
    assert z(m, exact[1]) < LIMIT


def test_metropolis_that_asks_every_site_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two rows against each other: every flip is free, so the state never mixes with the ordered ones.
    monkeypatch.setattr(metropolis, "ASK", 1.0)
    assert chi_square(classical.algorithm("metropolis", "checkerboard"), Ising(2, HOT), 500, 4) > 10
    # In great heat every flip is free, and the lattice turns over as a whole, whatever the order.
    assert chi_square(classical.algorithm("metropolis"), Ising(2, 1e6), 500, 4) > 10


@lru_cache
def broken_bonds(name: str, order: str, n_seeds: int) -> np.ndarray:
    """[seed, sweep, axis] for the sweeps FIRST to LAST after a quench from infinite temperature."""
    model, algorithm = Ising(BOX, QUENCHED), classical.algorithm(name, order)
    counts = np.zeros((n_seeds, LAST, 2))
    for seed in range(n_seeds):
        rng = np.random.default_rng(seed)
        sigma = model.start("random", rng)
        for sweep in range(LAST):
            sigma, _ = algorithm.sweep(model, sigma, rng)
            counts[seed, sweep] = [np.count_nonzero(sigma != np.roll(sigma, 1, axis)) for axis in (0, 1)]
    return counts[:, FIRST - 1 :]


def exponent(counts: np.ndarray) -> float:
    """The slope of the mean curve's log-log fit."""
    mean = counts.sum(axis=2).mean(axis=0)
    return float(np.polyfit(np.log(np.arange(FIRST, LAST + 1)), np.log(mean), 1)[0])


# Domains of size t^(1/2), Allen and Cahn; the heat bath at T = 1 is still a little slower after 128 sweeps.
LAW = {"metropolis": -0.5, "heat_bath": -0.45}


@pytest.mark.parametrize(
    ("name", "order"), [("metropolis", "random"), ("heat_bath", "random"), ("heat_bath", "checkerboard")]
)
def test_the_walls_of_a_quench_fall_as_they_must(name: str, order: str) -> None:
    counts = broken_bonds(name, order, len(SEEDS))
    assert exponent(counts) == pytest.approx(LAW[name], abs=0.06)
    vertical, horizontal = counts.sum(axis=(0, 1))
    assert 0.93 < vertical / horizontal < 1.07


@pytest.mark.parametrize(("order", "n_seeds"), [("checkerboard", 8), ("sequential", 3)])
def test_a_fixed_order_of_metropolis_is_caught(order: str, n_seeds: int) -> None:
    assert exponent(broken_bonds("metropolis", order, n_seeds)) < LAW["metropolis"] - 0.06


class SameOrder(np.random.Generator):
    """A generator whose permutations are all the identity."""

    def permutation(self, x: int) -> np.ndarray:  # type: ignore[override]
        return np.arange(x)


def squared_distance(rng: np.random.Generator, n_sweeps: int = 8, n_walks: int = 100, size: int = 24) -> float:
    """Mean squared distance per sweep that a lone spin goes, by exchanges that cost nothing."""
    model, kawasaki = Ising(size, 0.5), classical.algorithm("kawasaki")
    total = 0.0
    for _ in range(n_walks):
        sigma = -np.ones((size, size), np.int8)
        place, path = rng.integers(size, size=2), np.zeros(2)
        sigma[tuple(place)] = 1
        for _ in range(n_sweeps):
            sigma, _ = kawasaki.sweep(model, sigma, rng)
            [now] = np.argwhere(sigma > 0)
            path += (now - place + size // 2) % size - size // 2
            place = now
        total += float(path @ path)
    return total / n_walks / n_sweeps


def test_a_lone_spin_diffuses() -> None:
    # Four bonds are asked in a sweep, and the new place's later ones again: 6.3 in a long simulation bond after bond.
    assert squared_distance(np.random.default_rng(0)) == pytest.approx(6.3, rel=0.25)
    assert squared_distance(SameOrder(np.random.PCG64(0))) > 20  # carried along, ever faster


def test_names_of_orders() -> None:
    assert classical.algorithm("metropolis") == classical.algorithm("metropolis", "random")
    with pytest.raises(ConfigError, match="unknown order 'spiral'; choose one of random, sequential, checkerboard"):
        classical.algorithm("heat_bath", "spiral")
    with pytest.raises(ConfigError, match="kawasaki does not go from site to site; order 'random' is for metropolis"):
        classical.algorithm("kawasaki", "random")
