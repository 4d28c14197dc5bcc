"""Surrogates of pwo and prox on full summation, where gradients and metrics are exact; a Hamiltonian with signs."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import estimators
from nqs_core.config import Spec
from nqs_core.derivatives import as_vector, vector_to_tree
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.operators import compile
from nqs_core.optimizers import OPTIMIZERS
from nqs_core.optimizers.base import Batch
from nqs_core.optimizers.moves import usable
from nqs_core.optimizers.prox import misfit
from nqs_core.optimizers.ratios import change_of_energy, compare, distance, loss_gradient
from nqs_core.sector import Sector
from nqs_core.wavefunction import bind
from tests.nqs_core.systems import NETWORKS, dense
from tests.nqs_core.test_jacobian import network

N = 4
STRINGS = "1.0 X0 X1\n0.7 Y1 Y2\n-0.4 Z2 Z3\n0.5 Y0\n0.3 X3\n0.6 Y0 X2\n0.2 Z1"


@pytest.fixture(scope="module", params=[NETWORKS[2], NETWORKS[7]], ids=["complex", "normalised"])
def case(request):
    """The network, its parameters, the samples (the whole basis) and the energy as a function of the parameters."""
    name, params = request.param
    ansatz, theta = network(name, params | ({"phase": True} if name == "arnn" else {}))
    hamiltonian = HAMILTONIANS.build(Spec(name="custom", params={"strings": STRINGS}), lattice=ansatz.lattice)
    sigma = jnp.asarray(Sector(N).enumerate())
    matrix = jnp.asarray(dense(hamiltonian.terms(), N))
    log_psi = partial(jax.vmap(ansatz.log_psi, in_axes=(None, 0)), theta)(sigma)
    operator = compile(hamiltonian.terms(), N)
    e_loc = jax.jit(lambda p: estimators.local_values(bind(ansatz, p), operator, sigma))(theta)
    weights = jax.nn.log_softmax(2 * log_psi.real) + np.log(2**N)

    @jax.jit
    def energy(p):
        psi = jnp.exp(jax.vmap(partial(ansatz.log_psi, p))(sigma))
        return jnp.real(jnp.vdot(psi, matrix @ psi)) / jnp.real(jnp.vdot(psi, psi))

    return ansatz, theta, usable(Batch(bind(ansatz, theta), sigma, log_psi, weights, e_loc)), energy


def build(name, **params) -> Any:
    return OPTIMIZERS.build(Spec(name=name, params=params), n_steps=10.0, flip_energy=1.0, lowest=-9.0, highest=9.0)


@pytest.mark.parametrize("normalised", [True, False])
def test_the_first_inner_gradient_is_that_of_the_energy(case, normalised):
    """Times σ for pwo in joint mode; mode "paper" is another direction."""
    _, theta, sampled, energy = case
    exact = as_vector(jax.tree.map(jnp.conj, jax.grad(energy)(theta)))
    gradients = jax.jit(
        lambda sampled: [
            as_vector(loss_gradient(sampled, theta, loss, normalised)[0])
            for loss in (
                build("pwo").loss(sampled),
                build("prox").loss(sampled, 0.3),
                build("pwo", mode="paper").loss(sampled),
            )
        ]
    )
    joint, proximal, paper = gradients(sampled)
    np.testing.assert_allclose(sampled.spread * joint, exact, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(proximal, exact, rtol=1e-10, atol=1e-10)
    cosine = paper @ exact / jnp.linalg.norm(paper) / jnp.linalg.norm(exact)
    assert cosine < 1 - 1e-6


def test_one_gauss_newton_step_of_prox_is_that_of_stochastic_reconfiguration(case):
    ansatz, theta, sampled, _ = case
    tau, shift = 0.05, 1e-2

    def misfits(vector):
        p = vector_to_tree(vector, theta)
        log_psi = jax.vmap(partial(ansatz.log_psi, p))(sampled.sigma)
        return misfit(sampled, compare(sampled, log_psi, False), tau)

    start = as_vector(theta)
    jacobian, r = np.asarray(jax.jit(jax.jacfwd(misfits))(start)), np.asarray(misfits(start))
    newton = -np.linalg.solve(jacobian.T @ jacobian + shift * np.eye(len(start)), jacobian.T @ r)
    sr = build("sr", learning_rate=tau, diag_shift=shift, solver="dense", max_fs_step=100.0)
    log_weight = jnp.log(sampled.weights * len(sampled.weights))
    batch = Batch(sampled.psi, sampled.sigma, sampled.log_psi, log_weight, sampled.e_loc)
    new, _, _ = jax.jit(sr.update)(jax.random.key(0), batch, sr.init(theta))
    np.testing.assert_allclose(as_vector(new) - start, newton, rtol=1e-8, atol=1e-11)


def test_distances_and_the_change_of_energy_are_those_of_the_states(case):
    ansatz, theta, sampled, energy = case
    new = jax.tree.map(lambda p: p + 3e-3 * jnp.cos(jnp.arange(p.size).reshape(p.shape)).astype(p.dtype), theta)
    both = [jnp.exp(jax.vmap(partial(ansatz.log_psi, p))(sampled.sigma)) for p in (theta, new)]
    before, after = (np.asarray(psi / jnp.linalg.norm(psi)) for psi in both)
    moved = compare(sampled, jax.vmap(partial(ansatz.log_psi, new))(sampled.sigma), False)
    far = distance(sampled, moved)
    assert float(far["infidelity"]) == pytest.approx(1 - abs(np.vdot(before, after)) ** 2, rel=1e-6)
    p, q = abs(before) ** 2, abs(after) ** 2
    assert float(far["kl"]) == pytest.approx(np.sum(p * np.log(p / q)), rel=1e-4)
    assert float(far["ess"]) == pytest.approx(1 / np.sum(q**2 / p), rel=1e-6)
    real = float(energy(new) - energy(theta))
    second_order = 18 * float(far["infidelity"])  # at most ‖H - E‖ ⟨η|η⟩
    assert abs(float(change_of_energy(sampled, moved)) - real) < second_order
    assert abs(real) > second_order  # the term of first order is seen


def test_samples_that_have_moved_far_enough_pull_no_more(case):
    _, _, sampled, _ = case
    rule = build("pwo", clip=0.05, phase_clip=0.1)
    loss = rule.loss(sampled)
    real, imaginary = rule.advantages(sampled)
    still = compare(sampled, sampled.log_psi, True)

    def slopes(half_log, phase):
        moved = still._replace(half_log=jnp.full(2**N, half_log), phase=jnp.full(2**N, phase))
        slope = jax.grad(loss)(moved)
        return np.asarray(slope.half_log) != 0, np.asarray(slope.phase) != 0

    down, turned = slopes(-0.1, -0.2)  # beyond both bounds, towards where a positive advantage pulls
    np.testing.assert_array_equal(down, np.asarray(real) < 0)
    np.testing.assert_array_equal(turned, np.asarray(imaginary) < 0)
    up, _ = slopes(0.1, 0.0)
    np.testing.assert_array_equal(up, np.asarray(real) > 0)
    inside, near = slopes(0.01, 0.05)
    assert inside.all()
    assert near.all()
