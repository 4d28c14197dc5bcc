"""Live diagnostics, the comparison with exact ground states, and the edges of the final measurement."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import driver, measurement, problem
from nqs_core.config import Spec
from nqs_core.errors import DivergedError
from nqs_core.events import MetricsEvent, StateEvent
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.reference import ground_space
from nqs_core.reference.exact import Labels
from nqs_core.sector import Sector
from nqs_core.state import MEASURE
from tests.nqs_core.small import lattice
from tests.nqs_core.systems import config, dense


def test_a_last_update_that_diverges_is_no_result():
    built = problem.build(config())
    state = driver.init(built, 0)
    broken = jax.tree.map(lambda x: x * np.nan, state.params)
    state = state._replace(params=broken, phase=jnp.asarray(MEASURE, jnp.int32))
    with pytest.raises(DivergedError, match="energy became nan"):
        list(driver.run(built, state))


def test_a_single_chain_has_no_error_bar_and_no_partner():
    sampler = {"name": "metropolis", "params": {"n_samples": 32, "n_chains": 1}}
    built = problem.build(config(sampler=sampler, n_steps=1, measure=64))
    *_, (done, _) = driver.run(built, driver.init(built, 0))
    assert isinstance(done, StateEvent)
    assert done.result is not None
    found = done.result["observables"]
    assert found["magnetisation"]["error"] is None
    assert found["correlation_map"]["error"] is None
    assert not {"purity", "renyi2"} & set(found)
    json.dumps(done.result, allow_nan=False)


def test_live_observables_and_comparisons_come_at_the_interval():
    built = problem.build(config(n_steps=7, observe_every=3))
    metrics = [e for e, _ in driver.run(built, driver.init(built, 0)) if isinstance(e, MetricsEvent)]
    train = [e for e in metrics if e.phase == "train"]
    assert [e.step for e in train if "magnetisation" in e.scalars] == [3, 6, 7]
    assert [e.step for e in train if "infidelity" in e.scalars] == [3, 6, 7]
    assert [e.step for e in train if "jsd" in e.scalars] == [3, 6, 7]
    for event in (train[2], train[-1]):
        assert {"renyi2", "renyi2_error", "bond_energy_mean", "bond_energy_mean_error"} <= set(event.scalars)
        shapes = {name: np.shape(event.arrays[name]) for name in event.arrays}
        assert {name: shapes[name] for name in ("correlation_map", "structure_factor", "bond_energy")} == {
            "correlation_map": (6, 6), "structure_factor": (6,), "bond_energy": (6,)
        }  # fmt: skip
        assert all(
            shapes[f"{name}_error"] == shapes[name]
            for name in shapes
            if not name.endswith("_error") and "/" not in name
        )


# ---- infidelity


def independent_infidelity(built, params):
    """From the dense Hamiltonian, restricted to the sector, and every ground state."""
    index = built.sector.indices()
    h = dense(built.hamiltonian.terms(), built.n_sites)[np.ix_(index, index)]
    energies, vectors = np.linalg.eigh(h)
    ground = vectors[:, energies < energies[0] + 1e-9]
    psi = np.exp(np.asarray(jax.vmap(lambda s: built.ansatz.log_psi(params, s))(jnp.asarray(built.sector.enumerate()))))
    return 1 - np.linalg.norm(ground.conj().T @ psi) ** 2 / np.linalg.norm(psi) ** 2, ground


SYSTEMS = {
    "tfim": ({}, 1),
    "classical": ({"hamiltonian": {"name": "tfim", "params": {"h": 0.0}}}, 2),
    "marshall": ({"hamiltonian": {"name": "heisenberg", "params": {"marshall": True}}, "sector": {"sz": 0}}, 1),
    "plain": ({"hamiltonian": {"name": "heisenberg"}, "sector": {"sz": 0}}, 1),
    "multiplet": ({"hamiltonian": {"name": "heisenberg", "params": {"J": -1.0}}}, 7),
    "dimers": ({"hamiltonian": {"name": "j1j2"}, "sector": {"sz": 0}}, 2),
    "odd": ({"lattice": {"name": "chain", "params": {"length": 7}}, "hamiltonian": {"name": "heisenberg"}}, 4),
    "field": ({"hamiltonian": {"name": "tfim", "params": {"h_z": 0.2}}}, 1),
    "imaginary": ({"hamiltonian": {"name": "custom", "params": {"strings": "X0 Y1\n0.3 Z2\n0.2 X2 X3\nY4 Z5"}}}, 8),
}


@pytest.mark.parametrize("lanczos", [False, True], ids=["dense", "lanczos"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_infidelity_counts_the_whole_ground_space(monkeypatch, name, lanczos):
    changes, degeneracy = SYSTEMS[name]
    ansatz = {"name": "rbm", "params": {"alpha": 1, "complex": True}}
    sampler = {"name": "metropolis", "params": {"n_samples": 64, "n_chains": 16}}
    built = problem.build(config(**({"ansatz": ansatz, "sampler": sampler, "observables": []} | changes)))
    start = built.ansatz.init(jax.random.key(0))
    params = jax.tree.map(lambda x: x + 0.3 * np.cos(np.arange(x.size)).reshape(x.shape), start)
    if lanczos:
        monkeypatch.setattr(ground_space, "_DENSE", 33)
    ground_space.ground_space.cache_clear()
    try:
        found = measurement.final_infidelity(built, params)
        space = measurement.ground_states(built)
    finally:
        ground_space.ground_space.cache_clear()
    exact, ground = independent_infidelity(built, params)
    assert found == pytest.approx(exact, abs=1e-10)
    assert 0.01 < exact < 1.0
    assert ground.shape[1] == degeneracy
    assert space is not None
    # The same space, whatever the basis.
    np.testing.assert_allclose(space @ space.conj().T, ground @ ground.conj().T, atol=1e-8)
    inside = np.exp(1j) * space @ np.arange(1.0, degeneracy + 1)
    with np.errstate(divide="ignore"):
        nothing = measurement.infidelity(built, np.log(inside.astype(complex)))
    assert nothing == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("lanczos", [False, True], ids=["dense", "lanczos"])
@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("heisenberg", {"sz": 0.0, "momentum": (3,)}),
        ("heisenberg", {"sz": 1.0, "momentum": (1,)}),
        ("heisenberg", {"spin_flip": -1}),
        ("heisenberg", {"spin_flip": 1, "momentum": (2,)}),
        ("tfim", {"momentum": (5,), "spin_flip": -1}),
        ("tfim", {"momentum": (0,)}),
    ],
)
def test_the_lowest_states_of_a_sector(monkeypatch, name, labels, lanczos):
    """Against projections of dense vectors, ψ(t⁻¹ σ) = exp(i k·r) ψ(σ)."""
    n = 6
    hamiltonian = HAMILTONIANS.build(Spec(name=name), lattice=(ring := lattice("chain", length=n)))
    states = Sector(n).indices()
    projector = np.eye(2**n, dtype=complex)
    if "momentum" in labels:
        k = 2 * np.pi * labels["momentum"][0] / n
        projector = np.zeros((2**n, 2**n), complex)
        for r, perm in enumerate(ring.translations()):
            moved = sum(((states >> int(p)) & 1) << i for i, p in enumerate(np.argsort(perm)))  # t⁻¹ σ
            projector[states, moved] += np.exp(-1j * k * r) / n
    if "spin_flip" in labels:
        projector = projector @ (np.eye(2**n) + labels["spin_flip"] * np.eye(2**n)[::-1]) / 2
    kept = Sector(n, labels.get("sz")).indices()
    projector = projector[np.ix_(kept, kept)]
    weights, vectors = np.linalg.eigh(projector)
    inside = vectors[:, weights > 0.5]
    energies, states = np.linalg.eigh(inside.conj().T @ dense(hamiltonian.terms(), n)[np.ix_(kept, kept)] @ inside)
    exact = inside @ states[:, energies < energies[0] + 1e-9]
    if lanczos:
        monkeypatch.setattr(ground_space, "_DENSE", 4)
    ground_space.ground_space.cache_clear()
    found = ground_space.ground_space(hamiltonian, Labels(**labels))
    ground_space.ground_space.cache_clear()
    assert found is not None
    np.testing.assert_allclose(found @ found.conj().T, exact @ exact.conj().T, atol=1e-8)


def test_ground_states_that_take_too_long_are_not_sought(monkeypatch):
    monkeypatch.setattr(ground_space, "WORK", 1e4)
    monkeypatch.setattr(ground_space, "_DENSE", 16)
    ground_space.ground_space.cache_clear()
    built = problem.build(config(n_steps=1))
    *_, (done, _) = driver.run(built, driver.init(built, 0))
    ground_space.ground_space.cache_clear()
    assert isinstance(done, StateEvent)
    assert done.result is not None
    assert done.result["infidelity"] is None


def test_training_brings_the_infidelity_down():
    built = problem.build(config(n_steps=60, sampler={"name": "exact", "params": {"n_samples": 512}}))
    events = [e for e, _ in driver.run(built, driver.init(built, 0))]
    values = [e.scalars["infidelity"] for e in events if isinstance(e, MetricsEvent) and "infidelity" in e.scalars]
    assert values[-1] < 0.1 * values[0]
    done = events[-1]
    assert isinstance(done, StateEvent)
    assert done.result is not None
    assert done.result["infidelity"] < 0.1 * values[0]


# ---- chains that never moved


FROZEN = {
    "hamiltonian": {"name": "tfim", "params": {"h": 0.8, "h_z": 0.2}},
    "ansatz": {"name": "jastrow", "params": {}},
    "optimizer": {"name": "sgd", "params": {"learning_rate": 1e-9}},
    "sampler": {"name": "metropolis", "params": {"n_samples": 64, "n_chains": 16}},
    "n_steps": 2,
    "measure": 128,
}


def frozen(apart):
    """All events of a run that begins in the two ordered states of a network that never leaves them."""
    built = problem.build(config(**FROZEN))
    state = driver.init(built, 0)
    strong = jax.tree.map(lambda x: jnp.full_like(x, 20.0), state.params)
    up = np.arange(16) % 2 if apart else np.ones(16, int)
    sigma = jnp.asarray((2 * up - 1)[:, None] * np.ones((1, 6), int), jnp.int8)
    state = state._replace(params=strong, sampler=state.sampler._replace(sigma=sigma))
    return [event for event, _ in driver.run(built, state)]


@pytest.mark.parametrize("apart", [True, False])
def test_chains_that_never_moved_are_not_certain(apart):
    *events, done = frozen(apart)
    assert isinstance(done, StateEvent)
    assert done.result is not None
    metrics = [e for e in events if isinstance(e, MetricsEvent)]
    assert {e.phase for e in metrics} == {"train", "measure"}
    for scalars in [done.result, *(e.scalars for e in metrics)]:
        assert scalars["acceptance"] == 0
        assert np.isfinite(scalars["energy"])
        for name in ("energy_error", "ess", "tau"):
            assert np.isnan(scalars[name])
        for name in ("r_hat", "r_hat_nested"):
            assert scalars[name] == np.inf if apart else np.isnan(scalars[name])
    assert np.isnan(done.result["observables"]["magnetisation"]["error"])
    assert np.isnan(done.result["observables"]["correlation"]["error"]).all()
    live = metrics[0]
    assert np.isnan(live.scalars["magnetisation_error"])
    assert np.isnan(live.arrays["correlation_error"]).all()


def test_an_eigenstate_that_moves_is_certain():
    """Two spins at S^z = 0: the Marshall network is exact from the first step, and every move is accepted."""
    sampler = {"name": "metropolis", "params": {"n_samples": 64, "n_chains": 16}}
    system = {"lattice": {"name": "chain", "params": {"length": 2, "periodic": False}}, "sector": {"sz": 0}}
    model = {"hamiltonian": {"name": "heisenberg", "params": {"J": 1.0, "marshall": True}}}
    built = problem.build(config(**system, **model, sampler=sampler, n_steps=20, measure=256, observables=[]))
    state = driver.init(built, 0)
    state = state._replace(params=jax.tree.map(jnp.zeros_like, state.params))
    *events, (done, _) = driver.run(built, state)
    assert isinstance(done, StateEvent)
    assert done.result is not None
    for name, value in {"energy_error": 0, "variance": 0, "tau": 0, "ess": 1, "r_hat": 1, "r_hat_nested": 1}.items():
        assert done.result[name] == pytest.approx(value, abs=1e-12)
    assert done.result["acceptance"] > 0.5
    last = [e.scalars for e, _ in events if isinstance(e, MetricsEvent) and e.phase == "train"][-1]
    assert (last["r_hat"], last["ess"], last["infidelity"]) == pytest.approx((1, 1, 0), abs=1e-12)


def test_r_hat_comes_at_the_interval_once_the_window_is_full():
    sampler = {"name": "metropolis", "params": {"n_samples": 256, "n_chains": 16}}  # 16 draws a step, 64 in a window
    built = problem.build(config(sampler=sampler, n_steps=7, observe_every=2, observables=[]))
    events = [e for e, _ in driver.run(built, driver.init(built, 0)) if isinstance(e, MetricsEvent)]
    train = [e for e in events if e.phase == "train"]
    assert [e.step for e in train if "r_hat" in e.scalars] == [4, 6, 7]
    assert all(np.isfinite(e.scalars[name]) for e in train for name in ("tau", "ess", "energy_error"))
    assert train[0].scalars["ess"] < 1  # known from the first draws on
