"""Update rules on full summation, where energies and gradients are exact."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import estimators
from nqs_core.config import Spec
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.jacobian import force
from nqs_core.operators import compile
from nqs_core.optimizers import OPTIMIZERS
from nqs_core.optimizers.base import Batch
from nqs_core.optimizers.minsr import solve_shifted
from nqs_core.sector import Sector
from nqs_core.wavefunction import bind
from tests.contracts.variants import moved
from tests.nqs_core.systems import NETWORKS, dense, log_amplitudes
from tests.nqs_core.test_jacobian import as_real, network, real_jacobian


def hamiltonian(ansatz):
    return HAMILTONIANS.build(Spec(name="tfim", params={"h": 0.7}), lattice=ansatz.lattice)


def full_batch(ansatz, params):
    """The whole basis with weights |ψ|²: every mean is exact."""
    n = ansatz.lattice.n_sites
    sigma = jnp.asarray(Sector(n).enumerate())
    log_psi = log_amplitudes(ansatz, params, sigma)
    log_weight = jax.nn.log_softmax(2 * log_psi.real) + np.log(len(sigma))
    operator = compile(hamiltonian(ansatz).terms(), n)
    e_loc = jax.jit(lambda p: estimators.local_values(bind(ansatz, p), operator, sigma))(params)
    return Batch(bind(ansatz, params), sigma, log_psi, log_weight, e_loc)


def updated(rule, batch, state=None, seed=0):
    """What `update` returns; compiled whole: operation by operation it takes ten times as long."""
    return jax.jit(lambda b, s: rule.update(jax.random.key(seed), b, s))(batch, state)


def exact_energy(ansatz, params):
    n = ansatz.lattice.n_sites
    psi = np.exp(log_amplitudes(ansatz, params, jnp.asarray(Sector(n).enumerate())))
    return float(np.real(psi.conj() @ dense(hamiltonian(ansatz).terms(), n) @ psi) / np.real(psi.conj() @ psi))


@pytest.mark.parametrize(("name", "params"), NETWORKS)
def test_force_is_half_the_gradient_of_the_exact_energy(name, params):
    ansatz, theta = network(name, params)
    batch = full_batch(ansatz, theta)
    weights = jax.nn.softmax(batch.log_weight)
    gradient = as_real(jax.jit(partial(force, ansatz))(theta, batch.sigma, weights, batch.e_loc))
    direction = jax.tree.map(lambda a, b: a - b, moved(theta, 1.0), theta)
    h = 1e-5
    up, down = (jax.tree.map(lambda a, b, s=s: a + s * h * b, theta, direction) for s in (1, -1))
    slope = (exact_energy(ansatz, up) - exact_energy(ansatz, down)) / (2 * h)
    np.testing.assert_allclose(2 * gradient @ as_real(direction), slope, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("name", "params"), NETWORKS[1:3])
def test_energy_falls_at_every_small_step(optimizer, name, params):
    ansatz, theta = network(name, params)
    rule = OPTIMIZERS.build(Spec(name=optimizer, params={"learning_rate": 2e-3}), n_steps=5.0)
    step = jax.jit(lambda key, p, state: rule.update(key, full_batch(ansatz, p), state))
    state, energies = rule.init(theta), [exact_energy(ansatz, theta)]
    for k in range(5):
        theta, state, info = step(jax.random.key(k), theta, state)
        energies.append(exact_energy(ansatz, theta))
        assert all(np.isfinite(v) for v in info.scalars.values())
    assert np.all(np.diff(energies) < 0), energies


@pytest.mark.parametrize(("name", "params"), NETWORKS)
def test_minsr_is_dense_stochastic_reconfiguration(name, params):
    ansatz, theta = network(name, params)
    batch = full_batch(ansatz, theta)
    rate, shift = 0.01, 1e-2
    rule = OPTIMIZERS.build(
        Spec(name="minsr", params={"learning_rate": rate, "diag_shift": shift, "max_fs_step": 10.0}), n_steps=1.0
    )
    new, _, _ = updated(rule, batch)
    w = np.asarray(jax.nn.softmax(batch.log_weight))
    w = np.tile(w, 2 if ansatz.signed else 1)
    jacobian = real_jacobian(ansatz, theta, batch.sigma).copy()
    n = len(batch.sigma)
    blocks = [slice(i, i + n) for i in range(0, len(jacobian), n)]
    for b in blocks:
        jacobian[b] -= w[b] @ jacobian[b]
    e = np.asarray(batch.e_loc) - w[:n] @ np.asarray(batch.e_loc)
    f = jacobian.T @ (w * (np.concatenate([np.real(e), np.imag(e)]) if ansatz.signed else np.real(e)))
    s = jacobian.T @ (w[:, None] * jacobian)
    step = np.linalg.solve(s + shift * np.eye(len(s)), f)
    np.testing.assert_allclose(as_real(theta) - as_real(new), rate * step, rtol=1e-8, atol=1e-11)


def test_a_repeated_sample_equals_a_weight():
    ansatz, theta = network("rbm", {"alpha": 1})
    full = full_batch(ansatz, theta)
    pick = np.array([1, 1, 1, 4, 4, 7, 8, 9])
    unique, counts = np.unique(pick, return_counts=True)
    rule = OPTIMIZERS.build(Spec(name="minsr"), n_steps=1.0)

    def update(index, log_weight):
        batch = Batch(full.psi, full.sigma[index], full.log_psi[index], jnp.asarray(log_weight), full.e_loc[index])
        return as_real(updated(rule, batch)[0])

    plain = update(pick, np.zeros(len(pick)))
    weighted = update(unique, np.log(counts * len(unique) / len(pick)))
    np.testing.assert_allclose(plain, weighted, rtol=1e-8, atol=1e-10)


def test_the_step_in_the_space_of_states_is_bounded():
    ansatz, theta = network("rbm", {"alpha": 1})
    batch = full_batch(ansatz, theta)
    wild = OPTIMIZERS.build(Spec(name="minsr", params={"learning_rate": 5.0, "max_fs_step": 0.05}), n_steps=1.0)
    new, _, info = updated(wild, batch)
    assert float(info.scalars["fs_step"]) == pytest.approx(0.05)
    before, after = (np.exp(log_amplitudes(ansatz, p, batch.sigma)) for p in (theta, new))
    overlap = (before @ after) ** 2 / ((before @ before) * (after @ after))
    assert np.arccos(np.sqrt(overlap)) == pytest.approx(0.05, rel=0.2)


def test_an_indefinite_kernel_is_solved_by_eigenvalues():
    """Cholesky fails on a kernel that rounding left slightly indefinite; the answer must stay finite and right."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(12, 3)).astype(np.float32)
    kernel = jnp.asarray(root @ root.T * 100)
    f = jnp.asarray(root @ rng.normal(size=3))
    x = solve_shifted(kernel - 1e-3 * jnp.eye(12, dtype=jnp.float32), 1e-9, f)
    assert np.all(np.isfinite(x))
    np.testing.assert_allclose(np.asarray(kernel) @ np.asarray(x), f, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("m", [256, 257, 700])
def test_solve_in_blocks_is_the_solve(m: int) -> None:
    rng = np.random.default_rng(m)
    rows = rng.normal(size=(m, 40))
    kernel, residual = rows @ rows.T, rng.normal(size=m)
    x = solve_shifted(jnp.asarray(kernel), 0.3, jnp.asarray(residual))
    np.testing.assert_allclose(x, np.linalg.solve(kernel + 0.3 * np.eye(m), residual), rtol=0, atol=1e-9)
