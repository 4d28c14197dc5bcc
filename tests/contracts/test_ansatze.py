"""What every registered ansatz must do, with every switch it has."""

import functools
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from nqs_core.ansatze import ANSATZE
from nqs_core.ansatze.base import flip
from nqs_core.config import Spec
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.jacobian import force
from nqs_core.operators import to_dense
from nqs_core.sector import Sector
from tests.contracts.variants import chain, label, moved, network, variants

SPECS = variants(ANSATZE)
every_ansatz = pytest.mark.parametrize("spec", SPECS, ids=label)
N = 6


ROWS = 64  # of one call: every test asks a network in the same shape, which is compiled once


@partial(jax.jit, static_argnums=0)
def forward(ansatz: Any, params: Any, sigma: Any) -> Any:
    return jax.vmap(ansatz.log_psi, (None, 0))(params, sigma)


def full(ansatz: Any, params: Any, sigma: Any) -> Any:
    """log ψ of configurations (..., n_sites) by full forward passes."""
    sigma = np.asarray(sigma)
    flat = sigma.reshape(-1, sigma.shape[-1])
    padded = np.concatenate([flat, np.ones((-len(flat) % ROWS, flat.shape[1]), flat.dtype)])
    parts = [np.asarray(forward(ansatz, params, part)) for part in padded.reshape(-1, ROWS, flat.shape[1])]
    return np.concatenate(parts)[: len(flat)].reshape(sigma.shape[:-1])


def flipped(sigma: Any, moves: Any) -> Any:
    """Every configuration (..., n_sites) after every move: (..., n_moves, n_sites)."""
    sigma, moves = np.asarray(sigma), np.asarray(moves)
    turned = (np.arange(sigma.shape[-1]) == moves[..., None]).any(axis=1)
    return np.where(turned, -sigma[..., None, :], sigma[..., None, :])


def same_amplitudes(a: Any, b: Any, tolerance: float = 1e-10) -> bool:
    """log ψ equal, its imaginary part up to 2π."""
    turned = np.abs(np.exp(1j * (np.imag(a) - np.imag(b))) - 1)
    return bool(np.all(np.abs(np.real(a) - np.real(b)) < tolerance) and np.all(turned < tolerance))


SITES = np.arange(N)
FLIPS = SITES[:, None]
PAIRS = np.concatenate([
    np.stack(np.triu_indices(N, 1), axis=1), np.stack([SITES, np.full(N, -1)], axis=1), [[-1, -1]]
])  # fmt: skip
"""Every flip, and every pair with pairs of which one or both are padding."""


class Walk(NamedTuple):
    """What a cache says on a walk: `start` from a fresh one; of the others the first axis is the step."""

    start: dict[str, Any]  # flips, pairs: log-ratios
    sigma: Any
    log_psi: Any
    flips: Any
    pairs: Any
    turned: Any  # log ψ after one flip more


def walk(spec: Spec) -> Walk:
    """Fifty random moves and everything that can be asked on the way, by one program for each network."""
    return _walk(spec.model_dump_json())


@functools.cache
def _walk(spec: str) -> Walk:
    ansatz, params = network(Spec.model_validate_json(spec))
    updates, start = ansatz.local_updates(), Sector(N).random(jax.random.key(4), 1)[0]

    def story(params, moves, turns):
        prepared = updates.prepare(params)

        def ratios(cache, sigma):
            known = {"flips": jnp.asarray(FLIPS), "pairs": jnp.asarray(PAIRS)}
            return {name: updates.log_ratios(prepared, cache, sigma, moves) for name, moves in known.items()}

        def step(carry, chosen):
            sigma, cache = carry
            move, turn = chosen
            cache, sigma = updates.advance(prepared, cache, sigma, move), flip(sigma, move)
            turned = updates.advance(prepared, cache, sigma, turn)
            told = {"log_psi": updates.log_psi(prepared, cache), "turned": updates.log_psi(prepared, turned)}
            return (sigma, cache), {"sigma": sigma, **told, **ratios(cache, sigma)}

        cache = updates.cache(prepared, start)
        return ratios(cache, start), jax.lax.scan(step, (start, cache), (moves, turns))[1]

    first, told = jax.jit(story)(params, PAIRS[WALK], FLIPS[TURNS])
    return Walk(first | {"sigma": start}, **told)


RANDOM = np.random.default_rng(5)
WALK, TURNS = RANDOM.integers(len(PAIRS), size=50), RANDOM.integers(N, size=50)


@every_ansatz
@pytest.mark.parametrize("size", ["flips", "pairs"])
def test_log_ratios_equal_full_forwards(spec, size):
    ansatz, params = network(spec)
    told, moves = walk(spec).start, {"flips": FLIPS, "pairs": PAIRS}[size]
    expected = full(ansatz, params, flipped(told["sigma"], moves)) - full(ansatz, params, told["sigma"])
    assert told[size].dtype == expected.dtype
    assert np.ptp(expected.real) > 0.1  # a flat ψ would show nothing
    assert same_amplitudes(told[size], expected)


