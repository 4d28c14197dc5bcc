"""Reciprocal vectors, allowed momenta and their labels, against plane waves on the lattice."""

import itertools

import numpy as np
import pytest

from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.lattices import LATTICES, momenta
from tests.nqs_core.small import LATTICE_CASES, lattice

CRYSTALS = [(name, params) for name in LATTICES if name != "all_to_all" for params in LATTICE_CASES[name]]
each_crystal = pytest.mark.parametrize(("name", "params"), CRYSTALS, ids=lambda v: str(v).replace(" ", ""))


@each_crystal
def test_reciprocal_vectors_are_dual_to_the_cell(name, params):
    lat = lattice(name, **params)
    vectors = np.array(type(lat).vectors)  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_allclose(lat.reciprocal() @ vectors.T, 2 * np.pi * np.eye(len(vectors)), atol=1e-12)


@each_crystal
def test_allowed_momenta_are_the_characters_of_the_translations(name, params):
    """exp(i k·r) of each is periodic on the lattice, and they are orthogonal: as many as there are translations."""
    lat = lattice(name, **params)
    k, whole = momenta.allowed(lat), momenta.integers(lat)
    assert len(k) == len(whole) == len(lat.translations())
    counts = [n if periodic else 1 for n, periodic in zip(lat.extent, lat.periodicity, strict=True)]
    vectors = np.array(type(lat).vectors)  # pyright: ignore[reportAttributeAccessIssue]
    shifts = np.array(list(itertools.product(*map(range, counts))))
    waves = np.exp(1j * (shifts @ vectors) @ k.T)
    np.testing.assert_allclose(waves.conj().T @ waves, len(k) * np.eye(len(k)), atol=1e-9)
    for m, wave in zip(whole, waves.T, strict=True):
        np.testing.assert_allclose(wave, np.exp(2j * np.pi * shifts @ (m / lat.extent)), atol=1e-9)
    wraps = np.diag([n if p else 0 for n, p in zip(lat.extent, lat.periodicity, strict=True)]) @ vectors
    np.testing.assert_allclose(np.exp(1j * wraps @ k.T), 1.0, atol=1e-9)


@each_crystal
def test_allowed_momenta_lie_in_the_first_zone(name, params):
    lat = lattice(name, **params)
    b = lat.reciprocal()
    images = np.array(list(itertools.product(range(-3, 4), repeat=len(b)))) @ b
    for k in momenta.allowed(lat):
        assert np.linalg.norm(k) <= np.linalg.norm(k + images, axis=1).min() + 1e-9


@each_crystal
def test_labels_resolve_to_themselves_and_name_their_momentum(name, params):
    lat = lattice(name, **params)
    held = momenta.labels(lat)
    assert held["Γ"] == (0,) * len(lat.extent)
    for label, m in held.items():
        assert momenta.resolve(lat, label) == m == momenta.resolve(lat, list(m))
        assert momenta.name(lat, m) == label
        np.testing.assert_allclose(np.array(m) / lat.extent, np.array(lat.points[label]) % 1, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "params", "held"),
    [
        ("chain", {"length": 6}, {"Γ": (0,), "X": (3,)}),
        ("chain", {"length": 7}, {"Γ": (0,)}),
        ("chain", {"length": 6, "periodic": False}, {"Γ": (0,)}),
        ("square", {"extent": [4, 6]}, {"Γ": (0, 0), "X": (2, 0), "Y": (0, 3), "M": (2, 3)}),
        ("square", {"extent": [3, 4]}, {"Γ": (0, 0), "Y": (0, 2)}),
        ("square", {"extent": [4, 4], "periodic": [True, False]}, {"Γ": (0, 0), "X": (2, 0)}),
        ("triangular", {"extent": [3, 6]}, {"Γ": (0, 0), "K": (1, 4), "K'": (2, 2)}),
        ("honeycomb", {"extent": [6, 6]}, {"Γ": (0, 0), "M": (3, 0), "K": (2, 4), "K'": (4, 2)}),
        ("kagome", {"extent": [2, 2]}, {"Γ": (0, 0), "M": (1, 0)}),
        ("cubic", {"extent": [2, 2, 4]}, {"Γ": (0, 0, 0), "X": (1, 0, 0), "M": (1, 1, 0), "R": (1, 1, 2)}),
        ("all_to_all", {"size": 5}, {"Γ": (0,)}),
    ],
)
def test_labels_are_those_that_extent_and_boundary_hold(name, params, held):
    assert momenta.labels(lattice(name, **params)) == held


def test_named_points_lie_where_they_should():
    def length(name, label):
        lat = lattice(name)
        return np.linalg.norm(momenta.fold(lat.reciprocal(), np.array([lat.points[label]]))[0])

    assert length("chain", "X") == pytest.approx(np.pi)
    assert length("square", "M") == pytest.approx(np.pi * np.sqrt(2))
    assert length("cubic", "R") == pytest.approx(np.pi * np.sqrt(3))
    assert length("triangular", "K") == length("triangular", "K'") == pytest.approx(4 * np.pi / 3)
    assert length("triangular", "M") == pytest.approx(2 * np.pi / np.sqrt(3))
    assert length("honeycomb", "K") == pytest.approx(4 * np.pi / (3 * np.sqrt(3)))  # a = √3
    assert length("kagome", "K") == pytest.approx(2 * np.pi / 3)  # a = 2


def test_integers_may_be_any_and_gamma_is_spelled_either_way():
    square = lattice("square", extent=[4, 6])
    assert momenta.resolve(square, [-1, 7]) == (3, 1)
    assert momenta.resolve(square, [4, 0]) == momenta.resolve(square, "Gamma") == momenta.resolve(square, "Γ") == (0, 0)
    assert momenta.resolve(lattice("kagome", extent=[3, 3]), "K′") == (2, 1)
    assert momenta.name(square, (1, 0)) == "(1, 0)"


@pytest.mark.parametrize(
    ("name", "params", "momentum", "message"),
    [
        ("chain", {"length": 6}, "K", r"'K' is no label of extent \[6\], boundary P; labels there: Γ, X"),
        ("square", {"extent": [3, 4]}, "M", r"'M' is no momentum of extent \[3, 4\], boundary PP.*: Γ, Y"),
        ("chain", {"length": 6}, [0, 1], "one integer per axis"),
        ("square", {"extent": [4, 4], "periodic": [True, False]}, [1, 1], "open axis"),
        ("square", {"extent": [4, 4], "periodic": [True, False]}, "M", "no momentum of .* boundary PO"),
        ("all_to_all", {"size": 4}, [1], "open axis"),
    ],
)
def test_momenta_that_are_none_are_refused(name, params, momentum, message):
    with pytest.raises(ConfigError, match=message):
        momenta.resolve(lattice(name, **params), momentum)


def test_all_to_all_has_no_reciprocal_lattice():
    with pytest.raises(ConfigError, match="no unit cell"):
        lattice("all_to_all").reciprocal()


def test_a_huge_torus_names_its_momenta_without_listing_them():
    huge = lattice("square", extent=[1_000_000, 1_000_000])
    assert momenta.resolve(huge, "M") == (500_000, 500_000)
    with pytest.raises(TooLargeError, match=r"momenta .*GB"):
        momenta.allowed(huge)
