"""Point groups of finite lattices: closure, what they keep, their irreps, and little groups of momenta."""

import itertools

import numpy as np
import pytest

from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.lattices import LATTICES, momenta, symmetry
from tests.nqs_core.small import LATTICE_CASES, crystal, lattice

CASES = [(name, params) for name in LATTICES for params in LATTICE_CASES[name]]
CRYSTALS = [case for case in CASES if case[0] != "all_to_all"]


def ids(value):
    return str(value).replace(" ", "")


each_lattice = pytest.mark.parametrize(("name", "params"), CASES, ids=ids)
each_crystal = pytest.mark.parametrize(("name", "params"), CRYSTALS, ids=ids)


def groups_of(lat):
    """The whole group and every little group."""
    waves = momenta.integers(lat).tolist()
    return [symmetry.point_group(lat), *(symmetry.point_group(lat, m) for m in waves)]


@each_lattice
def test_elements_are_a_group_of_permutations_that_keeps_bonds_and_distances(name, params):
    lat = lattice(name, **params)
    rows = lat.point_group()
    assert rows.dtype == np.int32
    assert rows[0].tolist() == list(range(lat.n_sites))
    group = {tuple(row) for row in rows.tolist()}
    assert all(sorted(row) == list(range(lat.n_sites)) for row in group)
    assert all(tuple(a[b].tolist()) in group for a, b in itertools.product(rows[:12], rows))
    for row in rows:
        np.testing.assert_allclose(lat.distances()[np.ix_(row, row)], lat.distances(), atol=1e-9)
        for order in (1, 2, 3):
            moved = np.sort(np.argsort(row)[lat.bonds(order)], axis=1)
            assert sorted(moved.tolist()) == lat.bonds(order).tolist()


@each_crystal
def test_permutations_are_the_rotations_about_the_centre(name, params):
    """(g sigma)[g(j)] = sigma[j], where g(j) lies at the rotated position of j up to a vector of the torus."""
    lat = crystal(name, **params)
    matrices, cartesian, centre, permutations = lat.operations()
    vectors = np.array(type(lat).vectors)
    wraps = [(-2, -1, 0, 1, 2) if periodic else (0,) for periodic in lat.periodicity]
    torus = np.array(list(itertools.product(*wraps))) * lat.extent @ vectors
    middle = centre @ vectors
    for w, rotation, perm in zip(matrices, cartesian, permutations, strict=True):
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(len(w)), atol=1e-12)
        np.testing.assert_allclose(rotation @ vectors.T, vectors.T @ w, atol=1e-12)
        moved = (lat.positions() - middle) @ rotation.T + middle
        there = lat.positions()[np.argsort(perm)]
        away = np.linalg.norm((moved - there)[:, None] - torus, axis=-1).min(axis=1)
        assert away.max() < 1e-9


@pytest.mark.parametrize(
    ("name", "params", "symbol"),
    [
        ("chain", {"length": 7}, "Cs"),
        ("chain", {"length": 4, "periodic": False}, "Cs"),
        ("square", {"extent": [4, 4]}, "C4v"),
        ("square", {"extent": [3, 3], "periodic": False}, "C4v"),
        ("square", {"extent": [4, 6]}, "C2v"),
        ("square", {"extent": [4, 4], "periodic": [True, False]}, "C2v"),
        ("square", {"extent": [3, 5], "periodic": False}, "C2v"),
        ("triangular", {"extent": [4, 4]}, "C6v"),
        ("triangular", {"extent": [3, 6]}, "C2v"),
        ("triangular", {"extent": [4, 6]}, "C2"),
        ("triangular", {"extent": [3, 3], "periodic": False}, "C2v"),
        ("triangular", {"extent": [4, 3], "periodic": [True, False]}, "C2v"),
        ("triangular", {"extent": [3, 2], "periodic": False}, "C2"),
        ("honeycomb", {"extent": [3, 3]}, "C6v"),
        ("honeycomb", {"extent": [2, 3]}, "C2"),
        ("honeycomb", {"extent": [3, 3], "periodic": False}, "C2v"),
        ("kagome", {"extent": [2, 2]}, "C6v"),
        ("kagome", {"extent": [2, 2], "periodic": False}, "Cs"),
        ("kagome", {"extent": [2, 3], "periodic": False}, "C1"),
        ("cubic", {"extent": [3, 3, 3]}, "Oh"),
        ("cubic", {"extent": [2, 2, 2], "periodic": False}, "Oh"),
        ("cubic", {"extent": [2, 3, 3]}, "D4h"),
        ("cubic", {"extent": [3, 3, 3], "periodic": [True, True, False]}, "D4h"),
        ("cubic", {"extent": [2, 3, 4]}, "D2h"),
        ("all_to_all", {"size": 5}, "C1"),
    ],
    ids=ids,
)
def test_shape_and_boundary_decide_the_group(name, params, symbol):
    assert symmetry.point_group(lattice(name, **params)).name == symbol


