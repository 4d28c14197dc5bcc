"""Neural importance resampling against enumeration, with twins that must fail."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import f as f_distribution

from nqs_core import driver, problem
from nqs_core.ansatze.determinant import Determinant
from nqs_core.config import Spec
from nqs_core.errors import ConfigError, DivergedError
from nqs_core.events import MetricsEvent
from nqs_core.lattices.replicas import Replicas
from nqs_core.samplers import SAMPLERS, proposals
from nqs_core.samplers.exact import basis_index, log_amplitudes, probabilities
from nqs_core.sector import Sector
from nqs_core.statistics import estimate
from nqs_core.wavefunction import bind
from tests.contracts.variants import chain, moved, network
from tests.nqs_core.systems import config, dense

TINY = {"name": "transformer", "params": {"features": 8, "layers": 1, "heads": 2, "p_floor": 1e-3}}
N, K = 4, 2


@functools.cache
def system(sz=None):
    """Two networks on a ring of 4, so that there are 256 tuples; the determinant is 0 where its copies are equal."""
    base, _ = network(Spec(name="rbm", params={"alpha": 1, "complex": True}), N, sz)
    lattice = Replicas(single=base.lattice, copies=K)
    ansatz = Determinant(ansatz=base, lattice=lattice, sector=Sector(K * N, sz, K), precision="float64")
    return ansatz, moved(jax.jit(ansatz.init)(jax.random.key(3)), 0.5)


def sampler(ansatz, **params: Any) -> Any:
    spec = Spec(name="nir", params={"proposal": TINY, **params})
    return SAMPLERS.build(spec, lattice=ansatz.lattice, sector=ansatz.sector, flip_invariant=True)


@pytest.mark.parametrize(("copies", "sz", "patch"), [(1, None, 2), (1, 0.0, 1), (2, None, 0), (2, 0.0, 4)])
def test_the_proposal_is_normalised_and_its_samples_know_their_probability(copies, sz, patch):
    if copies == 1:
        ansatz, _ = network(Spec(name="rbm", params={"alpha": 1}), 6, sz)
    else:
        ansatz, _ = system(sz)
    q = sampler(ansatz, patch=patch).q
    net = moved(jax.jit(q.init)(jax.random.key(0)), 0.3)
    log_q = jax.jit(lambda s: 2 * jax.vmap(lambda one: q.log_psi(net, one))(s).real)
    every = jnp.asarray(Sector(q.sector.n_sites, q.sector.sz).enumerate())
    assert float(jnp.sum(jnp.exp(log_q(every)))) == pytest.approx(1, abs=1e-5)
    sigma, half = jax.jit(lambda k: q.sample(net, k, 64))(jax.random.key(1))
    np.testing.assert_allclose(2 * half.real, log_q(sigma), atol=1e-4)


def masses(weigh):
    """Shares of 12 bins of tuples in 200 batches of 512, less the exact ones; q is far from |Ψ|²."""
    ansatz, params = system()
    nir = sampler(ansatz, n_samples=512, n_proposals=2048, n_train=0)
    net = moved(jax.jit(nir.q.init)(jax.random.key(8)), 0.25)
    order = np.random.default_rng(0).permutation(4**N) % 12

    @jax.jit
    def shares(keys):
        psi = bind(ansatz, params)

        def one(key):
            key_draw, key_keep = jax.random.split(key)
            sigma, log_psi, log_weight = nir._propose(key_draw, psi, net, 2048)
            kept = proposals.resample(key_keep, weigh(log_weight, 2 * log_psi.real), 512, "systematic")
            bins = jnp.asarray(order)[basis_index(sigma[kept], ansatz.sector)]
            return jnp.bincount(bins, length=12) / 512, proposals.effective(log_weight) / 2048

        return jax.lax.map(one, keys)

    found, efficiency = shares(jax.random.split(jax.random.key(4), 200))
    assert 0.01 < float(jnp.mean(efficiency)) < 0.8
    exact = np.bincount(order, np.asarray(probabilities(log_amplitudes(bind(ansatz, params), ansatz.sector))))
    return (np.asarray(found) - exact)[:, :-1]  # the last bin follows from the others


def hotelling(differences):
    """p-value of all means being 0: batches are independent of each other, members of one are not."""
    n, k = differences.shape
    mean, covariance = differences.mean(0), np.cov(differences.T)
    statistic = n * mean @ np.linalg.solve(covariance, mean)
    return f_distribution.sf(statistic * (n - k) / (k * (n - 1)), k, n - k)


BROKEN = {
    "no weights": lambda log_weight, log_p: jnp.zeros_like(log_weight),
    "the amplitude for its square": lambda log_weight, log_p: log_weight - log_p / 2,
    "q forgotten": lambda log_weight, log_p: log_p,
    "log q times 1.3": lambda log_weight, log_p: log_weight - 0.3 * (log_p - log_weight),
}


def test_resampled_masses_are_those_of_psi_squared():
    assert hotelling(masses(lambda log_weight, log_p: log_weight)) > 1e-4


@pytest.mark.parametrize("twin", BROKEN)
def test_broken_weights_are_caught(twin):
    assert hotelling(masses(BROKEN[twin])) < 1e-6


def test_the_energy_of_weighted_proposals_is_that_of_enumeration():
    ansatz, params = system()
    single = problem.HAMILTONIANS.build(Spec(name="tfim"), lattice=chain(N))
    psi = np.exp(np.asarray(log_amplitudes(bind(ansatz, params), ansatz.sector)))
    one, identity = dense(single.terms(), N), np.eye(2**N)
    h_psi = (np.kron(one, identity) + np.kron(identity, one)) @ psi
    exact = np.vdot(psi, h_psi).real / np.vdot(psi, psi).real
    e_loc = jnp.asarray(np.where(np.abs(psi) > 1e-12, h_psi / np.where(np.abs(psi) > 1e-12, psi, 1), 0))
    measuring = sampler(ansatz, n_samples=2048).for_measurement()

    @jax.jit
    def energies(keys):
        bound = bind(ansatz, params)
        state = measuring.init(jax.random.key(0), bound)

        def one(key):
            samples, _, _ = measuring.sample(key, bound, state)
            values = e_loc[basis_index(samples.sigma[:, 0], ansatz.sector)][:, None]
            found = estimate(values, samples.log_weight, 0.0)
            return found.mean.real, found.error

        return jax.lax.map(one, keys)

    mean, error = map(np.asarray, energies(jax.random.split(jax.random.key(6), 80)))
    assert abs(mean.mean() - exact) < 4 * mean.std(ddof=1) / np.sqrt(80)
    assert 0.7 < mean.std(ddof=1) / np.sqrt(np.mean(error**2)) < 1.4


class Wells:
    """A ring of 6 whose two ferromagnetic states hold nearly everything."""

    ansatz, params = network(Spec(name="jastrow"), 6)
    params = jax.tree.map(lambda x: jnp.full_like(x, 0.35), params)


@functools.cache
def after_loss(augment):
    """Mode gap, ESS and mean magnetisation of 60 batches of a q that was trained on one well alone."""
    ansatz, params = Wells.ansatz, Wells.params
    nir = sampler(ansatz, n_samples=256, n_train=2, learning_rate=5e-3, augment=augment)

    @jax.jit
    def drive(key):
        psi = bind(ansatz, params)
        state = nir.init(key, psi)
        up = jnp.ones((64, 6), jnp.int8)

        def narrow(state, key):
            flips = jnp.where(jax.random.uniform(key, up.shape) < 0.05, -1, 1).astype(jnp.int8)

            def loss(net):
                return -jnp.mean(2 * jax.vmap(lambda s: nir.q.log_psi(net, s))(up * flips).real)

            updates, adam = nir._adam().update(jax.grad(loss)(state.net), state.adam)
            return type(state)(jax.tree.map(jnp.add, state.net, updates), adam), None

        state, _ = jax.lax.scan(narrow, state, jax.random.split(key, 300))

        def step(state, key):
            samples, state, info = nir.sample(key, psi, state)
            return state, (info.scalars["nir/mode_gap"], info.scalars["nir/ess"], jnp.mean(samples.sigma))

        state, report = jax.lax.scan(step, state, jax.random.split(jax.random.key(2), 60))
        return report

    gap, ess, magnetisation = map(np.asarray, drive(jax.random.key(1)))
    return gap, ess, magnetisation


def test_mirror_images_bring_a_lost_well_back():
    gap, _, magnetisation = after_loss(True)
    assert gap[0] > 2
    assert abs(gap[-10:].mean()) < 0.5
    assert abs(magnetisation[-10:].mean()) < 0.2


def test_without_them_the_estimates_do_not_see_the_loss():
    gap, ess, magnetisation = after_loss(False)
    assert magnetisation[-10:].mean() > 0.8
    assert np.median(ess) > 1.5  # as good as one could wish
    assert gap[-10:].mean() > 2  # but this tells


def test_a_proposal_that_cannot_follow_ends_the_run_with_the_efficiency_in_sight():
    nir = {"name": "nir", "params": {"proposal": TINY, "n_samples": 64, "block": 64, "max_rounds": 2, "n_train": 0}}
    built = problem.build(config(n_steps=60, sampler=nir, observables=[]))
    params = jax.tree.map(lambda x: 0 * x, driver.init(built, 0).params)
    params["params"]["visible"] = jnp.full_like(params["params"]["visible"], 3.0)  # one state of 64 holds all
    events: list[Any] = []
    with pytest.raises(DivergedError, match=r"the sampler refused its batch at step 25 .* larger proposal network"):
        events.extend(event for event, _ in driver.run(built, driver.init(built, 0, params)))
    refused = [event for event in events if isinstance(event, MetricsEvent)]
    assert all(event.scalars["refused"] == 1 for event in refused)
    assert all(event.scalars["nir/efficiency"] < 0.1 for event in refused)


def test_a_run_with_proposals_finds_the_ground_state_and_resumes_bit_for_bit():
    nir = {"name": "nir", "params": {"proposal": TINY, "n_samples": 128, "block": 128}}
    built = problem.build(config(n_steps=60, sampler=nir, observables=["magnetisation"], measure=1024))
    pairs = list(driver.run(built, driver.init(built, 0)))
    result: Any = pairs[-1][0]
    exact = np.linalg.eigvalsh(dense(built.hamiltonian.terms(), 6))[0]
    assert result.result["energy"] == pytest.approx(exact, rel=5e-3)
    assert 0.1 < result.result["ess"] < 1
    middle = next(state for _, state in pairs if int(state.step) == 40)
    again = list(driver.run(built, middle))[-1][1]
    for one, other in zip(jax.tree.leaves(pairs[-1][1].sampler), jax.tree.leaves(again.sampler), strict=True):
        assert np.array_equal(one, other)
    assert all(map(np.array_equal, jax.tree.leaves(pairs[-1][1].params), jax.tree.leaves(again.params)))


def test_two_states_are_measured_though_many_proposals_have_no_amplitude():
    """Where both copies are in the same configuration the determinant is 0."""
    nir = {"name": "nir", "params": {"proposal": TINY, "n_samples": 256, "block": 256}}
    ring = {"name": "chain", "params": {"length": N}}
    built = problem.build(
        config(lattice=ring, n_states=2, n_steps=2, sampler=nir, observables=["magnetisation"], measure=2048)
    )
    events, states = zip(*driver.run(built, driver.init(built, 0)), strict=True)
    result: Any = events[-1]
    psi = np.exp(np.asarray(log_amplitudes(bind(built.ansatz, states[-1].params), built.sector)))
    h_psi = dense(built.hamiltonian.terms(), K * N) @ psi
    exact = np.vdot(psi, h_psi).real / np.vdot(psi, psi).real
    assert abs(result.result["energy"] - exact) < 4 * result.result["energy_error"]
    assert np.isfinite(result.result["observables"]["levels/magnetisation_squared"]["mean"]).all()


@pytest.mark.parametrize("kind", ["systematic", "multinomial"])
def test_states_are_drawn_again_in_proportion_to_their_weights(kind):
    """And what has no weight never; systematic counts differ from n w by less than one."""
    log_weight = jnp.asarray([-jnp.inf, 0.0, 1.0, -jnp.inf, 2.0, -5.0, 0.3, -jnp.inf])
    w = np.exp(np.asarray(log_weight))
    expected = 4000 * w / w.sum()
    counts = np.bincount(proposals.resample(jax.random.key(1), log_weight, 4000, kind), minlength=8)
    assert np.all(counts[w == 0] == 0)
    limit = 1 if kind == "systematic" else 5 * np.sqrt(expected)
    assert np.all(np.abs(counts - expected) <= limit)


def test_a_proposal_with_a_phase_is_refused():
    with pytest.raises(ConfigError, match="phase = false"):
        sampler(system()[0], proposal={"name": "transformer", "params": {"phase": True}})
