"""Kernel and products with log-derivatives against the Jacobian that is written out."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from nqs_core import jacobian as jacobian_module
from nqs_core.ansatze import ANSATZE, taps
from nqs_core.config import Spec
from nqs_core.jacobian import describe, log_derivative_sum, neural_tangent_kernel, plan
from nqs_core.lattices import LATTICES
from nqs_core.sector import Sector
from tests.contracts.variants import moved
from tests.nqs_core.systems import NETWORKS


def network(name, params, n_sites=4):
    lattice = LATTICES.build(Spec(name="chain", params={"length": n_sites}))
    ansatz = ANSATZE.build(Spec(name=name, params=params), lattice=lattice, sector=Sector(n_sites), precision="float64")
    return ansatz, moved(ansatz.init(jax.random.key(1)))


def real_jacobian(ansatz, params, sigma):
    """Rows Re log ψ, then Im log ψ where it is complex; columns: real and imaginary parts of all parameters."""
    flat, unravel = ravel_pytree(params)
    is_complex = jnp.iscomplexobj(flat)

    def outputs(x):
        theta = unravel(x[: flat.size] + 1j * x[flat.size :] if is_complex else x)
        log_psi = jax.vmap(partial(ansatz.log_psi, theta))(sigma)
        return jnp.concatenate([log_psi.real, log_psi.imag]) if ansatz.signed else log_psi

    x = jnp.concatenate([flat.real, flat.imag]) if is_complex else flat
    return np.asarray(jax.jit(jax.jacrev(outputs))(x))


def as_real(tree):
    flat = ravel_pytree(tree)[0]
    return np.concatenate([flat.real, flat.imag]) if jnp.iscomplexobj(flat) else np.asarray(flat)


@pytest.mark.parametrize(("name", "params"), NETWORKS)
def test_kernel_and_sums_equal_the_dense_jacobian(name, params):
    ansatz, theta = network(name, params)
    sigma = jnp.asarray(Sector(4).enumerate()[[0, 3, 5, 6, 9, 12, 15]])
    jacobian = real_jacobian(ansatz, theta, sigma)
    kernel = jax.jit(partial(neural_tangent_kernel, ansatz))(theta, sigma)
    np.testing.assert_allclose(kernel, jacobian @ jacobian.T, rtol=1e-10, atol=1e-10)
    x = np.random.default_rng(0).normal(size=len(jacobian))
    coefficients = x[: len(sigma)] + (1j * x[len(sigma) :] if ansatz.signed else 0)
    total = jax.jit(partial(log_derivative_sum, ansatz))(theta, sigma, jnp.asarray(coefficients))
    np.testing.assert_allclose(as_real(total), jacobian.T @ x, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("name", "params"), NETWORKS[4:7])
def test_every_way_to_the_kernel_is_the_same(name, params, monkeypatch):
    """All layers by inputs and signals, convolutions too; all leaves by gradients, in three passes."""
    ansatz, theta = network(name, params)
    sigma = jnp.asarray(Sector(4).enumerate()[[0, 3, 5, 6, 9, 12, 15]])
    jacobian = real_jacobian(ansatz, theta, sigma)
    usual = plan(ansatz, theta, 7)
    layers = taps.layers(ansatz, theta)
    rest = tuple(x for x in taps.leaves(theta) if x.rpartition("/")[0] not in layers)
    ways = [
        usual._replace(signals=layers, gradients=(rest,)),
        usual._replace(signals={}, gradients=tuple(tuple(list(taps.leaves(theta))[i::3]) for i in range(3)), chunk=3),
    ]
    assert len(layers) > 2
    for way in ways:
        kernel = jax.jit(partial(neural_tangent_kernel, ansatz, made=way))(theta, sigma)
        np.testing.assert_allclose(kernel, jacobian @ jacobian.T, rtol=1e-10, atol=1e-10)
    monkeypatch.setattr(jacobian_module, "backward_at_once", lambda ansatz, n: 3)
    total = jax.jit(partial(log_derivative_sum, ansatz))(theta, sigma, jnp.ones(7))
    np.testing.assert_allclose(as_real(total), jacobian[:7].sum(0), rtol=1e-10, atol=1e-10)


def test_the_way_depends_on_the_shape_and_is_told_in_words():
    ansatz, theta = network("vit", {"features": 6, "layers": 1, "heads": 2})
    text = describe(ansatz, theta, 100)
    assert "layers by inputs and signals: expand (2 x 6 -> 24), reduce (2 x 24 -> 6)" in text
    assert "attention/alpha" in text.split("per-sample gradients")[1]
    ansatz, theta = network("rescnn", {"channels": 4, "blocks": 1})
    assert "signals" not in describe(ansatz, theta, 100)
    assert plan(ansatz, theta, 100).gradients == (tuple(taps.leaves(theta)),)


def test_gradients_that_do_not_fit_are_made_in_several_passes(monkeypatch):
    ansatz, theta = network("rescnn", {"channels": 4, "blocks": 1})
    monkeypatch.setattr(jacobian_module, "GRADIENT_BYTES", 100 * 8 * 60)
    made = plan(ansatz, theta, 100)
    assert len(made.gradients) > 1
    assert sorted(x for group in made.gradients for x in group) == sorted(taps.leaves(theta))
    assert "passes" in describe(ansatz, theta, 100)


def test_a_layer_that_is_called_twice_is_not_taken_for_a_dense_one():
    """The fast path must notice weight sharing: the kernel of two calls is no product."""
    import flax.linen as nn

    from nqs_core.registry import component, context

    class Shared(nn.Module):
        @nn.compact
        def __call__(self, sigma):
            layer = nn.Dense(3, param_dtype=jnp.float64, dtype=jnp.float64)
            x = sigma.astype(jnp.float64)
            return jnp.sum(jnp.tanh(layer(x)) * jnp.tanh(layer(x[::-1])))

    @component
    class Twice(ANSATZE["jastrow"].__mro__[1]):
        lattice: object = context()
        sector: object = context()
        precision: str = context("float64")
        signed: bool = context(False)
        receptive_field: tuple = context((4,))

        def init(self, key):
            return Shared().init(key, jnp.ones(4, jnp.int8))

        def log_psi(self, params, sigma):
            return Shared().apply(params, sigma)

    ansatz = Twice(lattice=LATTICES.build(Spec(name="chain", params={"length": 4})), sector=Sector(4))
    theta = ansatz.init(jax.random.key(0))
    sigma = jnp.asarray(Sector(4).enumerate()[:5])
    jacobian = real_jacobian(ansatz, theta, sigma)
    np.testing.assert_allclose(neural_tangent_kernel(ansatz, theta, sigma), jacobian @ jacobian.T, atol=1e-12)
