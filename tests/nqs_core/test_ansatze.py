"""What is particular to each network; what all share is in tests/contracts."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core.ansatze import ANSATZE
from nqs_core.ansatze.layers import log_cosh
from nqs_core.config import Spec
from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.sector import Sector
from tests.contracts.variants import chain, network

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
