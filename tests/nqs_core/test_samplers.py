"""Metropolis in detail, with broken twins that the tests must catch; refusals; enumeration."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core.config import Spec
from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.samplers import SAMPLERS, metropolis
from nqs_core.samplers.exact import basis_index, configurations, log_amplitudes, probabilities
from nqs_core.samplers.metropolis import EXCHANGE_WORDS, Walk, propose, random_words, transition
from nqs_core.sector import Sector
from nqs_core.wavefunction import bind
from tests.contracts.variants import chain, network
from tests.nqs_core.distribution import chi_square_p

N = 6
JASTROW = Spec(name="jastrow", params={"field": True})


def build(n_sites=N, sz=None, **params):
    return SAMPLERS.build(Spec(name="metropolis", params=params), lattice=chain(n_sites), sector=Sector(n_sites, sz))


def p_value(sz, n_chains=20_000):
    """Chi-square of one state of each of many chains, 60 sweeps after a uniform start."""
    ansatz, start = network(JASTROW, N, sz, spread=0.0)
    # A |ψ|² that every broken twin below gets wrong, which not all random numbers are.
    leaves, structure = jax.tree.flatten(start)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    moved = [x + 0.15 * jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)]
    params = jax.tree.unflatten(structure, moved)
    sampler = build(sz=sz, n_samples=n_chains, n_chains=n_chains, n_burn=60)
    sigma = jax.jit(lambda k: sampler.init(k, bind(ansatz, params)).sigma)(jax.random.key(11))
    return chi_square_p(sigma, log_amplitudes(bind(ansatz, params), Sector(N, sz)), Sector(N, sz))


# ---- the chi-square test has power


@pytest.mark.parametrize("sz", [None, 0.0])
def test_the_true_sampler_passes(sz):
    assert p_value(sz) > 1e-3


@pytest.mark.parametrize("sz", [None, 0.0])
@pytest.mark.parametrize("factor", [1.0, 1.9])
def test_a_wrong_acceptance_is_caught(monkeypatch, sz, factor):
    monkeypatch.setattr(metropolis, "log_acceptance", lambda log_ratio: factor * log_ratio.real)
    assert p_value(sz) < 1e-4


def test_a_forgotten_site_is_caught(monkeypatch):
    """Site 5 keeps its start, which was uniform; |ψ|² magnetises it to 0.36."""
    monkeypatch.setattr(metropolis, "propose", lambda words, n_sites, bonds, n_each: propose(words, n_sites - 1, bonds))
    assert p_value(None) < 1e-6


def test_forgotten_pairs_are_caught(monkeypatch):
    """Exchanges that never reach site 0."""

    def some(words, n_sites, bonds, n_each):
        return 1 + propose(words, n_sites - 1, bonds[:0])

    monkeypatch.setattr(metropolis, "propose", some)
    assert p_value(0.0) < 1e-6


@pytest.mark.parametrize("sz", [None, 0.0])
def test_a_wrong_proposal_ratio_is_caught(monkeypatch, sz):
    """A proposal that looks at the spins (here: up spins are redrawn half of the time) without a correction."""

    def leaning(updates, prepared, walk, move, log_u):
        shy = (walk.sigma[move[0]] > 0) & (log_u.view(jnp.int32) % 2 == 0)
        new, accept = transition(updates, prepared, walk, move, jnp.where(shy, 1.0, log_u))
        return new, accept

    monkeypatch.setattr(metropolis, "transition", leaning)
    assert p_value(sz) < 1e-6


def test_samples_that_drop_rejections_are_caught(monkeypatch):
    """Moving on until something is accepted: log u = -∞ for the second try."""

    def eager(updates, prepared, walk, move, log_u):
        return transition(updates, prepared, walk, move, jnp.where(log_u < -1, -jnp.inf, log_u))

    monkeypatch.setattr(metropolis, "transition", eager)
    assert p_value(None) < 1e-6


# ---- detailed balance


def transition_matrix(ansatz, params, sector):
    """T(σ → σ') of one proposal by enumeration: every move, acceptance by bisection in the random number."""
    n = sector.n_sites
    updates = ansatz.local_updates()
    prepared = updates.prepare(params)
    if sector.sz is None:
        moves, weight = np.arange(n)[:, None], np.full(n, 1 / n)
    else:
        near = [tuple(b) for b in chain(n).bonds().tolist()]
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        moves = np.array(pairs)
        weight = np.array([0.25 / len(pairs) + (0.75 / len(near) if p in near else 0) for p in pairs])
    sigma = jnp.asarray(sector.enumerate())

    @jax.jit
    @partial(jax.vmap, in_axes=(0, None))
    @partial(jax.vmap, in_axes=(None, 0))
    def one(s, move):
        walk = Walk(s, updates.cache(prepared, s))

        def halve(_, bounds):
            low, high = bounds
            middle = 0.5 * (low + high)
            accept = transition(updates, prepared, walk, move, jnp.log(middle))[1]
            return jnp.where(accept, middle, low), jnp.where(accept, high, middle)

        accepted = jax.lax.fori_loop(0, 50, halve, (0.0, 1.0))[0]
        return accepted, transition(updates, prepared, walk, move, jnp.asarray(-1e30))[0].sigma

    accepted, target = one(sigma, jnp.asarray(moves))
    matrix = np.zeros((len(sigma), len(sigma)))
    for k in range(len(moves)):
        np.add.at(matrix, (np.arange(len(sigma)), basis_index(target[:, k], sector)), weight[k] * accepted[:, k])
    matrix[np.diag_indices(len(sigma))] += 1 - matrix.sum(1)
    return matrix


@pytest.mark.parametrize("sz", [None, 0.0])
@pytest.mark.parametrize("factor", [2.0, 1.0])
def test_detailed_balance(monkeypatch, sz, factor):
    """|ψ(σ)|² T(σ → σ') is symmetric and connects all states; not so where the acceptance takes |ψ| for |ψ|²."""
    monkeypatch.setattr(metropolis, "log_acceptance", lambda log_ratio: factor * log_ratio.real)
    ansatz, params = network(JASTROW, 4, sz)
    sector = Sector(4, sz)
    p = np.asarray(probabilities(log_amplitudes(bind(ansatz, params), sector)))
    flow = p[:, None] * transition_matrix(ansatz, params, sector)
    balanced = np.abs(flow - flow.T).max() < 1e-12
    assert balanced == (factor == 2.0)
    assert np.all(np.linalg.matrix_power((flow > 0).astype(int), len(p)) > 0)


@pytest.mark.parametrize("sz", [None, 0.0])
def test_proposals_have_the_stated_frequencies(sz):
    n = 5 if sz is None else 6
    bonds = None if sz is None else chain(n).bonds()
    moves = np.asarray(propose(random_words(jax.random.key(0), EXCHANGE_WORDS, 200_000), n, bonds))
    if bonds is None:
        frequency, expected = np.bincount(moves[:, 0], minlength=n) / len(moves), np.full(n, 1 / n)
    else:
        assert np.all(moves[:, 0] != moves[:, 1])
        counts = np.zeros((n, n))
        np.add.at(counts, (moves.min(1), moves.max(1)), 1 / len(moves))
        expected = np.triu(np.full((n, n), 0.25 / 15), 1)
        expected[tuple(bonds.T)] += 0.75 / len(bonds)
        frequency = counts
    np.testing.assert_allclose(frequency, expected, atol=5 * np.sqrt(0.25 / len(moves)))


# ---- chains


def test_draws_of_a_chain_go_on_from_call_to_call():
    ansatz, params = network(JASTROW)
    sampler = build(n_samples=32, n_chains=8, n_burn=0)
    state = sampler.init(jax.random.key(0), bind(ansatz, params))
    samples, after, info = jax.jit(sampler.sample)(jax.random.key(1), bind(ansatz, params), state)
    assert samples.sigma.shape == (8, 4, N)
    assert np.array_equal(after.sigma, samples.sigma[:, -1])
    assert not np.array_equal(after.sigma, state.sigma)
    assert 0 < info.scalars["acceptance"] < 1


def test_one_state_of_probability_one_is_left_alone():
    """Acceptance 0 and no NaN where ψ is concentrated on a single configuration."""
    ansatz, params = network(JASTROW)
    frozen = jax.tree.map(lambda x: jnp.zeros_like(x), params)
    frozen["params"]["field"] = jnp.full(N, 400.0)
    sampler = build(n_samples=64, n_chains=64)
    state = metropolis.Chains(jnp.ones((64, N), jnp.int8))
    samples, _, info = jax.jit(sampler.sample)(jax.random.key(1), bind(ansatz, frozen), state)
    assert np.all(samples.sigma == 1)
    assert info.scalars["acceptance"] == 0


def test_rounding_does_not_pile_up_in_long_calls():
    """float32 caches are carried for 20 sweeps in each of 10 draws: log ψ stays that of a full forward pass."""
    ansatz, params = network(Spec(name="rbm", params={"alpha": 2}), 20, precision="float32", spread=0.1)
    sampler = build(20, n_samples=160, n_chains=16, n_sweeps=20)
    state = sampler.init(jax.random.key(0), bind(ansatz, params))
    samples, _, info = jax.jit(sampler.sample)(jax.random.key(1), bind(ansatz, params), state)
    assert info.scalars["acceptance"] > 0.1
    evaluated = jax.vmap(partial(ansatz.log_psi, params))(samples.sigma.reshape(-1, 20))
    np.testing.assert_allclose(samples.log_psi.reshape(-1), evaluated, atol=2e-4)


# ---- refusals


@pytest.mark.parametrize(
    ("params", "sz", "problem"),
    [
        ({"n_samples": 1000, "n_chains": 256}, None, "n_samples = 1000 is not a multiple of n_chains = 256"),
        ({"move": "flip"}, 0.0, "move 'flip' leaves the sector sz = 0"),
        ({"move": "exchange"}, None, "needs sector.sz"),
        ({}, 3.0, "holds one configuration"),
        ({"move": "jump"}, None, "move"),
        ({"n_chains": 0}, None, "n_chains"),
    ],
)
def test_what_does_not_fit_is_refused(params, sz, problem):
    with pytest.raises(ConfigError, match=problem):
        build(sz=sz, **params)


def test_ancestral_sampling_needs_an_autoregressive_network():
    ansatz, params = network(JASTROW)
    sampler = SAMPLERS.build(Spec(name="autoregressive"), lattice=chain(N), sector=Sector(N))
    with pytest.raises(ConfigError, match="needs an autoregressive ansatz"):
        sampler.init(jax.random.key(0), bind(ansatz, params))


def test_enumeration_is_refused_where_it_does_not_fit():
    with pytest.raises(TooLargeError, match=r"24 sites have 1.68e\+07 configurations"):
        SAMPLERS.build(Spec(name="exact"), lattice=chain(24), sector=Sector(24))
    SAMPLERS.build(Spec(name="exact"), lattice=chain(20), sector=Sector(20, 0.0))


# ---- enumeration


@pytest.mark.parametrize("sz", [None, 1.0])
def test_configurations_and_their_indices_invert_each_other(sz):
    sector = Sector(N, sz)
    sigma = configurations(jnp.asarray(sector.indices()), N)
    assert np.array_equal(sigma, sector.enumerate())
    assert np.array_equal(basis_index(sigma, sector), np.arange(sector.size))


def test_exact_sampling_never_draws_a_state_of_probability_zero():
    ansatz, params = network(JASTROW)
    frozen = jax.tree.map(lambda x: jnp.zeros_like(x), params)
    frozen["params"]["field"] = jnp.array([400.0, 400.0, 400.0, 0.0, 400.0, -400.0])
    sampler = SAMPLERS.build(Spec(name="exact", params={"n_samples": 500}), lattice=chain(N), sector=Sector(N))
    samples, _, _ = sampler.sample(jax.random.key(0), bind(ansatz, frozen), None)
    drawn = np.unique(samples.sigma.reshape(-1, N), axis=0)
    np.testing.assert_array_equal(drawn, [[1, 1, 1, -1, 1, -1], [1, 1, 1, 1, 1, -1]])
