"""Every registered Hamiltonian against its formula in Kronecker products."""

import string

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import reference
from nqs_core.ansatze.base import flip
from nqs_core.config import Spec, System
from nqs_core.errors import ConfigError
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.operators import compile, conserves_sz, masks, to_dense, to_sparse
from nqs_core.sector import Sector
from tests.nqs_core import kron
from tests.nqs_core.small import HAMILTONIAN_CASES, hamiltonian, lattice

CASES = [(name, *case) for name in HAMILTONIANS for case in HAMILTONIAN_CASES.get(name, [])]
each_case = pytest.mark.parametrize(("name", "on", "shape", "couplings"), CASES, ids=lambda v: str(v).replace(" ", ""))


def build(name, on, shape, couplings):
    lat = lattice(on, **shape)
    return hamiltonian(name, lat, **couplings), kron.hamiltonian(name, on, lat.extent, lat.periodicity, couplings)


def test_every_hamiltonian_has_cases_on_three_shapes():
    for name in HAMILTONIANS:
        assert len({str(case[:2]) for case in HAMILTONIAN_CASES.get(name, [])}) >= 3, name


@each_case
def test_the_matrix_is_the_formula_and_hermitian(name, on, shape, couplings):
    model, expected = build(name, on, shape, couplings)
    sector = Sector(model.lattice.n_sites)
    found = to_dense(model.terms(), sector)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(found, found.conj().T, atol=1e-12)


@each_case
@pytest.mark.parametrize("method", ["auto", "exact"])
def test_the_lowest_levels_are_those_of_the_formula_with_multiplicity(name, on, shape, couplings, method):
    _, expected = build(name, on, shape, couplings)
    system = System(lattice=Spec(name=on, params=shape), hamiltonian=Spec(name=name, params=couplings))
    found = reference.compute(system, 3, method)
    np.testing.assert_allclose([level.energy for level in found], np.linalg.eigvalsh(expected)[:3], rtol=0, atol=1e-10)


@each_case
def test_the_compiled_operator_acts_like_the_matrix(name, on, shape, couplings):
    model, expected = build(name, on, shape, couplings)
    n = model.lattice.n_sites
    operator = compile(model.terms(), n)
    moves = jnp.asarray(operator.moves)
    states = jnp.asarray(Sector(n).enumerate())[:: max(1, 2**n // 32)]
    weights = 2 ** jnp.arange(n)

    @jax.jit
    def row(sigma):
        targets = jax.vmap(lambda move: flip(sigma, move))(moves)
        codes = ((targets < 0) * weights[None, :]).sum(axis=1)
        here = ((sigma < 0) * weights).sum()
        values = operator.mel(sigma).astype(complex)
        return jnp.zeros(2**n, complex).at[codes].add(values).at[here].add(operator.diagonal(sigma))

    rows = np.asarray(jax.vmap(row)(states))
    np.testing.assert_allclose(rows, expected[:: max(1, 2**n // 32)], atol=1e-12)


@each_case
def test_sectors_of_sz_are_blocks_where_it_is_conserved(name, on, shape, couplings):
    model, expected = build(name, on, shape, couplings)
    n = model.lattice.n_sites
    assert model.conserves_sz == conserves_sz(masks(model.terms(), n))
    if not model.conserves_sz:
        return
    spectrum = []
    for sz in np.arange(-n / 2, n / 2 + 1):
        block = to_sparse(model.terms(), Sector(n, float(sz))).toarray()
        states = Sector(n, float(sz)).indices()
        np.testing.assert_allclose(block, expected[np.ix_(states, states)], atol=1e-12)
        spectrum += np.linalg.eigvalsh(block).tolist()
    np.testing.assert_allclose(np.sort(spectrum), np.linalg.eigvalsh(expected), atol=1e-10)


@each_case
def test_the_marshall_rotation_keeps_the_spectrum_and_makes_the_exchange_negative(name, on, shape, couplings):
    if "marshall" not in HAMILTONIANS.model(name).model_fields:
        return
    plain, expected = build(name, on, shape, couplings)
    if plain.lattice.sublattice() is None:
        with pytest.raises(ConfigError, match="marshall = true needs a bipartite lattice"):
            hamiltonian(name, plain.lattice, **couplings, marshall=True)
        return
    rotated = to_dense(
        hamiltonian(name, plain.lattice, **couplings, marshall=True).terms(), Sector(plain.lattice.n_sites)
    )
    np.testing.assert_allclose(np.linalg.eigvalsh(rotated), np.linalg.eigvalsh(expected), atol=1e-10)
    down = Sector(plain.lattice.n_sites).enumerate() < 0
    sign = 1 - 2 * (down[:, plain.lattice.sublattice() == 1].sum(axis=1) % 2)
    np.testing.assert_allclose(rotated, sign[:, None] * expected * sign[None, :], atol=1e-12)
    assert np.abs(rotated - expected).max() > 0.1


def test_marshall_leaves_no_positive_element_of_the_antiferromagnet():
    ring = to_dense(hamiltonian("heisenberg", lattice("chain", length=6), marshall=True).terms(), Sector(6))
    off = ring - np.diag(np.diag(ring))
    assert off.max() == 0
    assert off.min() == -0.5


@pytest.mark.parametrize("name", list(HAMILTONIANS))
def test_couplings_are_traced_and_sweep_without_compiling_again(name):
    on, shape, couplings = HAMILTONIAN_CASES[name][0]
    lat = lattice(on, **shape)
    compilations = 0

    @jax.jit
    def energy(model, sigma):
        nonlocal compilations
        compilations += 1
        operator = compile(model.terms(), lat.n_sites)
        return operator.diagonal(sigma) + jnp.sum(operator.mel(sigma))

    sigma = jnp.ones(lat.n_sites, jnp.int8)
    model = hamiltonian(name, lat, **couplings)
    values = jax.tree.leaves(model)
    swept = jax.tree.unflatten(jax.tree.structure(model), [2 * v for v in values])
    first, second = complex(energy(model, sigma)), complex(energy(swept, sigma))
    assert compilations == 1
    assert not values or first != second


@pytest.mark.parametrize("name", list(HAMILTONIANS))
def test_formulas_take_the_couplings(name):
    on, shape, couplings = HAMILTONIAN_CASES[name][0]
    formula = HAMILTONIANS[name].formula
    names = {field for _, field, _, _ in string.Formatter().parse(formula) if field}
    assert names <= set(HAMILTONIANS.model(name).model_fields)
    model = hamiltonian(name, lattice(on, **shape), **couplings)
    shown = formula.format(**{k: getattr(model, k) for k in HAMILTONIANS.model(name).model_fields})
    assert shown.count("{") == shown.count("}")
    assert shown.startswith("H = ")


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("ising", {}, "unknown hamiltonian 'ising'; choose one of .*tfim"),
        ("tfim", {"J": "1"}, "valid number"),
        ("tfim", {"h": float("nan")}, "finite number"),
        ("tfim", {"J": float("inf")}, "finite number|less than or equal"),
        ("tfim", {"J": 1e9}, "less than or equal to 1000"),
        ("tfim", {"g": 1.0}, "g: Extra inputs are not permitted.*parameters: J, h, h_z"),
        ("heisenberg", {"marshall": 1}, "valid boolean"),
    ],
)
def test_bad_couplings_are_refused(name, params, message):
    with pytest.raises(ConfigError, match=message):
        hamiltonian(name, lattice("chain"), **params)
