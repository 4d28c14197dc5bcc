"""Local estimators against dense matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import estimators
from nqs_core.config import Spec
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.jacobian import force
from nqs_core.lattices import LATTICES
from nqs_core.observables import OBSERVABLES
from nqs_core.operators import Terms, compile
from nqs_core.sector import Sector
from tests.nqs_core.systems import LogTable, dense

N = 4
LATTICE = LATTICES.build(Spec(name="chain", params={"length": N}))
SIGMA = jnp.asarray(Sector(N).enumerate())


def table(signed):
    ansatz = LogTable(lattice=LATTICE, sector=Sector(N), complex=signed)
    return ansatz, ansatz.init(jax.random.key(3))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    "terms",
    [
        (Terms("ZZ", np.array([[0, 1], [2, 3]]), 0.7), Terms("X", np.arange(N)[:, None], -0.4)),
        (Terms("XYZ", np.array([[0, 2, 3]]), 0.3), Terms("YY", np.array([[1, 3]]), -0.8)),
        (Terms("ZX", np.array([[0, 1], [3, 2]]), np.array([0.2, -0.6])), Terms("Z", np.arange(N)[:, None], 0.1)),
    ],
)
def test_mean_local_value_is_the_expectation(terms, signed):
    ansatz, params = table(signed)
    psi = np.exp(np.asarray(params["params"]["table"]))
    local = np.asarray(estimators.local_values(compile(terms, N), ansatz, params, SIGMA))
    np.testing.assert_allclose(local, dense(terms, N) @ psi / psi, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["tfim", "heisenberg"])
def test_exact_ground_state_has_no_variance_and_no_force(name):
    params = {"marshall": True} if name == "heisenberg" else {}
    terms = HAMILTONIANS.build(Spec(name=name, params=params), lattice=LATTICE).terms()
    sector = Sector(N, 0.0 if name == "heisenberg" else None)
    index = sector.indices()
    values, vectors = np.linalg.eigh(dense(terms, N)[np.ix_(index, index)])
    psi = np.abs(vectors[:, 0])
    ansatz = LogTable(lattice=LATTICE, sector=sector)
    log_psi = np.full(2**N, -60.0)
    log_psi[index] = np.log(psi)
    theta = {"params": {"table": jnp.asarray(log_psi)}}
    sigma = jnp.asarray(sector.enumerate())
    e_loc = np.asarray(estimators.local_values(compile(terms, N), ansatz, theta, sigma))
    np.testing.assert_allclose(e_loc, values[0], rtol=1e-10)
    assert np.var(e_loc) < 1e-20
    gradient = force(ansatz, theta, sigma, jnp.asarray(psi**2), jnp.asarray(e_loc))
    assert np.max(np.abs(gradient["params"]["table"])) < 1e-10


def test_forbidden_moves_do_not_meet_infinities():
    """log ψ = -inf outside the sector and mel = 0 there must give 0, not NaN."""
    ansatz = LogTable(lattice=LATTICE, sector=Sector(N, 0.0))
    log_psi = np.full(2**N, -np.inf)
    log_psi[Sector(N, 0.0).indices()] = 0.0
    operator = compile(HAMILTONIANS.build(Spec(name="heisenberg"), lattice=LATTICE).terms(), N)
    sigma = jnp.asarray(Sector(N, 0.0).enumerate())
    e_loc = estimators.local_values(operator, ansatz, {"params": {"table": jnp.asarray(log_psi)}}, sigma)
    assert np.all(np.isfinite(e_loc))


def test_chunks_change_nothing(monkeypatch):
    ansatz, params = table(True)
    operator = compile((Terms("X", np.arange(N)[:, None], -0.4),), N)
    whole = estimators.local_values(operator, ansatz, params, SIGMA)
    monkeypatch.setattr(estimators, "CHUNK", 5)
    np.testing.assert_allclose(whole, estimators.local_values(operator, ansatz, params, SIGMA), rtol=1e-13)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("name", OBSERVABLES)
def test_observables_equal_dense_expectations(name, signed):
    ansatz, params = table(signed)
    psi = np.exp(np.asarray(params["params"]["table"]))
    p = np.abs(psi) ** 2 / np.sum(np.abs(psi) ** 2)
    observable = OBSERVABLES.build(Spec(name=name), lattice=LATTICE)
    spins = np.asarray(SIGMA, float)
    m = spins.mean(1)
    ring = np.array([[(i, (i + r) % N) for i in range(N)] for r in range(3)])
    independent = {
        "magnetisation": p @ m,
        "abs_magnetisation": p @ np.abs(m),
        "magnetisation_squared": p @ m**2,
        "magnetisation_fourth": p @ m**4,
        "binder_cumulant": 1 - (p @ m**4) / (3 * (p @ m**2) ** 2),
        "staggered_magnetisation_squared": p @ (spins * [1, -1, 1, -1]).mean(1) ** 2,
        "correlation": [p @ np.mean([spins[:, i] * spins[:, j] for i, j in pairs], axis=0) for pairs in ring],
        "transverse_magnetisation": np.real(psi.conj() @ dense((Terms("X", np.arange(N)[:, None], 0.25),), N) @ psi)
        / np.real(psi.conj() @ psi),
    }
    measured = {k: jnp.tensordot(jnp.asarray(p), v, 1) for k, v in jax.vmap(observable.diagonal)(SIGMA).items()}
    for key, terms in observable.terms().items():
        measured[key] = jnp.sum(p * estimators.local_values(compile(terms, N), ansatz, params, SIGMA)).real
    assert measured
    measured |= observable.derived({key: np.asarray(v) for key, v in measured.items()})
    for key, value in measured.items():
        np.testing.assert_allclose(value, independent[key], rtol=1e-6, atol=1e-8)
    for key, axis in observable.axes().items():
        assert measured[key].shape == axis.shape
