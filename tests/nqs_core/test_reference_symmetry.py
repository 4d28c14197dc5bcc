"""Levels of momenta and irreps, against projectors built from positions and textbook characters."""

import functools
import itertools

import numpy as np
import pytest

from nqs_core import reference
from nqs_core.config import parse
from nqs_core.errors import ConfigError
from nqs_core.lattices import momenta, symmetry
from nqs_core.operators import masks
from nqs_core.reference import blocks, exact, projection
from nqs_core.sector import Sector
from tests.nqs_core import kron
from tests.nqs_core.small import hamiltonian, lattice


def config(on, shape, name, couplings, sector=None):
    return parse(
        {
            "lattice": {"name": on, "params": shape},
            "hamiltonian": {"name": name, "params": couplings},
            "sector": sector,
        }
    )


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def mirror(angle):
    """The reflection whose line has this angle to x."""
    return rotation(2 * angle) @ np.diag([1.0, -1.0])


def planar(n):
    """Elements of Cnv and its textbook characters, the first mirror along x."""
    elements = [rotation(2 * np.pi * k / n) for k in range(n)] + [mirror(np.pi * k / n) for k in range(n)]
    k = np.arange(n)
    found = {"A1": np.ones(2 * n), "A2": np.repeat([1, -1], n)}
    if n % 2 == 0:
        found |= {"B1": np.tile((-1.0) ** k, 2), "B2": np.tile((-1.0) ** k, 2) * np.repeat([1, -1], n)}
    for m in range(1, (n + 1) // 2):
        found["E" if n < 5 else f"E{m}"] = np.concatenate([2 * np.cos(2 * np.pi * m * k / n), np.zeros(n)])
    return elements, found


def line():
    return [np.eye(1), -np.eye(1)], {"A'": np.ones(2), "A''": np.array([1, -1])}


def image(lat, element, centre):
    """The site that each site moves to: its rotated position, up to a vector of the torus."""
    at = lat.positions()
    wraps = [(-2, -1, 0, 1, 2) if periodic else (0,) for periodic in lat.periodicity]
    torus = np.array(list(itertools.product(*wraps))) * lat.extent @ np.array(type(lat).vectors)
    moved = (at - centre) @ element.T + centre
    distance = np.linalg.norm(moved[:, None, None] - at[None, :, None] - torus, axis=-1).min(axis=-1)
    assert np.all(distance.min(axis=1) < 1e-9)
    return distance.argmin(axis=1)


def on_states(n, moved):
    """The permutation of basis states that moves the spin of site j to site moved[j]."""
    states = np.arange(2**n)
    operator = np.zeros((2**n, 2**n))
    operator[sum(((states >> j) & 1) << int(moved[j]) for j in range(n)), states] = 1.0
    return operator


def momentum_projector(lat, m):
    n, out = lat.n_sites, np.eye(2**lat.n_sites)
    for axis, vector in enumerate(np.array(type(lat).vectors)):
        if lat.periodicity[axis]:
            at, length = lat.positions(), lat.extent[axis]
            step = on_states(n, image_of_shift(lat, at + vector))
            # (T psi)(sigma) = psi(t^-1 sigma) = exp(i k) psi(sigma)
            phase = np.exp(-2j * np.pi * m[axis] / length)
            out = out @ sum(np.linalg.matrix_power(phase * step, j) for j in range(length)) / length
    return out


def image_of_shift(lat, moved):
    wraps = [(-1, 0, 1) if periodic else (0,) for periodic in lat.periodicity]
    torus = np.array(list(itertools.product(*wraps))) * lat.extent @ np.array(type(lat).vectors)
    return np.linalg.norm(moved[:, None, None] - lat.positions()[None, :, None] - torus, axis=-1).min(-1).argmin(1)


def irrep_projector(lat, elements, chi, centre):
    total = sum(c * on_states(lat.n_sites, image(lat, g, centre)) for g, c in zip(elements, chi, strict=True))
    return chi[0] / len(elements) * total


def levels_inside(dense, projector):
    kept = np.flatnonzero(np.real(np.diagonal(projector)) > 1e-12)  # elsewhere its rows vanish, too
    projector, dense = projector[np.ix_(kept, kept)], dense[np.ix_(kept, kept)]
    weights, vectors = np.linalg.eigh(projector)
    inside = vectors[:, weights > 0.5]
    assert np.all((np.abs(weights) < 1e-9) | (np.abs(weights - 1) < 1e-9))
    return np.linalg.eigvalsh(inside.conj().T @ dense @ inside)


HEXAGON = np.array([np.sqrt(3), 1.0])  # the middle of a hexagon of the honeycomb lattice
KAGOME = np.array([1.5, np.sqrt(3) / 2])
ORIGIN = np.zeros(2)

# model, lattice, couplings, other labels, momentum, (elements and characters), centre
CASES = [
    ("heisenberg", "chain", {"length": 6}, {"J": 1.0}, {"sz": 0.0}, None, line(), np.zeros(1)),
    ("heisenberg", "chain", {"length": 6}, {"J": 1.0}, {"sz": 0.0, "spin_flip": -1}, "X", line(), np.zeros(1)),
    ("tfim", "chain", {"length": 5, "periodic": False}, {"J": 1.0, "h": 0.7}, {}, None, line(), np.full(1, 2.0)),
    ("tfim", "chain", {"length": 5}, {"J": -1.0, "h": -0.7}, {"spin_flip": 1}, "Γ", line(), np.zeros(1)),
    ("tfim", "square", {"extent": [3, 3]}, {"J": 1.0, "h": 3.0}, {}, None, planar(4), ORIGIN),
    ("heisenberg", "square", {"extent": [3, 3], "periodic": False}, {"J": 1.0}, {}, None, planar(4), ORIGIN + 1),
    ("j1j2", "square", {"extent": [2, 2]}, {"J1": 1.0, "J2": 0.3}, {}, None, planar(4), ORIGIN),
    ("xxz", "square", {"extent": [2, 4]}, {"J": 1.0, "Delta": 0.4}, {"sz": 0.0}, "M", planar(2), ORIGIN),
    ("xxz", "square", {"extent": [2, 2]}, {"J": -1.0, "Delta": 0.4}, {"spin_flip": -1}, "M", planar(4), ORIGIN),
    ("tfim", "square", {"extent": [4, 2], "periodic": [True, False]}, {"h": 2.0}, {}, None, planar(2), [0, 0.5]),
    ("heisenberg", "triangular", {"extent": [3, 3]}, {"J": 1.0}, {"sz": 0.5}, "Γ", planar(6), ORIGIN),
    ("heisenberg", "triangular", {"extent": [3, 3]}, {"J": 1.0}, {"sz": 0.5}, "K", planar(3), ORIGIN),
    ("tfim", "triangular", {"extent": [2, 2]}, {"J": -1.0, "h": 0.8}, {}, None, planar(6), ORIGIN),
    ("heisenberg", "honeycomb", {"extent": [2, 2]}, {"J": 1.0}, {"sz": 0.0}, None, planar(6), HEXAGON),
    ("heisenberg", "kagome", {"extent": [1, 1]}, {"J": 1.0}, {}, None, planar(6), KAGOME),
]


@functools.cache
def matrix(name, on, extent, periodicity, couplings):
    return kron.hamiltonian(name, on, extent, periodicity, dict(couplings))


@pytest.mark.parametrize(
    ("name", "on", "shape", "couplings", "others", "k", "group", "centre"),
    CASES,
    ids=[f"{name}-{on}-{list(shape.values())}-{others}-{k}" for name, on, shape, _, others, k, _, _ in CASES],
)
def test_levels_of_every_irrep(name, on, shape, couplings, others, k, group, centre):
    lat = lattice(on, **shape)
    c = {"J": 1.0} | couplings if name == "tfim" else couplings
    dense = matrix(name, on, lat.extent, lat.periodicity, tuple(c.items()))
    n = lat.n_sites
    rest = np.eye(2**n)
    if k is not None:
        rest = momentum_projector(lat, momenta.resolve(lat, k))
    if "spin_flip" in others:
        rest = rest @ (np.eye(2**n) + others["spin_flip"] * np.eye(2**n)[::-1]) / 2
    if "sz" in others:
        rest = rest * (np.bitwise_count(np.arange(2**n)) == n / 2 - others["sz"])
    elements, textbook = group
    assert set(symmetry.point_group(lat, k).irreps) == set(textbook)
    dims = []
    for irrep, chi in textbook.items():
        expected = levels_inside(dense, rest @ irrep_projector(lat, elements, chi, np.asarray(centre)))
        cfg = config(on, shape, name, couplings, {**others, "momentum": k, "point_group": irrep})
        dims.append(len(expected))
        if len(expected):
            found = reference.compute(cfg, levels=2 * len(expected), method="exact")
            np.testing.assert_allclose([r.energy for r in found], expected, atol=1e-9)
        else:
            with pytest.raises(ConfigError, match="no state of"):
                reference.compute(cfg, method="exact")
    assert sum(dims) == round(np.trace(rest).real)


UNIONS = [
    ("tfim", "square", {"extent": [3, 3]}, {"J": 1.0, "h": 3.0}, {"spin_flip": 1}),
    ("heisenberg", "square", {"extent": [2, 4]}, {"J": 1.0}, {"sz": 0.0}),
    ("heisenberg", "triangular", {"extent": [3, 3]}, {"J": 1.0}, {"sz": 0.5}),
    ("tfim", "triangular", {"extent": [2, 4]}, {"J": -1.0, "h": 0.7}, {}),
    ("j1j2", "square", {"extent": [2, 2]}, {"J1": 1.0, "J2": 0.4}, {}),
    ("xxz", "honeycomb", {"extent": [2, 2]}, {"J": 1.0, "Delta": 0.3}, {"sz": 1.0}),
    ("heisenberg", "kagome", {"extent": [2, 1], "periodic": [True, False]}, {"J": 1.0}, {}),
    ("heisenberg", "cubic", {"extent": [2, 2, 2], "periodic": False}, {"J": 1.0}, {"sz": 0.0}),
    ("tfim", "cubic", {"extent": [2, 2, 2]}, {"J": 1.0, "h": 2.0}, {}),
    ("long_range_tfim", "chain", {"length": 7}, {"J": 1.0, "h": 0.6, "alpha": 2.0}, {}),
    ("heisenberg", "all_to_all", {"size": 5}, {"J": 1.0}, {"sz": 0.5}),
]


def all_levels(cfg, n):
    try:
        return [r.energy for r in reference.compute(cfg, n, method="exact")]
    except ConfigError as error:
        if "no state of" in str(error):
            return []
        raise


@pytest.mark.parametrize("waves", [False, True], ids=["whole", "momenta"])
@pytest.mark.parametrize(("name", "on", "shape", "couplings", "others"), UNIONS, ids=str)
def test_all_irreps_of_all_momenta_make_up_the_spectrum(name, on, shape, couplings, others, waves):
    lat = lattice(on, **shape)
    dense = kron.hamiltonian(name, on, lat.extent, lat.periodicity, couplings)
    states = Sector(lat.n_sites, others.get("sz")).indices()
    expected = np.linalg.eigvalsh(dense[np.ix_(states, states)])
    if "spin_flip" in others:
        half = len(dense) // 2
        expected = np.linalg.eigvalsh((dense + others["spin_flip"] * dense[:, ::-1])[:half, :half])
    found = []
    for k in momenta.integers(lat).tolist() if waves else [None]:
        for irrep in symmetry.point_group(lat, k).irreps:
            cfg = config(on, shape, name, couplings, {**others, "momentum": k, "point_group": irrep})
            found += all_levels(cfg, len(dense))
    np.testing.assert_allclose(np.sort(found), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("on", "shape", "name", "sector"),
    [
        ("chain", {"length": 12}, "heisenberg", {"sz": 0.0, "momentum": "X", "point_group": "A''"}),
        ("square", {"extent": [3, 3]}, "tfim", {"point_group": "E"}),
        ("triangular", {"extent": [3, 3]}, "heisenberg", {"sz": 0.5, "momentum": "K", "point_group": "E"}),
        ("triangular", {"extent": [3, 3]}, "tfim", {"momentum": "K'", "spin_flip": -1}),
    ],
    ids=str,
)
def test_lanczos_stays_inside_the_sector(monkeypatch, on, shape, name, sector):
    """A level of a two-dimensional irrep comes twice, and none from elsewhere."""
    cfg = config(on, shape, name, {}, sector)
    expected = [r.energy for r in reference.compute(cfg, levels=5, method="exact")]
    monkeypatch.setattr(exact, "_is_small", lambda dim, levels: False)
    monkeypatch.setattr(exact, "_subspace", lambda levels: 10 + levels)
    found = [r.energy for r in reference.compute(cfg, levels=5, method="exact")]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    if sector.get("point_group") == "E":
        np.testing.assert_allclose(found[0], found[1], atol=1e-9)


def test_the_trivial_irrep_has_one_more_name():
    cfgs = [config("chain", {"length": 6}, "heisenberg", {}, {"sz": 0.0, "point_group": p}) for p in ("A1", "A'")]
    one, two = (reference.compute(cfg, 3, "exact") for cfg in cfgs)
    assert [r.energy for r in one] == [r.energy for r in two]


def test_the_ground_state_of_a_square_is_where_it_is_known_to_be():
    """Heisenberg 4x4: k = 0, A1; the lowest triplet at M."""

    def energy(**sector):
        return reference.compute(config("square", {"extent": [4, 4]}, "heisenberg", {}, sector), 1, "exact")[0].energy

    ground = energy(sz=0.0, momentum="Γ", point_group="A1", spin_flip=1)
    assert ground / 16 == pytest.approx(-0.701780201, abs=6e-10)
    triplet = energy(sz=0.0, momentum="M", point_group="A1", spin_flip=-1)
    assert triplet == pytest.approx(energy(sz=1.0), abs=1e-9)


@pytest.mark.parametrize(
    ("on", "shape", "name", "couplings", "sector", "message"),
    [
        ("chain", {"length": 6}, "spin_glass", {"disorder_seed": 2}, {"momentum": [0]}, "under translations"),
        ("square", {"extent": [3, 3]}, "spin_glass", {}, {"point_group": "A1"}, "invariant under its group, C4v"),
        ("chain", {"length": 3}, "custom", {"strings": {"ZZ": [[0, 1]]}}, {"point_group": "A1"}, "its group, Cs"),
        ("square", {"extent": [4, 3]}, "tfim", {}, {"point_group": "E"}, "irreps of C2v are A1, A2, B1, B2"),
        ("triangular", {"extent": [3, 3]}, "tfim", {}, {"momentum": "K", "point_group": "B1"}, "of C3v are A1, A2, E"),
        ("all_to_all", {"size": 4}, "tfim", {}, {"point_group": "A2"}, "irreps of C1 are A"),
    ],
)
def test_irreps_that_cannot_be_honoured_are_refused(on, shape, name, couplings, sector, message):
    with pytest.raises(ConfigError, match=message):
        reference.compute(config(on, shape, name, couplings, sector))


def test_a_symmetric_spin_glass_would_pass():
    """The check looks at H and not at its name."""
    cfg = config("square", {"extent": [2, 1]}, "spin_glass", {"model": "edwards_anderson"}, {"point_group": "A1"})
    assert reference.compute(cfg)


@pytest.mark.parametrize("irrep", ["A1", "E"])
@pytest.mark.parametrize("block", [blocks.Block(9, 4, None), blocks.Block(9, None, -1)], ids=str)
def test_bases_are_orthonormal_and_their_size_is_foreseen(block, irrep):
    lat = lattice("triangular", extent=[3, 3])
    found = projection.projection(lat, momenta.resolve(lat, "K"), irrep)
    inside = projection.basis(found, block)
    gram = (inside.conj().T @ inside).toarray()
    np.testing.assert_allclose(gram, np.eye(inside.get_shape()[1]), atol=1e-12)
    assert inside.nnz <= found.dimension**2 * block.dim
    assert 0.5 < inside.get_shape()[1] / (block.dim / found.parts) < 2.5
    assert inside.data.nbytes + inside.indices.nbytes <= found.bytes(block)


def test_labels_make_the_estimate_smaller():
    model = hamiltonian("heisenberg", lattice("square", extent=[4, 5]))
    whole = exact.estimate(model, exact.Labels(0.0))
    part = exact.estimate(model, exact.Labels(0.0, (0, 0), 1, "A1"))
    assert part.dim < whole.dim / 60
    assert part.n_bytes < whole.n_bytes
    assert len(masks(model.terms(), 20)) > 1
