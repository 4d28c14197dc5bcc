"""Observables against dense vectors, their groups of chains, and which of them apply."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import batching, problem
from nqs_core.ansatze import ANSATZE
from nqs_core.config import Spec
from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.lattices import LATTICES
from nqs_core.observables import OBSERVABLES, averages
from nqs_core.observables.structure_factor import wave_vectors
from nqs_core.samplers.base import Samples
from nqs_core.sector import Sector
from nqs_core.wavefunction import bind
from tests.nqs_core import kron
from tests.nqs_core.small import LATTICE_CASES, lattice
from tests.nqs_core.systems import LogTable, config

N = 4
RING = [(0, 1), (0, 3), (1, 2), (2, 3)]


def exchange(pair, xy, z):
    i, j = pair
    return [({i: "X", j: "X"}, xy), ({i: "Y", j: "Y"}, xy), ({i: "Z", j: "Z"}, z)]


CUSTOM = "0.3 X0 Z1\n-0.7 Y2 X1\n1.1 Z3 Z0\n0.5 Z0 Z3\n2 X0 X2\n0.4 Y0 Y1 Z2\n-1 X3"
# Hamiltonian, its parameters, S^z, and the terms on each bond of the ring in Pauli matrices.
SYSTEMS: dict[str, tuple[str, dict[str, Any], float | None, dict[tuple[int, int], list[Any]]]] = {
    "tfim": ("tfim", {"J": 0.7, "h": 1.3}, None, {(i, j): [({i: "Z", j: "Z"}, -0.7)] for i, j in RING}),
    "xxz": ("xxz", {"J": 0.8, "Delta": 1.5}, 0.0, {p: exchange(p, 0.2, 0.3) for p in RING}),
    "marshall": ("heisenberg", {"J": 1.2, "marshall": True}, 0.0, {p: exchange(p, -0.3, 0.3) for p in RING}),
    "whole": ("heisenberg", {"J": 1.2, "marshall": True}, None, {p: exchange(p, -0.3, 0.3) for p in RING}),
    "j1j2": ("j1j2", {"J1": 1.2, "J2": 0.6}, 0.0, {p: exchange(p, 0.3, 0.3) for p in RING}),
    "custom": (
        "custom",
        {"strings": CUSTOM},
        None,
        {
            (0, 1): [({0: "X", 1: "Z"}, 0.3)],
            (1, 2): [({1: "X", 2: "Y"}, -0.7)],
            (0, 3): [({0: "Z", 3: "Z"}, 1.6)],
            (2, 3): [],
        },
    ),
}


@functools.cache
def state(name, signed):
    """Hamiltonian, network (which is not 0 outside the sector), parameters, and the dense normalised state."""
    model, params, sz, _ = SYSTEMS[name]
    ring, sector = lattice("chain", length=N), Sector(N, sz)
    hamiltonian = HAMILTONIANS.build(Spec(name=model, params=params), lattice=ring)
    ansatz = LogTable(lattice=ring, sector=sector, complex=signed)
    theta = ansatz.init(jax.random.key(3))
    psi = np.zeros(2**N, complex)
    psi[sector.indices()] = np.exp(np.asarray(theta["params"]["table"]))[sector.indices()]
    return hamiltonian, ansatz, theta, psi / np.linalg.norm(psi)


def observable(name, hamiltonian, sector):
    return OBSERVABLES.build(Spec(name=name), lattice=hamiltonian.lattice, hamiltonian=hamiltonian, sector=sector)


@functools.cache
def every_pair(name, signed):
    """Samples whose chains 2k and 2k+1 are all pairs of configurations, weighted with |ψ|²: full summation."""
    _, ansatz, theta, _ = state(name, signed)
    sigma = jnp.asarray(ansatz.sector.enumerate())
    log_psi = jax.vmap(lambda s: ansatz.log_psi(theta, s))(sigma)
    m = len(sigma)
    index = jnp.stack(jnp.meshgrid(jnp.arange(m), jnp.arange(m), indexing="ij"), axis=-1).reshape(-1, 1)
    weight = jnp.log(m * jax.nn.softmax(2 * log_psi.real))
    return Samples(sigma[index], log_psi[index], weight[index])


def expected(name, psi):
    """Every quantity from the dense state."""
    p, spins = np.abs(psi) ** 2, Sector(N).enumerate().astype(float)
    m = spins.mean(1)
    shells = [[(i, (i + r) % N) for i in range(N)] for r in range(3)]
    q = 2 * np.pi * np.arange(N) / N
    half = psi.reshape(4, 4)  # (sites 2 and 3, sites 0 and 1)
    rho = half.T @ half.conj()
    bonds = [np.vdot(psi, kron.total(N, SYSTEMS[name][3][pair]) @ psi).real for pair in RING]
    return {
        "magnetisation": p @ m,
        "abs_magnetisation": p @ np.abs(m),
        "magnetisation_squared": p @ m**2,
        "magnetisation_fourth": p @ m**4,
        "binder_cumulant": 1 - (p @ m**4) / (3 * (p @ m**2) ** 2) if p @ m**2 > 0 else None,
        "staggered_magnetisation_squared": p @ (spins * [1, -1, 1, -1]).mean(1) ** 2,
        "transverse_magnetisation": np.vdot(psi, kron.total(N, kron.fields(N, -1 / N, "X")) @ psi).real,
        "correlation": [p @ np.mean([spins[:, i] * spins[:, j] for i, j in pairs], axis=0) for pairs in shells],
        "correlation_map": np.einsum("s,si,sj->ij", p, spins, spins),
        "structure_factor": p @ np.abs(spins @ np.exp(1j * np.outer(np.arange(N), q))) ** 2 / N,
        "bond_energy": bonds,
        "bond_energy_mean": np.mean(bonds),
        "purity": np.trace(rho @ rho).real,
        "renyi2": -np.log(np.trace(rho @ rho).real),
    }


@pytest.mark.parametrize("signed", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("quantity", OBSERVABLES)
def test_observables_equal_dense_expectations(quantity, name, signed):
    hamiltonian, ansatz, theta, psi = state(name, signed)
    subject = observable(quantity, hamiltonian, ansatz.sector)
    sums = jax.device_get(averages.group_sums([subject], bind(ansatz, theta), every_pair(name, signed)))
    means = {key: pair[0] for key, pair in averages.estimates([subject], sums).items()}
    assert means
    exact = expected(name, psi)
    for key, value in means.items():
        np.testing.assert_allclose(value, exact[key], rtol=1e-10, atol=1e-12)
    for key, axis in subject.axes().items():
        assert len(means[key]) == len(axis)


def test_bonds_are_named():
    subject = observable("bond_energy", state("tfim", False)[0], Sector(N))
    assert subject.axes()["bond_energy"].tolist() == [list(pair) for pair in RING]


# ---- groups of chains


def random_samples(n_chains, n_draws, n_sites, seed=0):
    rng = np.random.default_rng(seed)
    sigma = rng.choice(np.array([-1, 1], np.int8), (n_chains, n_draws, n_sites))
    shape = (n_chains, n_draws)
    return Samples(jnp.asarray(sigma), jnp.zeros(shape), jnp.asarray(rng.normal(size=shape)))


@pytest.mark.parametrize(("n_chains", "n_draws", "chunk"), [(8, 3, 7), (300, 1, 4096), (257, 2, 7), (1, 50, 4096)])
def test_groups_hold_every_sample_once(monkeypatch, n_chains, n_draws, chunk):
    """Whatever the numbers of chains, draws and chunks."""
    monkeypatch.setattr(batching, "MOST", chunk)
    hamiltonian, ansatz, theta, _ = state("marshall", True)
    subjects = [observable(name, hamiltonian, Sector(N)) for name in OBSERVABLES]
    samples = random_samples(n_chains, n_draws, N)
    sums = averages.group_sums(subjects, bind(ansatz, theta), samples)
    means = sums["1"]
    weight, spins = np.exp(samples.log_weight), np.asarray(samples.sigma, float)
    groups = np.array_split(np.arange(n_chains), len(means["magnetisation"]))
    assert len(groups) == min(n_chains, 256)
    chains = np.einsum("cd,cdi,cdj->cij", weight, spins, spins) / n_draws
    np.testing.assert_allclose(means["correlation_map"], [chains[g].mean(0) for g in groups], rtol=1e-12, atol=1e-12)
    chains = np.mean(weight * spins.mean(2), axis=1)
    np.testing.assert_allclose(means["magnetisation"], [chains[g].mean() for g in groups], rtol=1e-12, atol=1e-12)
    chains = np.mean(weight, axis=1)
    np.testing.assert_allclose(means["weight"], [chains[g].mean() for g in groups], rtol=1e-12)
    assert ("2" in sums) == (n_chains > 1)


def test_a_large_map_takes_fewer_groups():
    site = lattice("chain", length=256)
    hamiltonian = HAMILTONIANS.build(Spec(name="tfim"), lattice=site)
    subject = observable("correlation_map", hamiltonian, Sector(256))
    ansatz = ANSATZE.build(Spec(name="jastrow"), lattice=site, sector=Sector(256), precision="float64")
    for n_chains, n_groups in ((1024, 32), (16, 16)):

        def sums(key, n_chains=n_chains):
            return averages.group_sums([subject], bind(ansatz, ansatz.init(key)), random_samples(n_chains, 1, 256))

        found = jax.eval_shape(sums, jax.random.key(0))
        assert found["1"]["correlation_map"].shape == (n_groups, 256, 256)


# ---- structure factor


@pytest.mark.parametrize("name", [name for name in LATTICES if name != "all_to_all"])
def test_the_structure_factor_covers_one_period(name):
    """Different waves, each the shortest of its class; over all of them the mean of S is 1 for any spins."""
    zones = {"honeycomb": 3, "kagome": 4}
    for case in LATTICE_CASES[name]:
        site: Any = lattice(name, **case)
        q, r = wave_vectors(site), site.positions()
        assert len(q) == np.prod(site.extent) * zones.get(name, 1)
        waves = np.exp(1j * r @ q.T)
        assert len(np.unique(np.round(waves, 6), axis=1).T) == len(q)  # no two are equivalent
        spins = np.random.default_rng(0).choice([-1, 1], site.n_sites)
        assert np.mean(np.abs(spins @ waves) ** 2) / site.n_sites == pytest.approx(1)
        np.testing.assert_allclose(q[0], 0, atol=1e-12)
        assert np.all(
            np.linalg.norm(q, axis=1) <= np.linalg.norm(q[:, None] + reciprocal_period(site), axis=2).min(1) + 1e-6
        )


def reciprocal_period(site):
    """Reciprocal vectors that leave every site's phase alone."""
    m = np.stack(np.meshgrid(*[np.arange(-4, 5)] * len(site.extent), indexing="ij"), axis=-1).reshape(
        -1, len(site.extent)
    )
    g = m @ site.reciprocal()
    return g[np.all(np.abs(np.exp(1j * g @ np.array(site.basis).T) - 1) < 1e-9, axis=1)]


