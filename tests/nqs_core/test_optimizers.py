"""Update rules on full summation, where energies and gradients are exact."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import batching, estimators
from nqs_core.config import Spec
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.jacobian import force
from nqs_core.operators import compile
from nqs_core.optimizers import OPTIMIZERS
from nqs_core.optimizers.base import Batch
from nqs_core.optimizers.solve import BINS, HIGHEST, LOWEST, solve_shifted
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


@jax.jit
def stepped(rule, batch, state, seed=0):
    """What `update` returns; rates are traced, so that every rule compiles once for a network."""
    return rule.update(jax.random.key(seed), batch, state)


def build(name, n_steps=50.0, scale=1.0, **params) -> Any:
    bounds = {"flip_energy": 5.4 * scale, "lowest": -9.0 * scale, "highest": 9.0 * scale}
    return OPTIMIZERS.build(Spec(name=name, params=params), n_steps=n_steps, **bounds)


def unbounded(name):
    """Parameters under which no step is shortened."""
    return {"max_infidelity": 1.0, "min_ess": 0.0} if name in REUSING else {"max_fs_step": 100.0}


REUSING = ("pwo", "prox")
REMEMBERING = {"sgd": {"momentum": 0.9}, "adam": {}, "adamw": {}, "spring": {}, "march": {}, "pwo": {}, "prox": {}}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("name", "params"), NETWORKS[2:4])
def test_energy_falls_at_every_small_step(optimizer, name, params):
    """Over 5 steps, and over 50 where a rule remembers earlier ones."""
    ansatz, theta = network(name, params)
    rule = build(optimizer, learning_rate=5e-4 if optimizer in REUSING else 2e-3, **REMEMBERING.get(optimizer, {}))
    batch_at = jax.jit(partial(full_batch, ansatz))
    state, energies = rule.init(theta), []
    for _ in range(50 if optimizer in REMEMBERING else 5):
        batch = batch_at(theta)
        energies.append(float(jax.nn.softmax(batch.log_weight) @ batch.e_loc.real))
        theta, state, info = stepped(rule, batch, state)
        assert bool(info.ready)
        assert all(np.isfinite(v) for v in info.scalars.values())
    energies.append(exact_energy(ansatz, theta))
    assert np.all(np.diff(energies[:6]) < 0), energies
    assert energies[-1] < energies[5] - 1e-3 or optimizer not in REMEMBERING, energies


def exact_step(ansatz, theta, batch, shift):
    """(S + λ)⁻¹ F from the Jacobian written out; and S and F."""
    w = np.asarray(jax.nn.softmax(batch.log_weight))
    w = np.tile(w, 2 if ansatz.signed else 1)
    jacobian = real_jacobian(ansatz, theta, batch.sigma).copy()
    n = len(batch.sigma)
    for b in [slice(i, i + n) for i in range(0, len(jacobian), n)]:
        jacobian[b] -= w[b] @ jacobian[b]
    e = np.asarray(batch.e_loc) - w[:n] @ np.asarray(batch.e_loc)
    f = jacobian.T @ (w * (np.concatenate([np.real(e), np.imag(e)]) if ansatz.signed else np.real(e)))
    s = jacobian.T @ (w[:, None] * jacobian)
    return np.linalg.solve(s + shift * np.eye(len(s)), f), s, f


RATE, SHIFT = 0.01, 1e-2
RULES = [
    ("minsr", {}),
    ("sr", {"solver": "dense"}),
    ("sr", {"solver": "cg", "tolerance": 1e-13, "iterations": 1000}),
    ("spring", {"momentum": 0.0}),
    ("march", {}),  # its first step
]


@pytest.mark.parametrize(
    ("rule", "settings", "name", "params"),
    [("minsr", {}, *net) for net in NETWORKS]
    + [(*rule, *net) for rule in RULES[1:] for net in (NETWORKS[0], NETWORKS[2])],
)
def test_the_step_is_that_of_dense_stochastic_reconfiguration(rule, settings, name, params):
    ansatz, theta = network(name, params)
    batch = jax.jit(partial(full_batch, ansatz))(theta)
    made = build(rule, learning_rate=RATE, diag_shift=SHIFT, max_fs_step=100.0, **settings)
    new, _, info = stepped(made, batch, made.init(theta))
    step, s, _ = exact_step(ansatz, theta, batch, SHIFT)
    moved = as_real(theta) - as_real(new)
    np.testing.assert_allclose(moved, RATE * step, rtol=1e-8, atol=1e-11)
    assert float(info.scalars["fs_step"]) == pytest.approx(np.sqrt(moved @ s @ moved), rel=1e-8)


def test_a_step_expects_the_change_of_energy_that_it_makes():
    ansatz, theta = network(*NETWORKS[2])
    batch_at = jax.jit(partial(full_batch, ansatz))
    for name in OPTIMIZERS:
        rule = build(name, learning_rate=1e-4, **unbounded(name))
        new, state, _ = stepped(rule, batch_at(theta), rule.init(theta))
        _, _, info = stepped(rule, batch_at(new), state)
        change = exact_energy(ansatz, new) - exact_energy(ansatz, theta)
        assert float(info.scalars["energy_change"]) == pytest.approx(change, rel=1e-6), name
        assert float(info.scalars["energy_change_expected"]) == pytest.approx(change, rel=2e-2), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_and_blocks_do_not_matter(optimizer, monkeypatch):
    """A sample drawn twice is a sample of weight 2, and one at a time gives what all at once give."""
    ansatz, theta = network(*NETWORKS[2])
    full = jax.jit(partial(full_batch, ansatz))(theta)
    pick = np.array([1, 1, 1, 4, 4, 7, 8, 9, 10, 11, 12, 12, 13, 14, 15, 15])
    unique, counts = np.unique(pick, return_counts=True)
    rule = build(optimizer)

    def update(index, log_weight):
        batch = Batch(full.psi, full.sigma[index], full.log_psi[index], jnp.asarray(log_weight), full.e_loc[index])
        return as_real(stepped(rule, batch, rule.init(theta))[0])

    plain = update(pick, np.zeros(len(pick)))
    monkeypatch.setattr(batching, "HELD_BYTES", 1)
    weighted = update(unique, np.log(counts * len(unique) / len(pick)))
    np.testing.assert_allclose(weighted, plain, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_scale_of_the_hamiltonian_does_not_matter(optimizer):
    ansatz, theta = network(*NETWORKS[2])
    batch_at = jax.jit(partial(full_batch, ansatz))
    ends = []
    for scale in (1.0, 100.0):
        rule, new = build(optimizer, scale=scale), theta
        state, info = rule.init(new), None
        for _ in range(3):
            batch = batch_at(new)
            new, state, info = stepped(rule, batch._replace(e_loc=scale * batch.e_loc), state)
        assert info is not None
        ends.append((as_real(new), float(info.scalars["fs_step"]), float(info.scalars["energy_change"]) / scale))
    for first, second in zip(*ends, strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_step_in_the_space_of_states_is_bounded(optimizer):
    ansatz, theta = network(*NETWORKS[2])
    batch = jax.jit(partial(full_batch, ansatz))(theta)
    largest = {"max_infidelity": 0.05**2} if optimizer in REUSING else {"max_fs_step": 0.05}
    wild = build(optimizer, learning_rate=5.0, **largest)
    new, _, info = stepped(wild, batch, wild.init(theta))
    assert float(info.scalars["fs_step"]) == pytest.approx(0.05)
    before, after = (np.exp(log_amplitudes(ansatz, p, batch.sigma)) for p in (theta, new))
    overlap = abs(before.conj() @ after) ** 2 / (np.linalg.norm(before) * np.linalg.norm(after)) ** 2
    assert 0.01 < np.arccos(np.sqrt(overlap)) < 0.075


@pytest.mark.parametrize("optimizer", ["sgd", "minsr", "prox"])
def test_samples_that_are_no_numbers_do_not_count_and_are_counted(optimizer):
    ansatz, theta = network(*NETWORKS[2])
    full = jax.jit(partial(full_batch, ansatz))(theta)
    rule = build(optimizer)

    def update(batch):
        new, _, info = stepped(rule, batch, rule.init(theta))
        return as_real(new), float(info.scalars["nonfinite_samples"]), bool(info.ready)

    without = update(full._replace(log_weight=full.log_weight.at[jnp.array([3, 5])].set(-np.inf)))
    broken = full._replace(e_loc=full.e_loc.at[3].set(np.nan), log_psi=full.log_psi.at[5].set(-np.inf))
    found = update(broken)
    np.testing.assert_allclose(found[0], without[0], rtol=1e-9, atol=1e-12)
    assert (without[1:], found[1:]) == ((0.0, True), (2.0, True))
    assert update(full._replace(e_loc=full.e_loc * np.nan))[1:] == (16.0, False)  # no step is made


def test_rates_and_shifts_follow_their_schedules():
    ansatz, theta = network(*NETWORKS[2])
    batch = jax.jit(partial(full_batch, ansatz))(theta)
    rate = {"name": "linear", "params": {"start": 0.04, "end": 0.01}}
    shift = {"name": "linear", "params": {"start": 0.01, "end": 0.1}}
    rule = build("minsr", n_steps=4.0, learning_rate=rate, diag_shift=shift, max_fs_step=100.0)
    state, told = rule.init(theta), []
    for _ in range(5):
        _, state, info = stepped(rule, batch, state)
        told.append([float(info.scalars[name]) for name in ("learning_rate", "sr/diag_shift")])
    np.testing.assert_allclose(told, [[0.04, 0.01], [0.03, 0.04], [0.02, 0.07], [0.01, 0.1], [0.01, 0.1]])


def test_the_spectrum_is_that_of_the_metric():
    ansatz, theta = network(*NETWORKS[2])
    batch = jax.jit(partial(full_batch, ansatz))(theta)
    eigenvalues = np.linalg.eigvalsh(exact_step(ansatz, theta, batch, 1.0)[1])
    for name in ("minsr", "sr"):
        rule = build(name, diag_shift=SHIFT, spectrum_every=2.0)
        _, state, info = stepped(rule, batch, rule.init(theta))
        told = info.scalars
        assert float(told["sr/effective_dimension"]) == pytest.approx(np.sum(eigenvalues / (eigenvalues + SHIFT)))
        assert float(told["sr/eigenvalue_max"]) == pytest.approx(eigenvalues[-1])
        counts = np.asarray(info.arrays["sr/spectrum"])
        edges = np.linspace(LOWEST, HIGHEST, BINS + 1)
        known = np.log10(eigenvalues[eigenvalues > 1e-6])
        expected = np.histogram(known, edges)[0]
        np.testing.assert_array_equal(counts[expected > 0], expected[expected > 0])
        twice = batch._replace(e_loc=batch.e_loc, sigma=batch.sigma[jnp.zeros(16, int)])  # one configuration: S = 0
        _, state, info = stepped(rule, twice, state)
        assert float(info.scalars["sr/eigenvalue_max"]) == pytest.approx(eigenvalues[-1])  # not looked at again
        _, state, info = stepped(rule, twice, state)
        assert float(info.scalars["sr/eigenvalue_max"]) < 1e-9


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
