"""Several states at once: the determinant, its local updates, its levels, against dense linear algebra."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import driver, problem
from nqs_core.ansatze.determinant import Determinant
from nqs_core.config import Spec
from nqs_core.errors import ConfigError
from nqs_core.events import MetricsEvent, SnapshotEvent, StateEvent
from nqs_core.hamiltonians.replicated import Replicated
from nqs_core.lattices.replicas import Replicas
from nqs_core.observables import averages
from nqs_core.observables.levels import Levels
from nqs_core.samplers import SAMPLERS
from nqs_core.samplers.base import Samples
from nqs_core.samplers.exact import log_amplitudes
from nqs_core.sector import Sector
from nqs_core.wavefunction import Psi, bind
from tests.contracts.variants import chain, moved, network
from tests.nqs_core.distribution import chi_square_p
from tests.nqs_core.systems import LogTable, config, dense

N, K = 4, 2
RBM = Spec(name="rbm", params={"alpha": 1, "complex": True}).model_dump_json()
MLP = Spec(name="mlp", params={"hidden": [5]}).model_dump_json()
TABLE = "table"


@functools.cache
def determinant(spec, sz=None):
    """K networks with parameters of their own."""
    base = LogTable(lattice=chain(N), sector=Sector(N, sz))
    if spec != TABLE:
        base, _ = network(Spec.model_validate_json(spec), N, sz)
    lattice = Replicas(single=base.lattice, copies=K)
    ansatz = Determinant(ansatz=base, lattice=lattice, sector=Sector(K * N, sz, K), precision="float64")
    params = moved(jax.jit(ansatz.init)(jax.random.key(3)), 0.5)
    return ansatz, params


def columns(ansatz, params):
    """ψ_j of every configuration of one copy, as columns, each of size 1 at most."""
    sector = Sector(N, ansatz.sector.sz)
    log_psi = [
        np.asarray(log_amplitudes(bind(ansatz.ansatz, jax.tree.map(lambda x, j=j: x[j], params)), sector))
        for j in range(K)
    ]
    return np.stack([np.exp(each - np.max(np.real(each))) for each in log_psi], axis=1)


def tuples(sector):
    """For every configuration of all copies the numbers of the copies' configurations."""
    size = Sector(N, sector.sz).size
    index = np.stack(np.meshgrid(*[np.arange(size)] * K, indexing="ij"), axis=-1).reshape(-1, K)
    return index[:, ::-1]  # the first copy is the least significant


@pytest.mark.parametrize("sz", [None, 0.0])
@pytest.mark.parametrize("spec", [RBM, MLP], ids=["rbm", "mlp"])
def test_psi_is_the_determinant(spec, sz):
    ansatz, params = determinant(spec, sz)
    sector = ansatz.sector
    assert sector.size == len(sector.enumerate()) == Sector(N, sz).size ** K
    assert np.all(jax.vmap(sector.contains)(jnp.asarray(sector.enumerate())))
    psi, a = np.exp(np.asarray(log_amplitudes(bind(ansatz, params), sector))), columns(ansatz, params)
    expected = np.linalg.det(a[tuples(sector)])
    ratio = psi[np.abs(expected) > 1e-12] / expected[np.abs(expected) > 1e-12]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    assert np.max(np.abs(psi[np.abs(expected) < 1e-15])) < 1e-12 * np.max(np.abs(psi))
    outside = jnp.asarray([1, 1, 1, -1, -1, -1, -1, 1], jnp.int8)  # sz = 0 of both copies together
    assert bool(sector.contains(outside)) == (sz is None)


