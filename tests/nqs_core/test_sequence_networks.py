"""What is particular to each autoregressive network; what all share is in test_sequential.py."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core.ansatze import ANSATZE
from nqs_core.ansatze.transformer import turned
from nqs_core.budget import n_params
from nqs_core.config import Spec
from nqs_core.errors import ConfigError
from nqs_core.sector import Sector
from tests.contracts.variants import SMALL, chain, network
from tests.nqs_core.small import lattice


def build(name: str, n: int = 12, **params: Any) -> Any:
    return ANSATZE.build(Spec(name=name, params=params), lattice=chain(n), sector=Sector(n))


def small(name: str, **params: Any) -> Spec:
    return Spec(name=name, params={**SMALL[name], **params})


def test_the_wide_gru_has_the_published_size() -> None:
    """1.46 million parameters on 12 sites."""
    ansatz = build("gru", embedding=32, features=256, layers=3, head=256, head_layers=2, phase=True)
    gru = 3 * (256 * 768 + 768 + 256 * 768 + 256)
    head = 2 * (256 * 256 + 256) + 256 * 2 + 2
    assert n_params(ansatz) == (3 + 12) * 32 + 32 * 256 + 256 + 2 * 256 + gru + 2 * head == 1_456_356


def test_a_layer_of_the_proposal_has_the_published_size() -> None:
    """12 d² + 9 d parameters, 3216 at d = 16: no biases in the projections of the attention."""
    one, two = (n_params(build("transformer", features=16, layers=k)) for k in (1, 2))
    assert two - one == 3216


def test_the_gru_is_the_one_of_the_formulas() -> None:
    ansatz, params = network(small("gru"), 6, spread=0.5)
    p = jax.tree.map(np.asarray, params["params"])
    letters = np.array([0, 1, 1, 0, 1, 0])
    h, log_psi = np.zeros(3), 0j
    for j, before in enumerate([2, *letters[:-1]]):
        x, u = p["letter"][before] + p["site"][j], h @ p["recurrent_0"]
        r, z = 1 / (1 + np.exp(-(x + u)[:3])), 1 / (1 + np.exp(-(x + u)[3:6]))
        h = (1 - z) * np.tanh(x[6:] + r * (u[6:] + p["bias_0"])) + z * h
        out = {}
        for name in ("amplitude", "phase"):
            first, last = p["readout"][f"{name}_hidden_0"], p["readout"][name]
            y = h @ first["kernel"] + first["bias"]
            out[name] = (y * np.vectorize(math.erfc)(-y / np.sqrt(2)) / 2) @ last["kernel"] + last["bias"]
        a, letter = out["amplitude"], letters[j]
        log_psi += 0.5 * (a[letter] - np.logaddexp(*a)) + 1j * np.pi * np.tanh(out["phase"][letter])
    sigma = jnp.asarray(1 - 2 * letters, jnp.int8)
    np.testing.assert_allclose(ansatz.log_psi(params, sigma), log_psi, rtol=1e-12)


def test_rotary_places_count_by_their_distance() -> None:
    """Scores of turned queries and keys depend on the displacement of their places alone."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 1, 8)))
    frequencies = np.array([1.0, 0.3])

    def score(place: Any, other: Any) -> float:
        angles = np.outer([place, other], frequencies).reshape(2, 4)
        q, k = turned(x, jnp.asarray(angles))
        return float(jnp.sum(q * k))

    assert score((0, 0), (2, 1)) == pytest.approx(score((3, 5), (5, 6)), abs=1e-12)
    assert abs(score((0, 0), (2, 1)) - score((0, 0), (1, 2))) > 0.1


def test_places_are_those_of_the_patches() -> None:
    spec = small("transformer", positions="rotary", patch=2, features=16)
    ansatz: Any = ANSATZE.build(spec, lattice=lattice("square", extent=[4, 6]), sector=Sector(24))
    assert ansatz.network().places == ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2))
    ansatz = ANSATZE.build(
        small("transformer", positions="rotary", features=24),
        lattice=lattice("honeycomb", extent=[2, 2]),
        sector=Sector(8),
    )
    assert ansatz.network().places[:4] == ((0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1))


def test_the_floor_is_the_least_probability() -> None:
    """Where the network is sure, a value of a spin keeps p_floor."""
    ansatz, params = network(small("transformer", p_floor=0.02, phase=False), 6, spread=20.0)
    letters = jax.vmap(ansatz.letters.encode)(jnp.asarray(Sector(6).enumerate()))
    p = np.exp(np.asarray(jax.jit(jax.vmap(partial(ansatz.conditionals, params)))(letters)))
    assert p.min() == pytest.approx(0.02, rel=1e-6)
    assert p.max() == pytest.approx(0.98, rel=1e-6)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"features": 6, "heads": 4}, "heads = 4 must divide features = 6; allowed: 1, 2, 3, 6"),
        ({"features": 4, "heads": 4, "positions": "rotary"}, "multiple of 8"),
        ({"p_floor": 0.25, "patch": 2}, "must be below 0.25"),
    ],
)
def test_transformers_that_do_not_fit_are_refused(params: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        build("transformer", **params)


def test_teacher_forcing_and_the_cache_agree_in_single_precision() -> None:
    spec = small("transformer", features=16, layers=3, heads=4, phase=False)
    ansatz, params = network(spec, 10, precision="float32", spread=0.3)
    sigma, log_q = jax.jit(lambda k: ansatz.sample(params, k, 200))(jax.random.key(0))
    np.testing.assert_allclose(log_q, jax.jit(jax.vmap(partial(ansatz.log_psi, params)))(sigma), atol=1e-4)
