"""Weighted samples and refused batches: what they do to means, to error bars and to a run."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import driver, health, problem, statistics
from nqs_core.errors import DivergedError
from nqs_core.events import MetricsEvent, StateEvent, WarningEvent
from nqs_core.lattices import Lattice
from nqs_core.observables import Observable, averages
from nqs_core.observables.base import Draw, Quantities, Weights, weighted
from nqs_core.registry import component, context, param
from nqs_core.samplers.base import Sampler, Samples
from nqs_core.samplers.exact import log_amplitudes, probabilities
from nqs_core.sector import Sector
from nqs_core.types import Info
from nqs_core.wavefunction import Psi
from tests.contracts.variants import moved
from tests.nqs_core.systems import config, dense


@component
class Uniform(Sampler):
    """Every configuration of the sector equally often, with the weights that make it |ψ|²; refuses after `patience`."""

    independent: ClassVar[bool] = True
    n_samples: int = param(64, ge=1, help="Samples.")
    patience: int = param(10**6, ge=0, help="Batches that are ready.")
    every: int = param(1, ge=1, help="After these, one in so many is.")
    lattice: Lattice = context()
    sector: Sector = context()

    def init(self, key, psi: Psi) -> Any:
        return jnp.asarray(0)

    def sample(self, key, psi: Psi, state: Any) -> Any:
        states = jnp.asarray(self.sector.enumerate())
        sigma = states[jax.random.randint(key, (self.n_samples,), 0, len(states))]
        log_psi = psi.log_psi(sigma)
        log_weight = 2 * log_psi.real - jax.nn.logsumexp(2 * psi.log_psi(states).real) + jnp.log(len(states))
        ready = (state < self.patience) | (state % self.every == 1)
        info = Info(ready, {"uniform/batch": state}, {"uniform/weights": jnp.histogram(log_weight, 4)[0]})
        return Samples(sigma[:, None], log_psi[:, None], log_weight[:, None]), state + 1, info

    def effort(self, cost: Any) -> Any:
        raise NotImplementedError


@component
class One(Observable):
    """The number 1, and a complex matrix with what is derived from it."""

    lattice: Lattice = context()

    def sums(self, psi: Psi, weights: Weights, *draws: Draw) -> Quantities:
        first = draws[0].sigma[:, :2]
        matrix = first[:, :, None] * first[:, None, :] * (1 + 1j)
        return {"one": jnp.sum(weights), "matrix": weighted(weights, matrix)}

    def derived(self, means: Any, errors: Any) -> Any:
        return {"levels": np.linalg.eigvalsh(means["matrix"].real)}


def built(**params):
    ready = problem.build(config(n_steps=30, observables=["magnetisation"], measure=512))
    return dataclasses.replace(ready, sampler=Uniform(**params, lattice=ready.hamiltonian.lattice, sector=ready.sector))


def run(**params):
    subject = built(**params)
    events = list(driver.run(subject, driver.init(subject, 0)))
    return subject, [event for event, _ in events], [state for _, state in events]


def test_error_bars_of_weighted_means_cover_the_truth():
    """In 200 samplings, within one error about two times in three."""
    subject = built(n_samples=256)
    psi = driver.bind(subject.ansatz, moved(subject.ansatz.init(jax.random.key(5)), 0.4))
    states = subject.sector.enumerate()
    p = np.asarray(probabilities(log_amplitudes(psi, subject.sector)))
    assert len(p) * np.sum(p**2) > 1.1  # far from uniform
    exact = p @ np.mean(states, axis=1) ** 2

    @jax.jit
    def sums(key):
        samples, _, _ = subject.sampler.sample(key, psi, jnp.asarray(0))
        squared = jnp.mean(samples.sigma, axis=-1, dtype=jnp.float64) ** 2
        one = One(lattice=subject.hamiltonian.lattice)
        groups = averages.group_sums([*subject.observables, one], psi, samples)
        return groups, statistics.estimate(squared, samples.log_weight, 0.0)

    values = jax.device_get(jax.vmap(sums)(jax.random.split(jax.random.key(2), 200)))
    one = One(lattice=subject.hamiltonian.lattice)
    hits = {"groups": 0, "samples": 0}
    for k in range(200):
        groups, estimate = jax.tree.map(lambda x, k=k: x[k], values)
        found = averages.estimates([*subject.observables, one], groups)
        assert found["one"][0] == pytest.approx(1)
        assert found["one"][1] < 1e-12
        assert found["levels"][0].shape == found["levels"][1].shape == (2,)
        mean, error = found["magnetisation_squared"]
        hits["groups"] += abs(mean - exact) < error
        hits["samples"] += abs(estimate.mean - exact) < estimate.error
    assert 0.58 < hits["groups"] / 200 < 0.78
    assert 0.58 < hits["samples"] / 200 < 0.78


def test_a_run_with_weighted_samples_measures_the_state_it_ends_in():
    subject, events, states = run(n_samples=256)
    last = events[-1]
    assert isinstance(last, StateEvent)
    assert last.result is not None
    log_psi = np.asarray(log_amplitudes(driver.bind(subject.ansatz, states[-1].params), subject.sector))
    psi = np.exp(log_psi)
    exact = np.vdot(psi, dense(subject.hamiltonian.terms(), 6) @ psi).real / np.vdot(psi, psi).real
    assert abs(last.result["energy"] - exact) < 4 * last.result["energy_error"]
    arrays = [event.arrays for event in events if isinstance(event, MetricsEvent) and event.arrays]
    assert all(sum(each["uniform/weights"]) == 256 for each in arrays)
    assert arrays


def test_a_refused_batch_updates_nothing_and_counts_nowhere():
    _, events, states = run(n_samples=256, patience=2, every=5)
    trained = [
        (event, state)
        for event, state in zip(events, states, strict=True)
        if isinstance(event, MetricsEvent) and event.phase == "train"
    ]
    before: Any = None
    for event, state in trained:
        refused = event.scalars.get("refused") == 1
        assert refused == (event.step - 1 >= 2 and (event.step - 1) % 5 != 1)
        assert ("energy" in event.scalars) != refused
        if before is not None:
            same = jax.tree.map(np.array_equal, before.params, state.params)
            assert all(jax.tree.leaves(same)) == refused
        before = state
    measured = [event for event in events if isinstance(event, MetricsEvent) and event.phase == "measure"]
    assert [event.scalars["batch"] for event in measured if "energy" in event.scalars] == [1, 2]
    assert len(measured) > 2
    warnings = [event.code for event in events if isinstance(event, WarningEvent)]
    assert warnings == [health.REFUSED]


def test_too_many_refused_batches_end_the_run_with_the_cause():
    with pytest.raises(DivergedError, match="the sampler refused its batch at step 27 and the 24 before it; more samp"):
        run(n_samples=256, patience=2, every=10**6)