@pytest.mark.parametrize("spec", [RBM, MLP], ids=["rbm", "mlp"])
def test_moves_in_one_copy_and_across_copies(spec):
    ansatz, params = determinant(spec)
    moves = jnp.asarray([[1, -1], [6, -1], [0, 3], [5, 4], [2, 7], [-1, -1]])
    sigma = jnp.asarray(np.random.default_rng(1).choice([-1, 1], (7, K * N)).astype(np.int8))

    @jax.jit
    def compare(sigma):
        psi = bind(ansatz, params)

        def one(updates, prepared, s):
            cache = updates.cache(prepared, s)
            advanced = jax.vmap(lambda m: updates.log_psi(prepared, updates.advance(prepared, cache, s, m)))(moves)
            return updates.log_psi(prepared, cache), updates.log_ratios(prepared, cache, s, moves), advanced

        return psi.map(one, sigma)

    signs = np.ones((len(moves), K * N), np.int8)
    for row, move in zip(signs, np.asarray(moves), strict=True):
        row[move[move >= 0]] = -1
    flipped = jnp.asarray(np.asarray(sigma)[:, None] * signs).reshape(-1, K * N)
    log_psi = jax.jit(jax.vmap(lambda s: ansatz.log_psi(params, s)))
    exact, here = np.asarray(log_psi(flipped)).reshape(7, -1), np.asarray(log_psi(sigma))
    cached, ratios, advanced = map(np.asarray, compare(sigma))
    regular = np.isfinite(here)
    assert regular.sum() >= 5
    np.testing.assert_allclose(np.exp(cached[regular]), np.exp(here[regular]), rtol=1e-9)
    np.testing.assert_allclose(np.exp(ratios + here[:, None])[regular], np.exp(exact)[regular], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(np.exp(advanced), np.exp(exact), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("spec", [RBM, MLP], ids=["rbm", "mlp"])
def test_derivatives_of_log_psi_equal_finite_differences(spec):
    ansatz, params = determinant(spec)
    sigma = jnp.asarray([1, 1, -1, 1, -1, 1, 1, 1], jnp.int8)
    direction = moved(jax.tree.map(jnp.zeros_like, params), 1.0)
    log_psi = jax.jit(lambda t: ansatz.log_psi(jax.tree.map(lambda p, d: p + t * d, params, direction), sigma))
    derivative = jax.jvp(log_psi, (0.0,), (1.0,))[1]
    assert complex(derivative) == pytest.approx(complex(log_psi(1e-5) - log_psi(-1e-5)) / 2e-5, rel=1e-6)


def every_tuple(ansatz, params):
    """Each configuration of all copies once, weighted with |Ψ|²: full summation."""
    log_psi = log_amplitudes(bind(ansatz, params), ansatz.sector)
    weight = jnp.log(len(log_psi) * jax.nn.softmax(2 * log_psi.real))
    return Samples(jnp.asarray(ansatz.sector.enumerate())[:, None], log_psi[:, None], weight[:, None])


@pytest.mark.parametrize(
    ("spec", "model", "scale"),
    [(RBM, "heisenberg", 0.0), (MLP, "tfim", 0.0), (TABLE, "tfim", 1000.0)],
    ids=["rbm", "mlp", "table"],
)
def test_levels_and_their_observables_are_those_of_the_span(spec, model, scale):
    """Also where one network is larger, the other smaller than any floating-point number."""
    sz = 0.0 if model == "heisenberg" else None
    ansatz, params = determinant(spec, sz)
    single = problem.HAMILTONIANS.build(Spec(name=model), lattice=chain(N))
    each = tuple(
        problem.OBSERVABLES.build(Spec(name=name), lattice=chain(N), hamiltonian=single, sector=Sector(N, sz))
        for name in ("magnetisation", "correlation", "bond_energy")
    )
    lattice = ansatz.lattice
    levels = Levels(hamiltonian=Replicated(single=single, lattice=lattice), lattice=lattice, each=each)
    a = columns(ansatz, params)
    if scale:
        params = jax.tree.map(lambda x: x + jnp.asarray([scale, -scale])[:, None], params)
    samples = every_tuple(ansatz, params)
    sums = jax.device_get(jax.jit(lambda p: averages.group_sums([levels], bind(ansatz, p), samples))(params))
    found = {name: pair[0] for name, pair in averages.estimates([levels], sums).items()}
    inside = Sector(N, sz).indices()

    def operator(terms):
        return dense(terms, N)[np.ix_(inside, inside)]

    basis, _ = np.linalg.qr(a)
    exact, vectors = np.linalg.eigh(basis.conj().T @ operator(single.terms()) @ basis)
    states = basis @ vectors
    np.testing.assert_allclose(found["levels"], exact, rtol=1e-9)
    assert found["gap"] == pytest.approx(exact[1] - exact[0], rel=1e-8)
    p, spins = np.abs(states) ** 2, Sector(N, sz).enumerate().astype(float)
    m2 = spins.mean(1) ** 2
    np.testing.assert_allclose(found["levels/magnetisation_squared"], m2 @ p, rtol=1e-8, atol=1e-10)
    neighbours = np.mean(spins * np.roll(spins, 1, 1), 1) @ p
    np.testing.assert_allclose([found[f"correlation/{a}"][1] for a in range(K)], neighbours, rtol=1e-8)
    if sz is None:  # σˣ leaves the sector
        field = problem.HAMILTONIANS.build(Spec(name="tfim", params={"J": 0.0, "h": -1 / N}), lattice=chain(N))
        x = operator(field.terms())
        np.testing.assert_allclose(
            found["levels/transverse_magnetisation"], np.einsum("sa,st,ta->a", states.conj(), x, states).real, rtol=1e-8
        )
    assert not any(name.startswith("_") for name in found)


def test_copies_of_a_hamiltonian_are_a_kronecker_sum():
    single = problem.HAMILTONIANS.build(Spec(name="tfim", params={"h": 0.7}), lattice=chain(3))
    copies = Replicated(single=single, lattice=Replicas(single=chain(3), copies=2))
    one, identity = dense(single.terms(), 3), np.eye(8)
    np.testing.assert_allclose(dense(copies.terms(), 6), np.kron(one, identity) + np.kron(identity, one), atol=1e-12)


@pytest.mark.parametrize("sz", [None, 0.0])
def test_metropolis_draws_the_determinant(sz):
    """Exchanges stay within a copy; chains of many sweeps, one draw each."""
    ansatz, params = determinant(MLP, sz)
    spec = Spec(name="metropolis", params={"n_samples": 20_000, "n_chains": 20_000, "n_burn": 60})
    sampler = SAMPLERS.build(spec, lattice=ansatz.lattice, sector=ansatz.sector)

    @jax.jit
    def draw(key):
        psi = bind(ansatz, params)
        return sampler.sample(key, psi, sampler.init(key, psi))[0].sigma[:, 0]

    sigma, log_psi = draw(jax.random.key(5)), log_amplitudes(bind(ansatz, params), ansatz.sector)
    assert np.all(jax.vmap(ansatz.sector.contains)(sigma))
    assert chi_square_p(sigma, log_psi, ansatz.sector) > 1e-3
    other = log_amplitudes(bind(ansatz, moved(params, 0.1)), ansatz.sector)
    assert chi_square_p(sigma, other, ansatz.sector) < 1e-6


def test_a_run_of_two_states_ends_at_the_two_lowest_levels():
    two = config(
        lattice={"name": "chain", "params": {"length": N}},
        n_states=K,
        n_steps=80,
        ansatz={"name": "mlp", "params": {"hidden": [8]}},
        sampler={"name": "exact", "params": {"n_samples": 256}},
        optimizer={"name": "minsr", "params": {"learning_rate": 0.1, "diag_shift": 1e-3}},
        precision="float64",
        observables=["magnetisation"],
        measure=1024,
    )
    built = problem.build(two)
    events = [event for event, _ in driver.run(built, driver.init(built, 0))]
    single: Any = built.hamiltonian
    exact = np.linalg.eigvalsh(dense(single.single.terms(), N))[:K]
    last = events[-1]
    assert isinstance(last, StateEvent)
    assert last.result is not None
    levels = last.result["observables"]["levels"]
    np.testing.assert_allclose(levels["mean"], exact, rtol=2e-3)
    assert last.result["energy"] == pytest.approx(exact.sum(), rel=2e-3)
    assert np.shape(last.result["observables"]["levels/magnetisation_squared"]["mean"]) == (K,)
    live = [event for event in events if isinstance(event, MetricsEvent) and "levels" in event.arrays]
    assert np.shape(live[-1].arrays["levels_error"]) == (K,)
    assert {event.n_sites for event in events if isinstance(event, SnapshotEvent)} == {N}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"observables": ["renyi2"]}, "observable 'renyi2' is not available for several states"),
        ({"sector": {"sz": 3.0}}, "the sector of the run has 1 config"),
        ({"sampler": {"name": "autoregressive"}, "ansatz": {"name": "arnn"}}, "needs an autoregressive ansatz"),
    ],
)
def test_what_several_states_cannot_have_is_refused(changes, words):
    model = {"hamiltonian": {"name": "heisenberg"}} if "sector" in changes else {}
    with pytest.raises(ConfigError, match=words):
        problem.build(config(n_states=2, **model, **changes))


def test_psi_is_a_pytree():
    ansatz, params = determinant(MLP)
    assert isinstance(jax.tree.map(jnp.asarray, bind(ansatz, params)), Psi)