@pytest.mark.parametrize(
    ("name", "extent"), [("square", [2, 3]), ("triangular", [3, 2]), ("honeycomb", [2, 2]), ("kagome", [2, 2])], ids=ids
)
def test_no_isometry_of_an_open_lattice_is_missing(name, extent):
    """Every permutation that keeps all distances of points in a plane is an isometry; they are counted by search."""
    lat = lattice(name, extent=extent, periodic=False)
    d = lat.distances()

    def extend(images):
        k = len(images)
        if k == lat.n_sites:
            return 1
        fits = (s for s in range(lat.n_sites) if s not in images and np.allclose(d[s, images], d[k, :k]))
        return sum(extend([*images, s]) for s in fits)

    assert extend([]) == len(lat.point_group())


@pytest.mark.parametrize(
    ("name", "centre"),
    [
        ("chain", [0]),
        ("square", [0, 0]),
        ("triangular", [0, 0]),
        ("cubic", [0, 0, 0]),
        ("honeycomb", [2 / 3, 2 / 3]),
        ("kagome", [0.5, 0.5]),
    ],
)
def test_centres_of_tori_are_where_they_are_documented(name, centre):
    np.testing.assert_allclose(crystal(name).operations().centre, centre, atol=1e-12)


@each_lattice
def test_characters_are_orthogonal_and_belong_to_classes(name, params):
    lat = lattice(name, **params)
    for group in groups_of(lat):
        n, chi = len(group.permutations), np.array(list(group.irreps.values()))
        assert list(group.dimensions.values()) == np.real(chi[:, 0]).tolist()
        assert sum(d**2 for d in group.dimensions.values()) == n
        np.testing.assert_allclose(chi @ chi.conj().T, n * np.eye(len(chi)), atol=1e-9)
        np.testing.assert_array_equal(chi[0], 1)
        # Columns: equal on a class, orthogonal between classes, |G| / |class| with themselves.
        columns = chi.conj().T @ chi
        size = np.round(n / np.diagonal(columns)).astype(int)
        same = np.abs(columns) > 1e-9
        np.testing.assert_array_equal(same.sum(axis=1), size)
        assert len(np.unique(same, axis=0)) == len(chi)


@each_crystal
def test_characters_are_constant_on_conjugates_and_traces_of_a_representation(name, params):
    """χ(h g h⁻¹) = χ(g), and the rotations of space themselves split into irreps a whole number of times."""
    lat = crystal(name, **params)
    matrices, cartesian, _, _ = lat.operations()
    group = symmetry.point_group(lat)
    where = {w.tobytes(): k for k, w in enumerate(matrices)}
    for h in matrices:
        back = np.round(np.linalg.inv(h)).astype(h.dtype)
        moved = [where[np.ascontiguousarray(h @ g @ back).tobytes()] for g in matrices]
        for chi in group.irreps.values():
            np.testing.assert_array_equal(chi[moved], chi)
    trace = np.trace(cartesian, axis1=1, axis2=2)
    times = np.array([np.vdot(chi, trace).real / len(trace) for chi in group.irreps.values()])
    np.testing.assert_allclose(times, np.round(times), atol=1e-9)
    assert np.dot(np.round(times), list(group.dimensions.values())) == cartesian.shape[-1]


def shift_projector(lat, m):
    """On functions of the sites: 1/|T| Σ exp(-i k·r) t."""
    n, k = lat.n_sites, np.array(m) / lat.extent
    counts = [e if p else 1 for e, p in zip(lat.extent, lat.periodicity, strict=True)]
    shifts = list(itertools.product(*map(range, counts)))
    steps = zip(shifts, lat.translations(), strict=True)
    rows = (np.exp(-2j * np.pi * np.dot(k, shift)) * np.eye(n)[perm] for shift, perm in steps)
    return sum(rows, start=np.zeros((n, n), complex)) / len(shifts)


