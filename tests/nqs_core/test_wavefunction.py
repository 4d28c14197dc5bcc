"""ψ at fixed parameters: made once, evaluated in blocks."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import batching, driver, problem
from nqs_core.ansatze.base import Ansatz, FullForward
from nqs_core.ansatze.memory import cache_bytes
from nqs_core.lattices import Lattice
from nqs_core.observables import averages
from nqs_core.registry import component, context
from nqs_core.sector import Sector
from nqs_core.wavefunction import bind
from tests.nqs_core.systems import config

PREPARED: list[Any] = []


@component
class Recording(Ansatz):
    """A mean-field product state that notes every call of `prepare`."""

    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context(default="float64")

    @property
    def signed(self) -> bool:
        return False

    @property
    def receptive_field(self) -> tuple[int, ...]:
        return self.lattice.extent

    def init(self, key: Any) -> Any:
        return {"params": {"field": 0.1 * jax.random.normal(key, (self.lattice.n_sites,))}}

    def prepare(self, params: Any) -> Any:
        PREPARED.append(params)
        return jnp.tanh(params["params"]["field"])

    def evaluate(self, prepared: Any, sigma: Any) -> Any:
        return jnp.sum(prepared * sigma)

    def log_psi(self, params: Any, sigma: Any) -> Any:
        return self.evaluate(jnp.tanh(params["params"]["field"]), sigma)


def recording_problem() -> problem.Problem:
    built = problem.build(config(sampler={"name": "metropolis", "params": {"n_samples": 32, "n_chains": 8}}))
    ansatz = Recording(lattice=built.hamiltonian.lattice, sector=built.sector)
    cache_bytes(ansatz)  # looks at shapes once for each network
    return replace(built, ansatz=ansatz)


def test_a_step_prepares_once() -> None:
    """Four draws, local energies and the update share what depends on the parameters alone."""
    built = recording_problem()
    state = driver.init(built, 0)
    PREPARED.clear()
    jax.eval_shape(driver.step, built, state)
    assert len(PREPARED) == 1


def test_a_batch_of_the_measurement_prepares_once() -> None:
    built = recording_problem()
    state = driver.init(built, 0)
    samples = jax.eval_shape(driver.step, built, state)[1].samples
    PREPARED.clear()
    jax.eval_shape(driver._measure_energy, built, state)
    assert len(PREPARED) == 1
    psi = bind(built.ansatz, state.params)
    jax.eval_shape(lambda s: averages.group_sums(built.observables, psi, s), samples)
    assert len(PREPARED) == 2  # all observables together


@pytest.mark.parametrize("block", [5, 64])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Of log ψ and of what is mapped over configurations; `at` binds other parameters."""
    built = recording_problem()
    sigma = jnp.asarray(built.sector.enumerate())
    params = built.ansatz.init(jax.random.key(0))
    psi = bind(built.ansatz, built.ansatz.init(jax.random.key(1))).at(params)
    monkeypatch.setattr(batching, "MOST", block)
    expected = np.asarray(sigma) @ np.tanh(params["params"]["field"])
    np.testing.assert_allclose(psi.log_psi(sigma), expected, rtol=1e-13)
    factor = jnp.arange(len(sigma), dtype=float)

    def scaled(updates: FullForward, prepared: Any, s: Any, c: Any) -> Any:
        return c * updates.cache(prepared, s)

    np.testing.assert_allclose(psi.map(scaled, sigma, factor), factor * expected, rtol=1e-13)


def test_memory_decides_how_many_go_at_once() -> None:
    assert batching.at_once(10, 1) == 10
    assert batching.at_once(10**6, 1) == batching.MOST
    assert batching.at_once(100, batching.HELD_BYTES // 7) == 7
    assert batching.at_once(100, 10 * batching.HELD_BYTES) == 1
    assert batching.at_once(10**6, 1, most=10**5) == 10**5
