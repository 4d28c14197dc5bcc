"""Compiled Pauli strings against Kronecker products, on every string of up to three letters and on random sums."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import operators
from nqs_core.ansatze.base import flip
from nqs_core.operators import (
    Terms,
    compile,
    conserves_sz,
    is_flip_invariant,
    is_invariant,
    masks,
    to_dense,
    to_sparse,
)
from nqs_core.sector import Sector
from tests.nqs_core import kron
from tests.nqs_core.systems import dense


def matrix_of(operator, n):
    """Column by column from `diagonal`, `moves` and `mel`: what the estimators see."""
    states = Sector(n).enumerate()
    weights = 1 << np.arange(n)
    out = np.zeros((2**n, 2**n), complex)
    for row, sigma in enumerate(states):
        out[row, row] += complex(operator.diagonal(jnp.asarray(sigma)))
        for move, element in zip(operator.moves, operator.mel(jnp.asarray(sigma)), strict=True):
            target = np.asarray(flip(jnp.asarray(sigma), jnp.asarray(move)))
            out[row, int(((target < 0) * weights).sum())] += complex(element)
    return out


def random_terms(n, seed):
    """Strings of every length with random sites and real coefficients, equal ones included."""
    rng = np.random.default_rng(seed)
    for letters in ("X", "Y", "Z", "XX", "YY", "ZZ", "XY", "YZ", "ZX", "XX", "XYZ", "YYZ"):
        if len(letters) <= n:
            sites = np.array([rng.permutation(n)[: len(letters)] for _ in range(3)])
            yield Terms(letters, sites, rng.normal(size=3))


def dense_of(terms, n):
    pairs = []
    for letters, sites, c in terms:
        for row, value in zip(sites, np.broadcast_to(c, len(sites)), strict=True):
            pairs.append((dict(zip(row.tolist(), letters, strict=True)), value))
    return kron.total(n, pairs)


@pytest.mark.parametrize("letters", ["".join(p) for k in (1, 2, 3) for p in itertools.product("XYZ", repeat=k)])
def test_every_short_string_equals_its_kronecker_product(letters):
    n = 3
    terms = [Terms(letters, np.arange(n)[::-1][None, : len(letters)], 0.7)]
    expected = dense_of(terms, n)
    np.testing.assert_allclose(to_dense(terms, Sector(n)), expected, atol=1e-14)
    np.testing.assert_allclose(matrix_of(compile(terms, n), n), expected, atol=1e-14)


@pytest.mark.parametrize("few", [0, 100])
def test_many_words_in_one_program_equal_kronecker_products(monkeypatch, few):
    monkeypatch.setattr(operators, "FEW", few)
    n, terms = 4, list(random_terms(4, seed=3))
    operator, states = compile(terms, n), Sector(n).enumerate()
    np.testing.assert_allclose(matrix_of(operator, n), dense_of(terms, n), atol=1e-13)
    np.testing.assert_allclose(operator.elements(states), jax.vmap(operator.mel)(jnp.asarray(states)), atol=1e-13)
    if few == 0:
        assert len({frozenset(move) for move in operator.moves.tolist()}) == len(operator.moves)
        with pytest.raises(ValueError, match="row by row"):
            _ = operator.n_rows


def test_only_a_diagonal_or_nothing_in_one_program(monkeypatch):
    monkeypatch.setattr(operators, "FEW", 0)
    operator = compile([Terms("Z", np.array([[0], [1]]), 2.0)], 2)
    assert operator.moves.shape[0] == 0
    assert operator.mel(jnp.ones(2, jnp.int8)).shape == (0,)
    assert operator.elements(np.ones((3, 2), np.int8)).shape == (3, 0)
    assert float(operator.diagonal(jnp.array([1, -1], jnp.int8))) == 0.0


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_sums_equal_kronecker_products_and_are_hermitian(n):
    terms = list(random_terms(n, seed=n))
    expected = dense_of(terms, n)
    found = to_dense(terms, Sector(n))
    np.testing.assert_allclose(found, expected, atol=1e-13)
    np.testing.assert_allclose(found, found.conj().T, atol=1e-13)
    np.testing.assert_allclose(matrix_of(compile(terms, n), n), expected, atol=1e-13)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_sectors_are_restrictions_of_the_whole_matrix(n):
    terms = list(random_terms(n, seed=10 + n))
    whole = dense_of(terms, n)
    for sz in np.arange(-n / 2, n / 2 + 1):
        sector = Sector(n, float(sz))
        states = sector.indices()
        np.testing.assert_allclose(to_sparse(terms, sector).toarray(), whole[np.ix_(states, states)], atol=1e-13)


def test_a_wrong_sign_of_y_would_be_noticed():
    terms = [Terms("YZ", np.array([[0, 1]]), 1.0)]
    broken = [Terms("YZ", np.array([[0, 1]]), -1.0)]
    assert np.abs(to_dense(broken, Sector(2)) - dense_of(terms, 2)).max() == pytest.approx(2.0)


def test_moves_are_padded_and_forbidden_elements_are_exactly_zero():
    pairs = np.array([[0, 1], [1, 2]])
    operator = compile([Terms("XX", pairs, 0.25), Terms("YY", pairs, 0.25), Terms("X", np.array([[2]]), 1.0)], 3)
    assert operator.moves.tolist() == [[0, 1], [1, 2], [2, -1]]
    assert operator.mel(jnp.array([1, 1, -1], jnp.int8)).tolist() == [0.0, 0.5, 1.0]


def test_equal_strings_are_summed_and_cancelled():
    sites = np.array([[0, 1]])
    assert masks([Terms("XX", sites, 1.0), Terms("XX", sites[:, ::-1], -1.0)], 2) == []


@pytest.mark.parametrize(
    ("terms", "conserves"),
    [
        ([Terms("ZZ", np.array([[0, 1]]), 1.0)], True),
        ([Terms("XX", np.array([[0, 1]]), 1.0), Terms("YY", np.array([[0, 1]]), 1.0)], True),
        ([Terms("XX", np.array([[0, 1]]), 1.0), Terms("YY", np.array([[0, 1]]), 0.9)], False),
        ([Terms("XY", np.array([[0, 1]]), 1.0), Terms("YX", np.array([[0, 1]]), -1.0)], True),
        ([Terms("XY", np.array([[0, 1]]), 1.0), Terms("YX", np.array([[0, 1]]), 1.0)], False),
        ([Terms("X", np.array([[0]]), 1.0)], False),
        ([Terms("XXZ", np.array([[0, 1, 2]]), 1.0), Terms("YYZ", np.array([[0, 1, 2]]), 1.0)], True),
    ],
)
def test_conservation_of_sz_is_read_off_the_strings(terms, conserves):
    n = 3
    dense = dense_of(terms, n)
    sz = np.diag(Sector(n).enumerate().sum(axis=1) / 2.0)
    assert (np.abs(dense @ sz - sz @ dense).max() < 1e-12) == conserves
    assert conserves_sz(masks(terms, n)) == conserves


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (Terms("XA", np.array([[0, 1]]), 1.0), "letters must be X, Y or Z"),
        (Terms("XX", np.array([[0, 3]]), 1.0), "sites must be 0..2"),
        (Terms("XX", np.array([[-1, 1]]), 1.0), "sites must be 0..2"),
        (Terms("XX", np.array([[1, 1]]), 1.0), "twice"),
    ],
)
def test_bad_strings_are_refused(terms, message):
    with pytest.raises(ValueError, match=message):
        compile([terms], 3)
    with pytest.raises(ValueError, match=message):
        masks([terms], 3)


@pytest.mark.parametrize("name", ["shift", "reflection", "swap"])
def test_invariance_is_that_of_the_matrix(name):
    n = 4
    terms = (
        Terms("ZZ", np.array([[0, 1], [1, 2], [2, 3], [3, 0]]), 1.0),
        Terms("XY", np.array([[0, 2]]), 0.5),
        Terms("YX", np.array([[0, 2]]), 0.5),
        Terms("X", np.array([[1], [3]]), np.array([0.3, 0.3])),
    )
    perm = {"shift": [3, 0, 1, 2], "reflection": [0, 3, 2, 1], "swap": [1, 0, 2, 3]}[name]
    index = np.arange(2**n)
    moved = np.zeros_like(index)
    for site, source in enumerate(perm):
        moved |= ((index >> source) & 1) << site
    matrix = dense(terms, n)
    assert is_invariant(terms, np.array(perm, np.int32)) == np.allclose(matrix[np.ix_(moved, moved)], matrix)
    assert is_invariant(terms, np.array(perm, np.int32)) == (name == "reflection")


@pytest.mark.parametrize(("letters", "even"), [("ZZ", True), ("X", True), ("XYZ", True), ("Z", False), ("XY", False)])
def test_the_flip_of_all_spins_is_that_of_the_matrix(letters, even):
    terms = (Terms(letters, np.arange(len(letters))[None, :], 0.7),)
    matrix = dense(terms, 3)
    assert is_flip_invariant(terms) == even == np.allclose(matrix[::-1, ::-1], matrix)


@pytest.mark.parametrize(("sign", "conserves"), [(1.0, True), (-1.0, False)])
def test_hopping_over_many_sites_conserves_sz(sign, conserves):
    n = 30
    middle = np.arange(1, n - 1)
    sites = np.concatenate([[0, n - 1], middle])[None]
    strings = [Terms(ends + "Z" * len(middle), sites, c) for ends, c in (("XX", 0.5), ("YY", sign * 0.5))]
    assert conserves_sz(masks(strings, n)) == conserves