def test_staggered_magnetisation_is_the_structure_factor_at_the_corner():
    site = lattice("square", extent=[4, 4])
    hamiltonian = HAMILTONIANS.build(Spec(name="heisenberg"), lattice=site)
    subjects = [observable(name, hamiltonian, Sector(16)) for name in ("magnetisation", "structure_factor")]
    _, ansatz, theta, _ = state("tfim", False)
    means = averages.group_sums([subjects[1]], bind(ansatz, theta), random_samples(8, 5, 16))["1"]
    spins, weight = np.asarray(random_samples(8, 5, 16).sigma), np.exp(random_samples(8, 5, 16).log_weight)
    magnetisation: Any = subjects[0]
    staggered = jax.vmap(jax.vmap(lambda s: magnetisation._moments(s)["staggered_magnetisation_squared"]))(
        jnp.asarray(spins)
    )
    corner = np.flatnonzero(np.all(np.abs(subjects[1].axes()["structure_factor"] - np.pi) < 1e-9, axis=1))
    assert len(corner) == 1
    found = means["structure_factor"][:, corner[0]] / 16
    np.testing.assert_allclose(found, np.mean(weight * np.asarray(staggered), axis=1), rtol=1e-12)


# ---- entropy


def entropies(n_chains, partner):
    """S₂ with its error from 200 samplings of a random complex state; `partner`: which sample is the other copy."""
    _, ansatz, theta, psi = state("tfim", True)
    subject = observable("renyi2", state("tfim", True)[0], Sector(N))
    log_psi = jnp.asarray(np.log(psi))
    sigma = jnp.asarray(Sector(N).enumerate())

    def one(key):
        index = partner(jax.random.categorical(key, 2 * log_psi.real, shape=(n_chains, 4)))
        samples = Samples(sigma[index], log_psi[index], jnp.zeros(index.shape))
        return averages.group_sums([subject], bind(normalised, theta), samples)["2"]

    normalised = LogTable(lattice=ansatz.lattice, sector=ansatz.sector, complex=True)
    theta = {"params": {"table": log_psi}}
    values = jax.device_get(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), 200)))
    rows = [{"2": {name: value[k] for name, value in values.items()}} for k in range(200)]
    found = [averages.estimates([subject], row).get("renyi2") for row in rows]
    return found, expected("tfim", psi)["renyi2"]


