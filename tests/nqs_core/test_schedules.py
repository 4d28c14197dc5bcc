"""Schedules against their closed formulas, and that neither lengths nor values compile anew."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core.config import Spec
from nqs_core.schedules import SCHEDULES, Schedule

N = 21
T = np.arange(N) / (N - 1)
CLOSED = {
    "constant": ({"value": 0.3}, np.full(N, 0.3)),
    "linear": ({"start": 0.4, "end": 0.1}, 0.4 - 0.3 * T),
    "cosine": ({"start": 0.4, "end": 0.1}, 0.1 + 0.3 * np.cos(np.pi * T / 2) ** 2),
    "one_cycle": (
        {"peak": 2.0, "warm_up": 0.25, "start": 0.1, "end": 0.05},
        np.where(
            T < 0.25,
            2 * (1 - 0.9 * np.cos(np.pi * T / 0.5) ** 2),
            2 * (0.05 + 0.95 * np.cos(np.pi * (T - 0.25) / 1.5) ** 2),
        ),
    ),
}


def build(name: str, n_steps: float = float(N), flip_energy: float = 1.0, **params: Any) -> Schedule:
    return SCHEDULES.build(Spec(name=name, params=params), n_steps=n_steps, flip_energy=flip_energy)


@pytest.mark.parametrize("name", SCHEDULES)
def test_values_are_those_of_the_formula(name: str) -> None:
    params, expected = CLOSED[name]
    values = jax.vmap(build(name, **params).at)(jnp.arange(N))
    np.testing.assert_allclose(values, expected, atol=1e-14)
    np.testing.assert_allclose(build(name, **params).curve(N), expected, atol=1e-14)
    np.testing.assert_allclose(build(name, **params).at(10 * N), expected[-1], atol=1e-14)  # after the end
    scaled = build(name, scaled=True, flip_energy=8.0, **params)
    np.testing.assert_allclose(jax.vmap(scaled.at)(jnp.arange(N)), expected / 8, atol=1e-14)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_run_of_one_step_has_the_first_value(name: str) -> None:
    params, expected = CLOSED[name]
    assert float(build(name, n_steps=1.0, **params).at(0)) == pytest.approx(expected[0])


def test_another_number_of_steps_compiles_nothing() -> None:
    traced = []
    compiled = jax.jit(lambda schedule, n: (traced.append(n), schedule.at(n))[1])
    values = [float(compiled(build("cosine", n_steps=steps, start=0.5), 5)) for steps in (11.0, 101.0)]
    assert values[0] == pytest.approx((0.5 + 0.01) / 2)
    assert values[1] > 0.49
    assert len(traced) == 1
