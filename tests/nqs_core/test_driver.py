"""The loop: order of events, resuming, divergence, the final measurement."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import checkpoint, driver, problem, statistics, warm_start
from nqs_core.config import parse
from nqs_core.errors import ConfigError, DivergedError
from nqs_core.events import MetricsEvent, SnapshotEvent, StateEvent
from nqs_core.state import Seconds
from tests.nqs_core.systems import config, dense

SAMPLERS = {
    "exact": {"name": "exact", "params": {"n_samples": 64}},
    "metropolis": {"name": "metropolis", "params": {"n_samples": 64, "n_chains": 16}},
}


def bits(state):
    return [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in jax.tree.leaves(state._replace(seconds=Seconds(*jnp.zeros(3))))
    ]


def drive(built, state):
    events, states = [], []
    for event, after in driver.run(built, state):
        events.append(event)
        states.append(after)
    return events, states


def physics(event):
    """What must be equal in two runs: everything but the clock."""
    scalars = {k: v for k, v in event.scalars.items() if not k.endswith("_seconds")}
    return event.step, event.phase, scalars, event.arrays


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_events_come_in_order_and_every_state_resumes_bit_for_bit(sampler):
    built = problem.build(config(sampler=SAMPLERS[sampler]))
    events, states = drive(built, driver.init(built, 0))
    assert [e.phase for e in events if isinstance(e, StateEvent)] == ["compiling", "train", "measure", None]
    assert events[-1].state == "done"
    assert any(isinstance(e, SnapshotEvent) for e in events)
    metrics = [e for e in events if isinstance(e, MetricsEvent)]
    assert [e.step for e in metrics if e.phase == "train"] == [1, 2, 3, 4, 5, 6]
    for cut in (0, 1, 3, len(events) // 2, len(events) - 3):
        rest, resumed = drive(built, states[cut])
        tail = [e for e in events[cut + 1 :] if isinstance(e, MetricsEvent)]
        assert [physics(e) for e in rest if isinstance(e, MetricsEvent)] == [physics(e) for e in tail]
        pairs = zip(bits(states[-1]), bits(resumed[-1]), strict=True)
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def test_compiling_is_no_part_of_training_whenever_it_comes():
    built = problem.build(config(sampler=SAMPLERS["metropolis"]))
    jax.clear_caches()
    events, states = drive(built, driver.init(built, 0))
    metrics = [e for e in events if isinstance(e, MetricsEvent)]
    first = metrics[0].scalars
    assert first["compile_seconds"] > 2 * first["step_seconds"]
    assert first["train_seconds"] == pytest.approx(first["step_seconds"])
    steps = [e.scalars for e in metrics if e.phase == "train"]
    assert [e["train_seconds"] for e in steps] == pytest.approx(np.cumsum([e["step_seconds"] for e in steps]))
    for name in ("compile_seconds", "train_seconds", "measure_seconds"):
        rising = [e.scalars[name] for e in metrics]
        assert rising == sorted(rising), name
    before, result = metrics[-1].scalars, events[-1].result
    assert result["train_seconds"] == steps[-1]["train_seconds"]
    assert result["measure_seconds"] > before["measure_seconds"] > steps[-1]["measure_seconds"]
    assert result["seconds"] == sum(driver.times(states[-1]).values())
    jax.clear_caches()
    rest, _ = drive(built, states[2])  # as after a resume
    again = next(e for e in rest if isinstance(e, MetricsEvent)).scalars
    assert again["compile_seconds"] > driver.times(states[2])["compile_seconds"] + 2 * again["step_seconds"]


def test_a_checkpoint_of_another_version_says_why_it_cannot_go_on_and_starts_others():
    path = Path(__file__).parent / "data" / "one-time.ckpt"
    _, header = checkpoint.read(path)
    raw = header["meta"]["config"]
    with pytest.raises(ConfigError, match="max_norm: Extra inputs are not permitted"):
        problem.build(parse(raw))
    raw["optimizer"]["params"].pop("max_norm")
    built = problem.build(parse(raw))
    with pytest.raises(ValueError, match=r"it holds another state: \.optimizer"):
        checkpoint.load(path, driver.blank(built))
    assert warm_start.read(path).step == 2


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    built = problem.build(config(n_steps=2))
    runs = [drive(built, driver.init(built, seed))[0][-1].result["energy"] for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_final_measurement_agrees_with_the_exact_mean_of_the_state(sampler):
    """The measured energy of the trained state equals ⟨ψ|H|ψ⟩ of that state within its own error bar."""
    built = problem.build(config(sampler=SAMPLERS[sampler], n_steps=3, measure=8192))
    events, states = drive(built, driver.init(built, 0))
    result = events[-1].result
    sigma = built.sector.enumerate()
    psi = np.exp(np.asarray(jax.vmap(lambda s: built.ansatz.log_psi(states[-1].params, s))(sigma)))
    h = dense(built.hamiltonian.terms(), 6)
    exact = float(np.real(psi @ h @ psi) / (psi @ psi))
    assert result["n_samples_final"] == 8192
    assert abs(result["energy"] - exact) < 4 * result["energy_error"]
    assert 0 < result["energy_error"] < 0.1
    m2 = result["observables"]["magnetisation_squared"]
    exact_m2 = psi**2 @ sigma.mean(1) ** 2 / (psi @ psi)
    assert abs(m2["mean"] - exact_m2) < 4 * m2["error"]
    assert len(result["observables"]["correlation"]["axis"]) == 4
    assert (result["tau"] is None) == (sampler == "exact")


def test_a_run_that_diverges_says_so():
    built = problem.build(config(n_steps=3))
    state = driver.init(built, 0)
    state = state._replace(params=jax.tree.map(lambda x: x * np.nan, state.params))
    with pytest.raises(DivergedError, match="at step 1"):
        drive(built, state)


def test_sampling_is_compared_with_the_exact_distribution():
    built = problem.build(config(sampler=SAMPLERS["metropolis"]))
    events, _ = drive(built, driver.init(built, 0))
    values = [e.scalars for e in events if isinstance(e, MetricsEvent) and "jsd" in e.scalars]
    assert values
    for scalars in values:
        assert 0 < scalars["jsd"] < 3 * scalars["jsd_floor"] + 0.01


# ---- measuring once more


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_trained_state_is_measured_again_with_other_observables(tmp_path, sampler):
    """From a checkpoint: new random numbers, more samples, the same physics; resumable bit for bit."""
    trained_config = config(sampler=SAMPLERS[sampler], n_steps=3, measure=8192, observables=["magnetisation"])
    parent = problem.build(trained_config)
    events, states = drive(parent, driver.init(parent, 0))
    checkpoint.save(tmp_path, states[-1], 3, {})
    trained = checkpoint.latest(tmp_path, driver.blank(parent)).state
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(bits(states[-1]), bits(trained), strict=True))

    more = trained_config.model_copy(update={"observables": ["bond_energy", "renyi2"], "measure": 16384})
    built = problem.build(more)
    start = driver.remeasure(built, trained, seed=0)
    again, later = drive(built, start)
    assert [e.phase for e in again if isinstance(e, StateEvent)] == ["compiling", "measure", None]
    assert all(e.phase == "measure" for e in again if isinstance(e, MetricsEvent))
    before, after = events[-1].result, again[-1].result
    assert (after["n_samples_final"], after["n_steps"]) == (16384, 3)
    assert set(after["observables"]) == {"bond_energy", "bond_energy_mean", "purity", "renyi2"}
    assert after["energy"] != before["energy"]
    assert abs(after["energy"] - before["energy"]) < 4 * np.hypot(after["energy_error"], before["energy_error"])
    assert after["infidelity"] == pytest.approx(before["infidelity"], rel=1e-9)

    checkpoint.save(tmp_path / "again", later[4], 3, {})
    middle = checkpoint.latest(tmp_path / "again", driver.blank(built)).state
    assert drive(built, middle)[0][-1].result["observables"] == after["observables"]
    assert drive(built, driver.remeasure(built, trained, seed=1))[0][-1].result["energy"] != after["energy"]


def test_a_state_of_another_network_is_not_measured():
    trained = driver.init(problem.build(config()), 0)
    other = problem.build(config(ansatz={"name": "rbm", "params": {"alpha": 2}}))
    with pytest.raises(ConfigError, match="other params"):
        driver.remeasure(other, trained, 0)


def test_zero_variance_of_a_run_holds_the_exact_energy():
    optimizer = {"name": "minsr", "params": {"learning_rate": 0.02, "diag_shift": 1e-3}}
    sampler = {"name": "exact", "params": {"n_samples": 256}}
    built = problem.build(config(n_steps=300, sampler=sampler, optimizer=optimizer, observables=[]))
    events, _ = drive(built, driver.init(built, 0))
    rows = [e.scalars for e in events if isinstance(e, MetricsEvent) and e.phase == "train"]
    columns = [[row[name] for row in rows] for name in ("energy", "energy_error", "variance")]
    found = statistics.zero_variance(*map(np.array, columns))
    exact = np.linalg.eigvalsh(dense(built.hamiltonian.terms(), 6))[0]
    assert found.accepted, found.reason
    assert found.energy is not None
    assert found.error is not None
    assert abs(found.energy - exact) < 3 * found.error
    assert found.error < 0.003


def test_a_sweep_over_a_coupling_compiles_once():
    step: Any = driver.step
    before = step._cache_size()
    for h in (0.3, 0.9, 1.7):
        built = problem.build(config(hamiltonian={"name": "tfim", "params": {"h": h}}, n_steps=1))
        driver.step(built, driver.init(built, 0))
    assert step._cache_size() - before <= 1
