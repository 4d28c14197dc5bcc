"""Local estimators against dense matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import batching, estimators
from nqs_core.config import Spec
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.jacobian import force
from nqs_core.lattices import LATTICES
from nqs_core.operators import Terms, compile
from nqs_core.sector import Sector
from nqs_core.wavefunction import bind
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
    local = np.asarray(estimators.local_values(bind(ansatz, params), compile(terms, N), SIGMA))
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
    e_loc = np.asarray(estimators.local_values(bind(ansatz, theta), compile(terms, N), sigma))
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
    e_loc = estimators.local_values(bind(ansatz, {"params": {"table": jnp.asarray(log_psi)}}), operator, sigma)
    assert np.all(np.isfinite(e_loc))


def test_chunks_change_nothing(monkeypatch):
    ansatz, params = table(True)
    operator = compile((Terms("X", np.arange(N)[:, None], -0.4),), N)
    whole = estimators.local_values(bind(ansatz, params), operator, SIGMA)
    monkeypatch.setattr(batching, "MOST", 5)
    np.testing.assert_allclose(whole, estimators.local_values(bind(ansatz, params), operator, SIGMA), rtol=1e-13)


@pytest.mark.parametrize("signed", [False, True])
def test_moves_out_of_the_sector_do_not_count(signed):
    """The network gives something there, but the state of the run is 0."""
    sector = Sector(N, 0.0)
    ansatz, params = LogTable(lattice=LATTICE, sector=sector, complex=signed), table(signed)[1]
    psi = np.zeros(2**N, complex)
    psi[sector.indices()] = np.exp(np.asarray(params["params"]["table"]))[sector.indices()]
    terms = (Terms("X", np.arange(N)[:, None], 0.5), Terms("XX", np.array([[0, 1], [2, 3]]), 0.7))
    local = estimators.local_values(bind(ansatz, params), compile(terms, N), jnp.asarray(sector.enumerate()))
    expected = (dense(terms, N) @ psi)[sector.indices()] / psi[sector.indices()]
    np.testing.assert_allclose(local, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("signed", [False, True])
def test_rows_are_resolved(signed):
    ansatz, params = table(signed)
    psi = np.exp(np.asarray(params["params"]["table"]))
    pairs = np.array([[0, 1], [1, 2], [3, 0]])
    c = np.array([0.3, -0.7, 1.1])
    terms = (Terms("XX", pairs, c), Terms("YY", pairs, 0.5 * c), Terms("ZX", pairs, -0.2), Terms("ZZ", pairs, 2 * c))
    local = np.asarray(estimators.resolved_values(bind(ansatz, params), compile(terms, N), SIGMA))
    for k in range(3):
        row = tuple(Terms(t.operators, pairs[k : k + 1], np.broadcast_to(t.coefficient, 3)[k]) for t in terms)
        np.testing.assert_allclose(local[:, k], dense(row, N) @ psi / psi, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="row by row"):
        estimators.resolved_values(bind(ansatz, params), compile((*terms, Terms("Z", pairs[:2, :1], 1.0)), N), SIGMA)