@pytest.mark.parametrize(
    ("name", "params"),
    [case for case in CRYSTALS if len(np.unique(lattice(case[0], **case[1]).point_group(), axis=0)) > 4],
    ids=ids,
)
def test_little_groups_are_the_elements_that_commute_with_the_momentum(name, params):
    lat = lattice(name, **params)
    whole = lat.point_group()
    for m in momenta.integers(lat).tolist():
        projector = shift_projector(lat, m)
        keeps = [np.allclose(np.eye(lat.n_sites)[g] @ projector, projector @ np.eye(lat.n_sites)[g]) for g in whole]
        little = symmetry.point_group(lat, m).permutations
        assert sorted(whole[keeps].tolist()) == sorted(little.tolist())


@each_crystal
def test_the_star_of_a_momentum_times_its_little_group_is_the_group(name, params):
    lat = crystal(name, **params)
    k, order = momenta.allowed(lat), len(lat.point_group())
    periodic = np.array(type(lat).vectors)[list(lat.periodicity)]  # momenta differ where these translations tell them
    for m, q in zip(momenta.integers(lat).tolist(), k, strict=True):
        rotated = lat.operations().cartesian @ q
        phases = np.round(np.exp(1j * rotated @ periodic.T), 6) + 0.0
        star = len(np.unique(np.concatenate([phases.real, phases.imag], axis=1) + 0.0, axis=0)) if len(periodic) else 1
        assert star * len(symmetry.point_group(lat, m).permutations) == order


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("chain", {"length": 6}, {"Γ": "Cs", "X": "Cs", (1,): "C1"}),
        ("square", {"extent": [4, 4]}, {"Γ": "C4v", "M": "C4v", "X": "C2v", (1, 0): "Cs", (1, 1): "Cs"}),
        ("square", {"extent": [6, 4]}, {"Γ": "C2v", "M": "C2v", "X": "C2v", (1, 0): "Cs", (1, 1): "C1"}),
        ("triangular", {"extent": [6, 6]}, {"Γ": "C6v", "K": "C3v", "K'": "C3v", "M": "C2v", (1, 0): "Cs"}),
        ("honeycomb", {"extent": [3, 3]}, {"Γ": "C6v", "K": "C3v"}),
        ("kagome", {"extent": [2, 2]}, {"Γ": "C6v", "M": "C2v"}),
        ("cubic", {"extent": [2, 2, 2]}, {"Γ": "Oh", "R": "Oh", "X": "D4h", "M": "D4h"}),
        ("cubic", {"extent": [3, 3, 3]}, {(1, 0, 0): "C4v", (1, 1, 1): "C3v", (1, 1, 0): "C2v"}),
        ("cubic", {"extent": [5, 5, 5]}, {(1, 2, 0): "Cs", (1, 1, 2): "Cs"}),
    ],
    ids=ids,
)
def test_names_of_little_groups(name, params, expected):
    lat = lattice(name, **params)
    for k, symbol in expected.items():
        momentum = k if isinstance(k, str) else list(k)
        group = symmetry.point_group(lat, momentum)
        assert group.name == symbol
        assert symmetry.little(lat, momentum) == {"name": symbol, "irreps": list(group.irreps)}


@each_lattice
def test_projectors_on_irreps_split_the_functions_of_the_sites(name, params):
    """P = d/|G| Σ χ*(g) g: idempotent, orthogonal, complete, also where permutations coincide."""
    lat = lattice(name, **params)
    for group in groups_of(lat):
        total = np.zeros((lat.n_sites, lat.n_sites), complex)
        for irrep, chi in group.irreps.items():
            weights = group.dimensions[irrep] / len(chi) * np.conj(chi)
            terms = (w * np.eye(lat.n_sites)[g] for w, g in zip(weights, group.permutations, strict=True))
            projector = sum(terms, start=np.zeros_like(total))
            np.testing.assert_allclose(projector @ projector, projector, atol=1e-9)
            total += projector
        np.testing.assert_allclose(total, np.eye(lat.n_sites), atol=1e-9)


def test_names_of_irreps_are_resolved_and_others_refused():
    square, chain = symmetry.point_group(lattice("square")), symmetry.point_group(lattice("chain"))
    assert symmetry.resolve(square, " B2 ") == "B2"
    assert symmetry.resolve(chain, "A1") == symmetry.resolve(chain, "A′") == "A'"
    assert symmetry.resolve(symmetry.point_group(lattice("cubic", extent=[3, 3, 3])), "A1") == "A1g"
    with pytest.raises(ConfigError, match="point_group = 'T1': irreps of C4v are A1, A2, B1, B2, E"):
        symmetry.resolve(square, "T1")


def test_large_lattices_are_refused_before_they_allocate():
    with pytest.raises(TooLargeError, match=r"point group .*GB"):
        symmetry.point_group(lattice("square", extent=[1_000_000, 1_000_000]))
