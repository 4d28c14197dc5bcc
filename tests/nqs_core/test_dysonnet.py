"""DysonNet: kernels on the ring, ABACUS against full forward passes, symmetry, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core.ansatze import ANSATZE, state_space
from nqs_core.ansatze.abacus import Abacus
from nqs_core.ansatze.base import FullForward, flip
from nqs_core.config import Spec
from nqs_core.errors import ConfigError
from nqs_core.lattices import LATTICES
from nqs_core.sector import Sector
from tests.contracts.variants import moved, network

SMALL = {"features": 4, "modes": 3, "hidden": 3}


def dysonnet(n_sites, spread=0.1, **params):
    return network(Spec(name="dysonnet", params={**SMALL, **params}), n_sites, spread=spread)


def complex_of(params, name):
    return np.asarray(params[f"{name}_real"]) + 1j * np.asarray(params[f"{name}_imag"])


def kernel_of(mixer, n_tokens):
    """Parameters, and the kernel that the closed form on the ring gives."""
    params = moved(state_space.init(jax.random.key(0), mixer, 3, 4, jnp.float64), 0.1)
    green = state_space.kernel(state_space.transfer(params, n_tokens), n_tokens)
    return params, np.asarray(green)


def wrapped(causal, skip, n_tokens):
    """G(r) = Σ_images K(r) + K(-r) + 2 D δ_r0 of K(0), K(1), ... on the infinite line."""
    turns = causal.reshape(-1, n_tokens, causal.shape[1]).sum(axis=0)
    out = turns + turns[-np.arange(n_tokens)]
    out[0] += 2 * np.asarray(skip)
    return out


@pytest.mark.parametrize("n_tokens", [9, 12])
def test_the_diagonal_kernel_is_the_sum_over_all_images(n_tokens):
    params, green = kernel_of("s4d", n_tokens)
    step = np.exp(np.asarray(params["log_step"]))[:, None]
    poles = -np.exp(np.asarray(params["log_decay"])) + 1j * np.asarray(params["frequency"])
    r = np.arange(400 * n_tokens)[:, None, None]
    terms = complex_of(params, "c") * (np.exp(step * poles) - 1) / poles * np.exp(step * poles * r)
    np.testing.assert_allclose(green, wrapped(2 * terms.sum(-1).real, params["skip"], n_tokens), atol=1e-10)


@pytest.mark.parametrize("n_tokens", [9, 12])
def test_the_low_rank_kernel_is_that_of_the_recurrence(n_tokens):
    """x ← Ā x + B̄ u, y = Re(C x) with the bilinear Ā of the dense matrix A = Λ - P P†, one step after the other."""
    params, green = kernel_of("s4", n_tokens)
    causal = []
    for channel in range(3):
        p, b, c = (complex_of(params, name)[channel] for name in ("p", "b", "c"))
        step = np.exp(float(params["log_step"][channel]))
        poles = -np.exp(np.asarray(params["log_decay"][channel])) + 1j * np.asarray(params["frequency"][channel])
        matrix = np.diag(poles) - np.outer(p, p.conj())
        backward = np.linalg.inv(np.eye(4) - step / 2 * matrix)
        forward, x = backward @ (np.eye(4) + step / 2 * matrix), step * (backward @ b)
        values = []
        for _ in range(300 * n_tokens):
            values.append((c.conj() @ x).real)
            x = forward @ x
        causal.append(values)
    np.testing.assert_allclose(green, wrapped(np.array(causal).T, params["skip"], n_tokens), atol=1e-9)


CASES = [
    (24, 0, {"blocks": 1}),
    (21, 0, {}),
    (24, 1, {"head": "complex", "mixer": "s4"}),
    (24, 2, {"token": 2}),
]


@pytest.mark.parametrize(("n_sites", "apart", "params"), CASES)
def test_abacus_equals_full_forwards(monkeypatch, n_sites, apart, params):
    """Flips, and flips of pairs so far apart: no forward pass is taken, and none is needed, to 1e-12."""
    ansatz, parameters = dysonnet(n_sites, **params)
    updates = ansatz.local_updates()
    sites = np.arange(n_sites)
    moves = jnp.asarray(sites[:, None] if apart == 0 else np.stack([sites, (sites + apart) % n_sites], axis=1))
    sigma = Sector(n_sites).random(jax.random.key(3), 2)

    def refuse(*_):
        raise AssertionError("a full forward pass")

    with monkeypatch.context() as patched:
        patched.setattr(FullForward, "log_ratios", refuse)

        @jax.jit
        @jax.vmap
        def changes(s):
            prepared = updates.prepare(parameters)
            cache = updates.cache(prepared, s)
            return updates.log_ratios(prepared, cache, s, moves), updates.log_psi(prepared, cache)

        ratios, log_psi = changes(sigma)
    full = jax.jit(jax.vmap(ansatz.log_psi, (None, 0)))
    before = full(parameters, sigma)
    after = jnp.stack([full(parameters, jax.vmap(flip, (None, 0))(s, moves)) for s in sigma])
    assert np.abs(after - before[:, None]).max() > 0.3
    np.testing.assert_allclose(log_psi, before, atol=1e-12)
    np.testing.assert_allclose(ratios, after - before[:, None], atol=1e-12)


@pytest.mark.parametrize("token", [1, 2])
def test_translations_by_a_token_change_nothing(token):
    ansatz, params = dysonnet(12, token=token)
    sigma = Sector(12).random(jax.random.key(3), 4)
    log_psi = jax.jit(jax.vmap(ansatz.log_psi, (None, 0)))
    shifted = [np.asarray(log_psi(params, jnp.roll(sigma, shift, axis=1))) for shift in (0, 1, 2)]
    np.testing.assert_allclose(shifted[0], shifted[2], atol=1e-12)
    assert np.allclose(shifted[0], shifted[1], atol=1e-12) == (token == 1)


def test_the_affine_maps_start_normalised():
    ansatz = build(("chain", {"length": 64}), **SMALL)
    params = jax.tree.map(np.asarray, jax.jit(ansatz.init)(jax.random.key(5)))
    block = params["params"]["block_0"]
    sigma = np.asarray(Sector(64).random(jax.random.key(1), 200))
    h = sigma[..., None] * params["params"]["embed"]["kernel"][0] + params["params"]["embed"]["bias"]
    scaled = block["affine_scale"] * h + block["affine_bias"]
    np.testing.assert_allclose(scaled.mean((0, 1)), 0, atol=0.15)
    np.testing.assert_allclose(scaled.std((0, 1)), 1, atol=0.05)


def test_deep_and_wide_networks_take_forward_passes():
    ring = ("chain", {"length": 40})
    assert isinstance(build(ring, blocks=2).local_updates(), Abacus)
    assert isinstance(build(ring, blocks=3).local_updates(), FullForward)
    assert isinstance(build(ring, kernel=15).local_updates(), FullForward)


def build(lattice, **params):
    return ANSATZE.build(
        Spec(name="dysonnet", params=params),
        lattice=LATTICES.build(Spec(name=lattice[0], params=lattice[1])),
        sector=Sector(lattice[1].get("length", 16)),
        precision="float32",
    )


@pytest.mark.parametrize(
    ("lattice", "params", "problem"),
    [
        (("chain", {"length": 16, "periodic": False}), {}, "close around a ring.*use a periodic chain, or rbm or vit"),
        (("square", {"extent": [4, 4]}), {}, "close around a ring"),
        (("chain", {"length": 15}), {"token": 2}, "token = 2 must divide the length 15"),
        (("chain", {"length": 16}), {"kernel": 4}, "kernel = 4 must be odd"),
        (("chain", {"length": 4}), {"kernel": 9}, "reaches around the ring of 4 tokens; allowed: up to 7"),
    ],
)
def test_what_does_not_fit_is_refused(lattice, params, problem):
    with pytest.raises(ConfigError, match=problem):
        build(lattice, **params)