def covered(partner):
    found, exact = entropies(64, partner)
    return sum(pair is not None and abs(pair[0] - exact) < pair[1] for pair in found) / len(found)


def test_error_bars_of_the_entropy_cover_the_truth():
    assert 0.58 < covered(lambda index: index) < 0.78


def test_an_entropy_from_copies_that_are_not_independent_is_wrong():
    assert covered(lambda index: jnp.repeat(index[::2], 2, axis=0)) < 0.2


def test_an_entropy_that_drowns_in_noise_is_left_out():
    found, _ = entropies(4, lambda index: index)
    missing = sum(pair is None for pair in found)
    assert 0 < missing < 200
    assert all(np.isfinite(pair[0]) for pair in found if pair is not None)


# ---- which apply


def names(**changes):
    return problem.with_defaults(config(observables=None, **changes)).observables


def test_all_that_apply_are_measured_by_default():
    assert names() == list(OBSERVABLES)
    glass = {"name": "spin_glass", "params": {"model": "sherrington_kirkpatrick"}}
    assert names(lattice={"name": "all_to_all", "params": {"size": 6}}, hamiltonian=glass) == [
        name for name in OBSERVABLES if name != "structure_factor"
    ]
    fields = {"name": "custom", "params": {"strings": "X0\nZ0 Z2"}}
    assert "bond_energy" not in (names(hamiltonian=fields) or [])
    assert "correlation_map" in (names(lattice={"name": "chain", "params": {"length": 64}}) or [])
    assert "correlation_map" not in (names(lattice={"name": "chain", "params": {"length": 65}}) or [])
    assert names(lattice={"name": "chain", "params": {"length": 100_000}}) == []


@pytest.mark.parametrize(
    ("changes", "name", "reason"),
    [
        ({"lattice": {"name": "all_to_all", "params": {"size": 6}}}, "structure_factor", "has no reciprocal lattice"),
        ({"hamiltonian": {"name": "custom", "params": {"strings": "X0"}}}, "bond_energy", "no term of the Hamiltonian"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_reason(changes, name, reason):
    with pytest.raises(ConfigError, match=f"observable '{name}' is not available here: .*{reason}"):
        problem.build(config(observables=[name], **changes))


@pytest.mark.parametrize("name", ["correlation", "correlation_map", "structure_factor", "bond_energy"])
def test_what_is_too_large_is_refused_only_by_name(name):
    changes = {"lattice": {"name": "chain", "params": {"length": 20_000}}, "ansatz": {"name": "mlp"}}
    changes |= {"sampler": {"name": "metropolis"}, "optimizer": {"name": "sgd"}}
    with pytest.raises(TooLargeError, match=f"observable '{name}' on 20000 sites"):
        problem.build(config(**changes, observables=[name]))
    assert problem.build(config(**changes)).n_sites == 20_000