@every_ansatz
def test_fifty_accepted_moves_keep_the_cache_exact(spec):
    ansatz, params = network(spec)
    told = walk(spec)
    assert len(np.unique(told.sigma, axis=0)) > 20
    expected = full(ansatz, params, told.sigma)
    assert same_amplitudes(told.log_psi, expected)
    for ratios, moves in ((told.flips, FLIPS), (told.pairs, PAIRS)):
        assert same_amplitudes(ratios, full(ansatz, params, flipped(told.sigma, moves)) - expected[:, None])
    once_more = flipped(told.sigma, FLIPS)[np.arange(len(TURNS)), TURNS]
    assert same_amplitudes(told.turned, full(ansatz, params, once_more))


def test_a_table_that_forgets_the_second_site_is_caught():
    """The broken twin of the two tests above: pairs updated as if their first site alone had flipped."""
    ansatz, params = network(Spec(name="rbm", params={"alpha": 1}))
    updates, moves = ansatz.local_updates(), jnp.asarray(PAIRS)
    prepared, sigma = updates.prepare(params), Sector(N).random(jax.random.key(3), 1)[0]
    broken = updates.log_ratios(prepared, updates.cache(prepared, sigma), sigma, moves[:, :1])
    expected = full(ansatz, params, flipped(sigma, moves)) - ansatz.log_psi(params, sigma)
    assert not same_amplitudes(broken, expected, 1e-3)


@every_ansatz
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_numbers_have_the_configured_precision(spec, precision):
    ansatz, params = network(spec, precision=precision)
    sigma = Sector(N).random(jax.random.key(3), 4)
    real, complex_ = (jnp.float32, jnp.complex64) if precision == "float32" else (jnp.float64, jnp.complex128)
    log_psi = full(ansatz, params, sigma)
    assert log_psi.dtype == (complex_ if ansatz.signed else real)
    fresh = jax.eval_shape(ansatz.init, jax.random.key(0))
    assert {x.dtype for x in jax.tree.leaves(fresh)} <= {jnp.dtype(real), jnp.dtype(complex_)}
    updates = ansatz.local_updates()

    def carried(p):
        prepared = updates.prepare(p)
        return updates.log_psi(prepared, updates.cache(prepared, sigma[0]))

    assert jax.eval_shape(carried, params).dtype == log_psi.dtype
    if precision == "float32":
        wide = jax.tree.map(lambda x: x.astype(jnp.complex128 if jnp.iscomplexobj(x) else jnp.float64), params)
        exact = full(network(spec)[0], wide, sigma)
        assert same_amplitudes(log_psi, exact, 1e-4)


@every_ansatz
def test_extreme_parameters_do_not_overflow(spec):
    ansatz, params = network(spec, precision="float32")
    large = jax.tree.map(lambda x: 300 * x, params)
    sigma = Sector(N).random(jax.random.key(3), 8)
    assert np.all(np.isfinite(full(ansatz, large, sigma)))


@every_ansatz
def test_gradient_equals_finite_differences_of_the_exact_energy(spec):
    """dE/dθ = 2 Re⟨O* (E_loc - E)⟩ along random directions, on full summation over the basis."""
    ansatz, params = network(spec)
    hamiltonian = HAMILTONIANS.build(Spec(name="tfim", params={"h": 0.7}), lattice=chain(N))
    sigma = Sector(N).enumerate()
    dense = to_dense(hamiltonian.terms(), Sector(N))

    def energy(p):
        log_psi = full(ansatz, p, sigma)
        psi = np.exp(log_psi - np.max(log_psi.real))
        weights = np.abs(psi) ** 2 / np.sum(np.abs(psi) ** 2)
        e_loc = dense @ psi / psi
        return np.sum(weights * e_loc).real, weights, e_loc

    _, weights, e_loc = energy(params)
    gradient = ravel_pytree(jax.jit(partial(force, ansatz))(params, jnp.asarray(sigma), weights, e_loc))[0]
    flat, unravel = ravel_pytree(params)
    random = np.random.default_rng(6)
    for _ in range(3):
        direction = moved(jnp.zeros_like(flat), 1.0, random)
        step = 1e-4
        values = [energy(unravel(flat + m * step * direction))[0] for m in (-2, -1, 1, 2)]
        slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
        np.testing.assert_allclose(2 * jnp.sum((jnp.conj(gradient) * direction).real), slope, rtol=1e-6)


@every_ansatz
def test_building_allocates_nothing(spec):
    ansatz = ANSATZE.build(spec, lattice=chain(2000), sector=Sector(2000), precision="float32")
    shapes = jax.eval_shape(ansatz.init, jax.random.key(0))
    assert all(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(shapes))
    assert hash(ansatz) == hash(ANSATZE.build(spec, lattice=chain(2000), sector=Sector(2000), precision="float32"))


@every_ansatz
def test_the_start_is_close_to_uniform(spec):
    """A fresh network must not freeze chains before the first step."""
    ansatz, params = network(spec, precision="float32", spread=0.0)
    assert np.std(full(ansatz, params, Sector(N).enumerate()).real) < 2
