"""What all autoregressive networks have from their base: tokens, normalisation, sectors, sampling, prefix reuse."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core.ansatze import ANSATZE, SequentialAnsatz, on_tokens, prefix, sequential
from nqs_core.ansatze.tokens import Tokens, of_lattice
from nqs_core.config import Spec
from nqs_core.errors import ConfigError
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.operators import compile
from nqs_core.sector import Sector
from tests.contracts.variants import SMALL, chain, label, moved, network
from tests.nqs_core.distribution import chi_square_p
from tests.nqs_core.small import lattice

N = 10  # sites
EVERY = [name for name in ANSATZE if issubclass(ANSATZE[name], SequentialAnsatz)]


def of(name: str, **params: Any) -> Spec:
    return Spec(name=name, params={**SMALL.get(name, {}), **params})


# Every network with a phase; the switches of the base with one of them.
SPECS = [of(name, phase=True) for name in EVERY]
WIDE = of("gru", embedding=4, layers=2, head_layers=2)
FLOORED = of("transformer", positions="rotary", p_floor=0.02, patch=2, head=3, phase=False)
SWITCHES = [
    of("arnn"),
    of("arnn", patch=2, phase=True),
    of("arnn", inversion="odd", phase=True, patch=5),
    WIDE,
    FLOORED,
]
every_network = pytest.mark.parametrize("spec", [*SPECS, *SWITCHES], ids=label)


@partial(jax.jit, static_argnums=0)
def every_log_psi(ansatz: Any, params: Any, sigma: Any) -> Any:
    return jax.vmap(ansatz.log_psi, (None, 0))(params, sigma)


# ---- tokens


def test_the_walk_goes_along_rows_or_to_and_fro() -> None:
    square = lattice("square", extent=[3, 4])
    assert of_lattice("arnn", square, 1, "row").groups == tuple((k,) for k in range(12))
    assert [g[0] for g in of_lattice("arnn", square, 1, "snake").groups] == [0, 1, 2, 3, 7, 6, 5, 4, 8, 9, 10, 11]
    cubic = lattice("cubic", extent=[2, 3, 2])
    at = cubic.positions()[[g[0] for g in of_lattice("arnn", cubic, 1, "snake").groups]]
    np.testing.assert_allclose(np.abs(np.diff(at, axis=0)).sum(axis=1), 1)


def test_a_patch_is_one_token() -> None:
    square = lattice("square", extent=[4, 4])
    tokens = of_lattice("arnn", square, 2, "snake")
    assert tokens.groups == ((0, 1, 4, 5), (2, 3, 6, 7), (10, 11, 14, 15), (8, 9, 12, 13))
    assert (tokens.n_tokens, tokens.n_letters) == (4, 16)


def test_letters_and_configurations_invert_each_other() -> None:
    tokens = Tokens(((4, 0), (2,), (1, 3, 5)))
    sigma = jnp.asarray(Sector(6).enumerate())
    letters = jax.vmap(tokens.encode)(sigma)
    assert np.array_equal(jax.vmap(tokens.decode)(letters), sigma)
    assert len(np.unique(letters, axis=0)) == 64
    assert np.all(tokens.is_letter[np.arange(3), letters])
    assert np.array_equal(tokens.n_up[np.arange(3), letters].sum(axis=1), (np.asarray(sigma) > 0).sum(axis=1))


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        (((0,), (0, 1)), "every site"),
        (((0,), (2,)), "every site"),
        (((0,), ()), "empty"),
        ((tuple(range(11)),), "2\\^11"),
    ],
)
def test_groups_that_are_no_tokens_are_refused(groups: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Tokens(groups)


def build(spec: Spec, n: int = N, sz: float | None = None, tokens: Any = None) -> Any:
    return ANSATZE.build(spec, lattice=chain(n), sector=Sector(n, sz), precision="float64", tokens=tokens)


@pytest.mark.parametrize(
    ("params", "sz", "problem"),
    [
        ({"inversion": "even"}, 1.0, "leaves sz = 1"),
        ({"inversion": "odd"}, None, "needs phase = true"),
        ({"patch": 3}, None, "patch = 3 must divide"),
    ],
)
def test_what_does_not_fit_is_refused(params: Any, sz: float | None, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        build(of("arnn", **params), sz=sz)


# ---- the state


@pytest.mark.parametrize("sz", [None, 3.0])
@every_network
def test_psi_is_normalised_and_vanishes_outside_its_sector(spec: Spec, sz: float | None) -> None:
    if sz and spec.params.get("inversion"):
        pytest.skip("refused")
    ansatz, params = network(spec, N, sz, spread=0.8)
    everywhere: Any = every_log_psi(ansatz, params, jnp.asarray(Sector(N).enumerate()))
    inside = everywhere[Sector(N, sz).indices()]
    assert abs(np.sum(np.exp(2 * inside.real)) - 1) < 1e-10
    assert abs(np.sum(np.exp(2 * everywhere.real)) - 1) < 1e-10
    assert np.all(np.isfinite(everywhere))
    assert ansatz.signed == bool(np.ptp(inside.imag) > 0.1)


@pytest.mark.parametrize(("inversion", "sign"), [("even", 1), ("odd", -1)])
def test_inversion_gives_a_parity(inversion: str, sign: int) -> None:
    ansatz, params = network(of("arnn", inversion=inversion, phase=True), 6, spread=0.8)
    sigma = jnp.asarray(Sector(6).enumerate())
    psi = np.exp(every_log_psi(ansatz, params, sigma))
    np.testing.assert_allclose(psi[::-1], sign * psi, rtol=1e-12)


@every_network
def test_rows_know_earlier_tokens_only(spec: Spec) -> None:
    """Changing a letter leaves its own row and all before it to the last bit, and every later one is told."""
    ansatz, params = network(spec, N, spread=0.4)
    tokens = ansatz.letters
    letters = jax.vmap(tokens.encode)(Sector(N).random(jax.random.key(0), 8))
    rows = jax.jit(jax.vmap(partial(ansatz.log_rows, params)))
    reference: Any = np.asarray(rows(letters))
    np.testing.assert_allclose(np.exp(2 * reference.real).sum(-1), 1, atol=1e-12)
    for j in range(tokens.n_tokens):
        changed = np.abs(np.asarray(rows(letters.at[:, j].add(1) % tokens.n_letters)) - reference).max(axis=(0, 2))
        assert np.all(changed[: j + 1] == 0)
        assert np.all(changed[j + 1 :] > 1e-6)


# ---- sampling


@pytest.mark.parametrize("sz", [None, -1.0])
@every_network
def test_sampled_log_psi_is_the_evaluated_one(spec: Spec, sz: float | None) -> None:
    if sz and spec.params.get("inversion"):
        pytest.skip("refused")
    ansatz, params = network(spec, N, sz, spread=0.4)
    sigma, log_psi = jax.jit(lambda k: ansatz.sample(params, k, 300))(jax.random.key(0))
    assert (sigma.shape, sigma.dtype) == ((300, N), jnp.int8)
    assert len(np.unique(sigma, axis=0)) > 5
    assert np.all(jax.vmap(ansatz.sector.contains)(sigma))
    padded = jnp.concatenate([sigma, jnp.ones((2**N - 300, N), jnp.int8)])  # a shape that is compiled already
    np.testing.assert_allclose(log_psi, every_log_psi(ansatz, params, padded)[:300], atol=1e-11)


def p_value(ansatz: Any, params: Any) -> float:
    sigma = jax.jit(lambda k: ansatz.sample(params, k, 20_000)[0])(jax.random.key(3))
    log_psi = every_log_psi(ansatz, params, jnp.asarray(ansatz.sector.enumerate()))
    assert np.exp(2 * np.ptp(log_psi.real)) > 20  # peaked
    return chi_square_p(sigma, log_psi, ansatz.sector)


@pytest.mark.parametrize("spec", [*SPECS, of("arnn", inversion="odd", phase=True, patch=2)], ids=label)
def test_samples_follow_psi_squared(spec: Spec) -> None:
    assert p_value(*network(spec, 6, 0.0, spread=1.5)) > 1e-3


@pytest.mark.parametrize("broken", ["amplitude", "letter", "sign"])
def test_wrong_draws_are_caught(monkeypatch: Any, broken: str) -> None:
    """Twins: |ψ| for |ψ|², a letter at the wrong end of the table, an inversion that is never undone."""
    spec = of("arnn", inversion="even", patch=2) if broken == "sign" else of("arnn")
    draw = sequential.draw
    if broken == "amplitude":
        monkeypatch.setattr(sequential, "draw", lambda log_p, u: draw(log_p / 2, u))
    elif broken == "letter":
        monkeypatch.setattr(sequential, "draw", lambda log_p, u: draw(log_p[::-1], u))
    else:
        monkeypatch.setattr(jax.random, "rademacher", lambda key, shape, dtype: jnp.ones(shape, dtype))
    assert p_value(*network(spec, 6, spread=0.5)) < 1e-6


def test_a_sector_that_is_almost_full_is_sampled_without_a_slip() -> None:
    """Probabilities of exactly 0 and 1 meet random numbers of exactly 0: no sample may leave the sector."""
    ansatz, params = network(of("arnn"), 6, 2.0, precision="float32", spread=3.0)
    sigma, log_psi = jax.jit(lambda k: ansatz.sample(params, k, 20_000))(jax.random.key(0))
    assert np.all(np.asarray(sigma).sum(1) == 4)
    assert np.all(np.isfinite(log_psi))


@pytest.mark.parametrize("u", [0.0, 1 - 2.0**-53])
def test_no_letter_of_probability_zero_is_drawn_at_the_ends(u: float) -> None:
    log_p = jnp.log(jnp.array([0.0, 0.3, 0.7, 0.0], jnp.float32) * (1 - 1e-6))
    assert int(sequential.draw(log_p, jnp.asarray(u))) in (1, 2)


# ---- prefix reuse


class Counter:
    """Counts the steps of a network as they run, one for each configuration."""

    def __init__(self, monkeypatch: Any) -> None:
        self.steps, step = 0, SequentialAnsatz.step

        def counted(ansatz: Any, prepared: Any, carry: Any, j: Any, letter: Any, n_up: Any) -> Any:
            jax.debug.callback(self.add, letter)
            return step(ansatz, prepared, carry, j, letter, n_up)

        monkeypatch.setattr(SequentialAnsatz, "step", counted)

    def add(self, letter: Any) -> None:
        self.steps += np.size(letter)


N_CONFIGURATIONS = 8  # a whole block


def steps(monkeypatch: Any, terms: Any, n: int, sz: float | None) -> int:
    """Network steps of the local energies of as many configurations as a block has moves, for each of them."""
    ansatz = build(of("arnn", features=1, layers=1), n, sz)
    params, moves = moved(ansatz.init(jax.random.key(0))), jnp.asarray(compile(terms, n).moves)
    monkeypatch.setattr(prefix, "ON_CPU", N_CONFIGURATIONS)
    counter, updates = Counter(monkeypatch), ansatz.local_updates()

    def ratios(s: Any) -> Any:
        return updates.log_ratios(params, updates.cache(params, s), s, moves, jnp.ones(len(moves), bool))

    jax.block_until_ready(jax.jit(jax.vmap(ratios))(Sector(n, sz).random(jax.random.key(1), N_CONFIGURATIONS)))
    jax.effects_barrier()
    assert counter.steps % N_CONFIGURATIONS == 0
    return counter.steps // N_CONFIGURATIONS


def test_all_flips_cost_half_of_their_forward_passes(monkeypatch: Any) -> None:
    """(n + 1) / 2n of the n forward passes of n steps, the one of the configuration itself included."""
    hamiltonian = HAMILTONIANS.build(Spec(name="tfim"), lattice=chain(8))
    assert steps(monkeypatch, hamiltonian.terms(), 8, None) == 8 * 8 * (8 + 1) / (2 * 8)


def test_exchanges_cost_what_follows_their_first_site(monkeypatch: Any) -> None:
    """Σ_bonds (n - min(i, j)), less one step each, whose row is known, and n for the configuration itself."""
    ring = chain(8)
    hamiltonian = HAMILTONIANS.build(Spec(name="heisenberg"), lattice=ring)
    bonds = ring.bonds()
    assert steps(monkeypatch, hamiltonian.terms(), 8, 0.0) == np.sum(8 - bonds.min(axis=1)) - len(bonds) + 8


@every_network
def test_ratios_in_a_sector_equal_full_forward_passes(spec: Spec) -> None:
    ansatz, params = network(spec, 10, 0.0, spread=0.5)
    sigma = Sector(10, 0.0).random(jax.random.key(0), 6)
    pairs = jnp.asarray(np.stack(np.triu_indices(10, 1), axis=1))
    updates = ansatz.local_updates()

    @jax.jit
    @jax.vmap
    def ratios(s: Any) -> Any:
        allowed = s[pairs[:, 0]] != s[pairs[:, 1]]
        return updates.log_ratios(params, updates.cache(params, s), s, pairs, allowed)

    allowed = np.asarray(sigma[:, pairs[:, 0]] != sigma[:, pairs[:, 1]])
    turned = np.where((np.arange(10) == np.asarray(pairs)[..., None]).any(axis=1), -sigma[:, None], sigma[:, None])
    padded = np.concatenate([turned[allowed], np.asarray(sigma), np.ones((2**10, 10), np.int8)])[: 2**10]
    log_psi = np.asarray(every_log_psi(ansatz, params, jnp.asarray(padded)))
    n = allowed.sum()
    expected = log_psi[:n] - log_psi[n : n + 6][np.nonzero(allowed)[0]]
    np.testing.assert_allclose(np.exp(np.asarray(ratios(sigma))[allowed]), np.exp(expected), rtol=1e-9)


# ---- explicit tokens


def test_tokens_may_be_any_groups_of_sites() -> None:
    """One token for each site of two copies, as the proposal of two states needs: no lattice is asked."""
    groups = tuple((k, k + 5) for k in range(5))
    ansatz = on_tokens(of("transformer", phase=False), groups, precision="float64")
    params = moved(jax.jit(ansatz.init)(jax.random.key(0)), 0.8)
    assert (ansatz.letters.n_tokens, ansatz.letters.n_letters) == (5, 4)
    log_psi = every_log_psi(ansatz, params, jnp.asarray(Sector(N).enumerate()))
    assert abs(np.sum(np.exp(2 * log_psi)) - 1) < 1e-10
    with pytest.raises(ConfigError, match="tokens hold 4 sites, not 10"):
        build(of("arnn"), tokens=((0, 1), (2, 3)))
    with pytest.raises(ConfigError, match="'rbm' is not autoregressive"):
        on_tokens(Spec(name="rbm"), groups)
