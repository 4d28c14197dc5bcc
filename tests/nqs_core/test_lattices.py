"""Every registered lattice on small shapes, against its definition and an independent list of bonds."""

import itertools
import tracemalloc

import numpy as np
import pytest

from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.lattices import LATTICES
from tests.nqs_core import kron
from tests.nqs_core.small import LATTICE_CASES, lattice

CASES = [(name, params) for name in LATTICES for params in LATTICE_CASES.get(name, [])]
each_lattice = pytest.mark.parametrize(("name", "params"), CASES, ids=lambda v: str(v).replace(" ", ""))


def test_every_lattice_has_cases():
    assert all(len(LATTICE_CASES.get(name, [])) >= 3 for name in LATTICES)


@each_lattice
def test_bonds_equal_an_independent_list(name, params):
    lat = lattice(name, **params)
    for order in kron.RULES[name][1] if name in kron.RULES else (1,):
        expected = kron.bonds(name, lat.extent, lat.periodicity, order)
        assert lat.bonds(order).tolist() == [list(pair) for pair in expected]
        assert lat.bonds(order).dtype == np.int32


@each_lattice
def test_bonds_are_pairs_counted_once(name, params):
    lat = lattice(name, **params)
    for order in (1, 2, 3, 4):
        pairs = [tuple(pair) for pair in lat.bonds(order).tolist()]
        assert len(set(pairs)) == len(pairs)
        assert all(0 <= i < j < lat.n_sites for i, j in pairs)


@each_lattice
def test_nearest_neighbours_are_at_distance_one(name, params):
    lat = lattice(name, **params)
    distances = lat.distances()
    off_diagonal = distances + np.diag(np.full(lat.n_sites, np.inf))
    near = {tuple(p) for p in np.argwhere(np.triu(np.abs(off_diagonal - 1) < 1e-9)).tolist()}
    assert near == {tuple(p) for p in lat.bonds().tolist()}
    assert off_diagonal.min() > 1 - 1e-9


@each_lattice
def test_distances_are_a_metric_that_the_positions_give_inside(name, params):
    lat = lattice(name, **params)
    d, r = lat.distances(), lat.positions()
    assert d.shape == (lat.n_sites, lat.n_sites)
    np.testing.assert_allclose(d, d.T, atol=1e-12)
    assert np.all(d[:, :, None] <= d[:, None, :] + d[None, :, :].transpose(0, 2, 1) + 1e-9)
    direct = np.linalg.norm(r[:, None] - r[None, :], axis=-1)
    assert name == "all_to_all" or np.all(d <= direct + 1e-9)
    if not any(lat.periodicity) and name != "all_to_all":
        np.testing.assert_allclose(d, direct, atol=1e-12)


@each_lattice
def test_translations_are_a_group_that_keeps_all_distances(name, params):
    lat = lattice(name, **params)
    group = {tuple(row) for row in lat.translations().tolist()}
    expected = np.prod([n for n, periodic in zip(lat.extent, lat.periodicity, strict=True) if periodic], dtype=int)
    assert len(lat.translations()) == expected == len(group)
    assert tuple(range(lat.n_sites)) in group
    rows = lat.translations()[:9]
    assert all(tuple(a[b].tolist()) in group for a, b in itertools.product(rows, rows))
    for row in rows:
        np.testing.assert_allclose(lat.distances()[np.ix_(row, row)], lat.distances(), atol=1e-12)


@each_lattice
def test_sublattices_differ_across_every_bond_or_do_not_exist(name, params):
    lat = lattice(name, **params)
    colour = lat.sublattice()
    if colour is None:
        # Two colours suffice exactly when no closed walk has odd length.
        adjacency = np.zeros((lat.n_sites, lat.n_sites), dtype=bool)
        adjacency[tuple(lat.bonds().T)] = True
        step = adjacency | adjacency.T
        walk, odd = step.astype(int), False
        for length in range(1, lat.n_sites + 1):
            odd |= length % 2 == 1 and bool(np.trace(walk))
            walk = (walk @ step > 0).astype(int)
        assert odd
    else:
        assert colour[0] == 0
        assert set(colour.tolist()) <= {0, 1}
        assert np.all(colour[lat.bonds()[:, 0]] != colour[lat.bonds()[:, 1]])


@each_lattice
def test_lattices_are_hashable_and_their_arrays_shared_and_read_only(name, params):
    one, two = lattice(name, **params), lattice(name, **params)
    assert one == two
    assert hash(one) == hash(two)
    assert one.bonds() is two.bonds()
    with pytest.raises(ValueError, match="read-only"):
        one.positions()[0] = 7.0


def test_the_first_translation_of_a_ring_moves_the_pattern_up_by_one():
    ring = lattice("chain", length=5)
    assert np.arange(5)[ring.translations()[1]].tolist() == [4, 0, 1, 2, 3]


def test_square_sites_are_row_major():
    assert lattice("square", extent=[2, 3], periodic=False).positions().tolist() == [
        [0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("ring", {}, "unknown lattice 'ring'; choose one of .*chain"),
        ("chain", {"length": 1}, "greater than or equal to 2"),
        ("chain", {"length": -4}, "greater than or equal to 2"),
        ("chain", {"length": 4.5}, "valid integer"),
        ("chain", {"length": True}, "valid integer"),
        ("chain", {"size": 4}, "size: Extra inputs are not permitted.*parameters: length, periodic"),
        ("chain", {"length": 10**9}, "less than or equal to 1000000"),
        ("square", {"extent": [0, 4]}, "greater than or equal to 1"),
        ("square", {"extent": [4]}, "extent"),
        ("square", {"extent": [1, 1]}, "at least 2"),
        ("square", {"periodic": [True]}, "periodic"),
        ("square", {"periodic": "yes"}, "periodic"),
    ],
)
def test_bad_parameters_are_refused_in_one_sentence(name, params, message):
    with pytest.raises(ConfigError, match=message):
        lattice(name, **params)


def test_a_million_sites_cost_nothing_until_asked_and_are_refused_where_too_large():
    tracemalloc.start()
    try:
        large = lattice("square", extent=[1_000_000, 1_000_000])
        assert large.n_sites == 10**12
        for question in (large.bonds, large.positions, large.translations, large.distances):
            with pytest.raises(TooLargeError, match="GB"):
                question()
        assert tracemalloc.get_traced_memory()[1] < 1e7
    finally:
        tracemalloc.stop()


def test_the_first_shell_has_order_one():
    with pytest.raises(ValueError, match="order"):
        lattice("chain").bonds(0)
