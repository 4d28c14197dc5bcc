"""What is particular to each network; what all share is in tests/contracts."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core.ansatze import ANSATZE, AutoregressiveAnsatz
from nqs_core.ansatze.layers import log_cosh
from nqs_core.config import Spec
from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.sector import Sector
from tests.contracts.variants import SMALL, chain, network

AUTOREGRESSIVE = [
    Spec(name=name, params={**SMALL.get(name, {}), **switch})
    for name in ANSATZE
    if issubclass(ANSATZE[name], AutoregressiveAnsatz)
    for switch in ({}, {"phase": True})
]
N = 6


def every_log_psi(ansatz: Any, params: Any, sigma: Any) -> Any:
    return np.asarray(jax.jit(jax.vmap(ansatz.log_psi, (None, 0)))(params, sigma))


# ---- definitions


def test_log_cosh_is_exact_and_bounded_everywhere():
    x = np.array([0.0, 1e-8, 0.3, -2.0, 15.0, -15.0])
    np.testing.assert_allclose(log_cosh(jnp.asarray(x)), np.log(np.cosh(x)), rtol=1e-14, atol=3e-16)
    np.testing.assert_allclose(log_cosh(jnp.array([1e4, -1e30])), [1e4 - np.log(2), 1e30], rtol=1e-15)
    z = np.array([0.3 + 1.1j, -0.3 + 1.1j, -2 - 3j, 5j, 1 + 20j])
    np.testing.assert_allclose(np.exp(log_cosh(jnp.asarray(z))), np.cosh(z), rtol=1e-13)
    far = log_cosh(jnp.array([400 + 1j, -400 + 1j]))  # cosh itself overflows beyond 710
    np.testing.assert_allclose(far.real, 400 - np.log(2), rtol=1e-15)
    np.testing.assert_allclose(np.exp(1j * far.imag), np.exp([1j, -1j]), rtol=1e-13)


def test_log_cosh_has_the_derivative_tanh():
    for x in (0.0, 0.7, -30.0):
        assert jax.grad(log_cosh)(x) == pytest.approx(np.tanh(x), abs=1e-15)
    z = 0.4 - 0.9j
    assert jax.grad(log_cosh, holomorphic=True)(z) == pytest.approx(np.tanh(z), rel=1e-13)
    assert jax.grad(log_cosh, holomorphic=True)(-z) == pytest.approx(-np.tanh(z), rel=1e-13)


@pytest.mark.parametrize("is_complex", [False, True])
def test_rbm_is_a_product_of_hyperbolic_cosines(is_complex):
    ansatz, params = network(Spec(name="rbm", params={"alpha": 2, "complex": is_complex}))
    p = params["params"]
    sigma = Sector(N).enumerate()
    theta = sigma @ np.asarray(p["hidden"]["kernel"]) + np.asarray(p["hidden"]["bias"])
    assert theta.shape == (64, 12)
    psi = np.exp(sigma @ np.asarray(p["visible"])) * np.prod(2 * np.cosh(theta), axis=1)
    np.testing.assert_allclose(np.exp(every_log_psi(ansatz, params, sigma)), psi, rtol=1e-12)


def test_jastrow_counts_each_pair_once():
    ansatz, params = network(Spec(name="jastrow", params={"field": True}))
    sigma = Sector(N).enumerate()
    w = np.zeros((N, N))
    w[np.triu_indices(N, 1)] = params["params"]["pairs"]
    expected = np.einsum("si,ij,sj->s", sigma, w, sigma) + sigma @ np.asarray(params["params"]["field"])
    np.testing.assert_allclose(every_log_psi(ansatz, params, sigma), expected, atol=1e-12)


def test_jastrow_without_a_field_is_even():
    ansatz, params = network(Spec(name="jastrow"))
    sigma = Sector(N).random(jax.random.key(0), 10)
    even = every_log_psi(ansatz, params, sigma) - every_log_psi(ansatz, params, -sigma)
    np.testing.assert_allclose(even, 0, atol=1e-14)


def test_jastrow_refuses_pairs_that_do_not_fit():
    with pytest.raises(TooLargeError, match=r"1000000 sites have 5e\+11 pairs.*limit is 10000"):
        ANSATZE.build(Spec(name="jastrow"), lattice=chain(1_000_000), sector=Sector(1_000_000))


@pytest.mark.parametrize(
    ("name", "params", "problem"),
    [("rbm", {"alpha": 0}, "alpha"), ("mlp", {"hidden": []}, "hidden"), ("mlp", {"hidden": [0]}, "hidden")],
)
def test_bad_sizes_are_refused_by_name(name, params, problem):
    with pytest.raises(ConfigError, match=problem):
        ANSATZE.build(Spec(name=name, params=params), lattice=chain(4), sector=Sector(4))


# ---- autoregressive networks


@pytest.mark.parametrize("sz", [None, 0.0, 1.0, 3.0])
@pytest.mark.parametrize("spec", AUTOREGRESSIVE, ids=str)
def test_psi_is_normalised(spec, sz):
    ansatz, params = network(spec, sz=sz, spread=0.8)
    inside = every_log_psi(ansatz, params, Sector(N, sz).enumerate())
    everywhere = every_log_psi(ansatz, params, Sector(N).enumerate())
    assert np.sum(np.exp(2 * inside.real)) == pytest.approx(1, abs=1e-12)
    assert np.sum(np.exp(2 * everywhere.real)) == pytest.approx(1, abs=1e-12)  # nothing outside
    assert np.all(np.isfinite(everywhere))


@pytest.mark.parametrize("spec", AUTOREGRESSIVE, ids=str)
def test_conditionals_know_earlier_spins_only(spec):
    ansatz, params = network(spec, spread=0.8)
    conditionals = jax.jit(jax.vmap(partial(ansatz.conditionals, params)))
    sigma = Sector(N).random(jax.random.key(0), 20)
    reference = conditionals(sigma)
    np.testing.assert_allclose(np.exp(reference).sum(-1), 1, atol=1e-12)
    for j in range(N):
        changed = np.abs(conditionals(sigma.at[:, j].multiply(-1)) - reference).max(axis=(0, 2))
        assert np.all(changed[: j + 1] == 0)
        assert np.all(changed[j + 1 :] > 1e-3)  # and every later one is told


@pytest.mark.parametrize("spec", AUTOREGRESSIVE, ids=str)
def test_the_phase_is_no_function_of_earlier_spins_alone(spec):
    ansatz, params = network(spec, spread=0.8)
    log_psi = every_log_psi(ansatz, params, Sector(N).enumerate())
    rows = jax.jit(jax.vmap(partial(ansatz.conditionals, params)))(jnp.asarray(Sector(N).enumerate()))
    picked = np.where(Sector(N).enumerate() > 0, rows[..., 0], rows[..., 1]).sum(1)
    np.testing.assert_allclose(2 * log_psi.real, picked, atol=1e-12)
    assert ansatz.signed == (np.ptp(log_psi.imag) > 0.1)


@pytest.mark.parametrize("sz", [None, -1.0])
@pytest.mark.parametrize("spec", AUTOREGRESSIVE, ids=str)
def test_sampled_log_psi_is_the_evaluated_one(spec, sz):
    ansatz, params = network(spec, sz=sz, spread=0.8)
    sigma, log_psi = jax.jit(lambda k: ansatz.sample(params, k, 300))(jax.random.key(0))
    assert sigma.shape == (300, N)
    assert sigma.dtype == jnp.int8
    assert len(np.unique(sigma, axis=0)) > 5
    assert jnp.all(jax.vmap(ansatz.sector.contains)(sigma))
    np.testing.assert_allclose(log_psi, every_log_psi(ansatz, params, sigma), atol=1e-11)


def test_a_sector_that_is_almost_full_is_sampled_without_a_slip():
    """Probabilities of exactly 0 and 1 meet random numbers of exactly 0: no sample may leave the sector."""
    ansatz, params = network(Spec(name="arnn", params={"features": 3}), sz=2.0, precision="float32", spread=3.0)
    sigma, log_psi = jax.jit(lambda k: ansatz.sample(params, k, 20_000))(jax.random.key(0))
    assert np.all(np.asarray(sigma).sum(1) == 4)
    assert np.all(np.isfinite(log_psi))
