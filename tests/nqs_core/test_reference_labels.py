"""Keys of systems with labels: equal key and sector mean equal levels, whatever was turned or renamed."""

import collections
import itertools

import numpy as np
import pytest

from nqs_core import reference
from nqs_core.config import parse
from nqs_core.errors import ConfigError
from nqs_core.reference import matching


def config(on, shape, name, couplings, sector):
    return parse(
        {
            "lattice": {"name": on, "params": shape},
            "hamiltonian": {"name": name, "params": couplings},
            "sector": sector,
        }
    )


def identity(cfg):
    fields, factor = matching.canonical(cfg)
    return (matching.key(fields), matching.sector_label(cfg)), factor


def levels(cfg):
    """Levels 0 to 2 of the sector, in canonical units; none where it holds no state."""
    try:
        return np.array([r.energy for r in reference.compute(cfg, 3, "exact")]) * identity(cfg)[1]
    except ConfigError as error:
        if "no state of" in str(error):
            return np.zeros(0)
        raise


ISING = [{"J": float(s), "h": t * 0.7} for s, t in itertools.product((1, -1), (1, -1))]
SPINS = [("heisenberg", {"J": s}) for s in (1.0, -1.0, 2.0)]
SPINS += [("xxz", {"J": s, "Delta": d}) for s in (1.0, -1.0) for d in (0.4, -0.4, 1.0, -1.0)]
SPINS += [("j1j2", {"J1": s, "J2": t}) for s in (1.0, -1.0) for t in (0.0, 0.5)]
SPINS += [("heisenberg", {"J": 1.0, "marshall": True})]
RINGS = [{"length": 4}, {"length": 6}, {"length": 5}, {"length": 3, "periodic": False}]
TORI = [{"extent": [2, 3]}, {"extent": [3, 2]}, {"extent": [3, 2], "periodic": [True, False]}, {"extent": [1, 5]}]

LABELS: list[dict] = [{"spin_flip": 1}, {"spin_flip": -1}, {"momentum": "Gamma"}, {"momentum": "X"}]
LABELS += [{"point_group": p} for p in ("A1", "A'", "A''")] + [{"momentum": [1]}, {"momentum": "X", "spin_flip": 1}]
LABELS += [{"momentum": "X", "point_group": "A''", "spin_flip": -1}, {}]


def pool():
    for shape, couplings, sector in itertools.product(RINGS, [*ISING, {"J": 2.0, "h": 1.4}], LABELS):
        yield "chain", shape, "tfim", couplings, sector
    for shape, (name, couplings), sector in itertools.product(RINGS, SPINS, LABELS):
        if couplings.get("marshall") and shape["length"] % 2:
            continue
        yield "chain", shape, name, couplings, sector
        if "spin_flip" not in sector:
            yield "chain", shape, name, couplings, sector | {"sz": shape["length"] % 2 / 2}
    for shape, couplings in itertools.product(TORI, ISING):
        for sector in ({"momentum": [0, 1]}, {"momentum": [1, 0]}, {"spin_flip": -1}, {"point_group": "B1"}):
            yield "square", shape, "tfim", couplings, sector
    fields = [{"J": s, "h": 0.0, "h_z": t} for s, t in itertools.product((1.0, -1.0), (0.3, -0.3, 0.0))]
    for couplings, sz in itertools.product(fields, (0.0, 1.0, None)):  # without h the Ising model keeps S^z
        yield "chain", {"length": 4}, "tfim", couplings, {"sz": sz}


def allowed(case):
    try:
        matching.sector_label(config(*case))
    except ConfigError:
        return False
    return True


def test_equal_keys_and_sectors_have_equal_levels():
    by_identity = collections.defaultdict(list)
    for case in pool():
        if allowed(case):
            by_identity[identity(config(*case))[0]].append(case)
    shared = {name: cases for name, cases in by_identity.items() if len(cases) > 1}
    assert len(shared) > 100
    for name, cases in shared.items():
        found = [levels(config(*case)) for case in cases]
        for case, other in zip(cases[1:], found[1:], strict=True):
            np.testing.assert_allclose(other, found[0], atol=1e-9, err_msg=f"{name}: {cases[0]} and {case}")


def chain(length, name, couplings, sector):
    return "chain", {"length": length}, name, couplings, sector


OPEN = {"length": 6, "periodic": False}
ISING_5, ISING_6 = {"J": 1.0, "h": 0.7}, {"J": -1.0, "h": 0.7}
DIFFERENT = [
    # Every site turned about z: the flip of all spins changes its sign where N is odd.
    (chain(5, "tfim", ISING_5, {"spin_flip": 1}), chain(5, "tfim", ISING_5 | {"h": -0.7}, {"spin_flip": 1})),
    # One sublattice turned: momenta move by π, and so may the flip of all spins.
    (chain(6, "tfim", ISING_6, {"momentum": "X"}), chain(6, "tfim", {"J": 1.0, "h": 0.7}, {"momentum": "X"})),
    (
        chain(6, "xxz", {"J": -1.0, "Delta": -0.4}, {"momentum": "X", "sz": 0.0}),
        chain(6, "xxz", {"J": 1.0, "Delta": 0.4}, {"momentum": "X", "sz": 0.0}),
    ),
    (
        chain(6, "xxz", {"J": -1.0, "Delta": -0.4}, {"spin_flip": 1}),
        chain(6, "xxz", {"J": 1.0, "Delta": 0.4}, {"spin_flip": 1}),
    ),
    (
        chain(6, "xxz", {"J": -1.0, "Delta": -1.0}, {"momentum": [0], "sz": 0.0}),
        chain(6, "heisenberg", {"J": 1.0}, {"momentum": [0], "sz": 0.0}),
    ),
    (
        ("chain", OPEN, "xxz", {"J": -1.0, "Delta": -0.4}, {"point_group": "A''", "sz": 0.0}),
        ("chain", OPEN, "xxz", {"J": 1.0, "Delta": 0.4}, {"point_group": "A''", "sz": 0.0}),
    ),
    # A field along z without one along x keeps S^z, and turning all spins does not.
    (
        chain(4, "tfim", {"J": 1.0, "h": 0.0, "h_z": 0.3}, {"sz": 1.0}),
        chain(4, "tfim", {"J": 1.0, "h": 0.0, "h_z": -0.3}, {"sz": 1.0}),
    ),
    (
        chain(4, "tfim", {"J": 1.0, "h": 0.0}, {"sz": 0.0}),
        chain(4, "tfim", {"J": -1.0, "h": 0.0}, {"sz": 0.0}),
    ),
    # Axes in another order, and a wrap that adds no bond but a translation.
    (
        ("square", {"extent": [2, 3]}, "tfim", {"h": 1.0}, {"momentum": [0, 1]}),
        ("square", {"extent": [3, 2]}, "tfim", {"h": 1.0}, {"momentum": [0, 1]}),
    ),
]


@pytest.mark.parametrize(("a", "b"), DIFFERENT, ids=str)
def test_systems_that_a_label_tells_apart_have_different_keys(a, b):
    one, two = config(*a), config(*b)
    assert identity(one)[0] != identity(two)[0]
    assert np.abs(levels(one) - levels(two)).max() > 1e-3
    # Without the labels they are the same system.
    whole = [identity(config(*case[:4], sector=None))[0] for case in (a, b)]
    assert whole[0] == whole[1]


SAME = [
    (chain(6, "tfim", {"J": -2.0, "h": 1.4}, {"momentum": "X"}), chain(6, "tfim", ISING_6, {"momentum": [-3]})),
    (
        chain(6, "xxz", {"J": -2.0, "Delta": 1.0}, {"spin_flip": 1}),
        chain(6, "heisenberg", {"J": -1.0}, {"spin_flip": 1}),
    ),
    (
        chain(6, "j1j2", {"J1": 2.0, "J2": 0.0}, {"momentum": [6], "point_group": "A1"}),
        chain(6, "heisenberg", {"J": 1.0, "marshall": True}, {"momentum": "Gamma", "point_group": "A'"}),
    ),
    (
        chain(6, "tfim", {"J": 1.0, "h": 1.0, "h_z": 0.0}, {"momentum": "Γ"}),
        chain(6, "tfim", {"J": 1.0, "h": 1.0}, {"momentum": [0]}),
    ),
    (
        chain(6, "xxz", {"J": -1.0, "Delta": -0.4}, {"sz": 1.0}),
        chain(6, "xxz", {"J": 1.0, "Delta": 0.4}, {"sz": 1.0}),
    ),
    (
        chain(6, "xxz", {"J": 1.0, "Delta": 0.0}, {"momentum": "X"}),
        chain(6, "xxz", {"J": 1.0, "Delta": -0.0}, {"momentum": [3]}),
    ),
    (
        ("square", {"extent": [2, 3]}, "tfim", {"h": 1.0}, {"spin_flip": -1}),
        ("square", {"extent": [3, 2], "periodic": [True, False]}, "tfim", {"h": 1.0}, {"spin_flip": -1}),
    ),
]


@pytest.mark.parametrize(("a", "b"), SAME, ids=str)
def test_other_names_of_one_system_and_sector_share_a_key(a, b):
    one, two = config(*a), config(*b)
    assert identity(one)[0] == identity(two)[0]
    np.testing.assert_allclose(levels(one), levels(two), atol=1e-9)


@pytest.mark.parametrize(
    ("sector", "label"),
    [
        ({"momentum": "M"}, "k=2x2"),
        ({"momentum": [-2, 6]}, "k=2x2"),
        ({"momentum": "Gamma", "point_group": "A1"}, "k=0x0,irrep=A1"),
        ({"momentum": [4, 1], "point_group": "A1", "spin_flip": 1, "sz": 0.0}, "Sz=0,k=0x1,irrep=A',P=+1"),
        ({"point_group": "E"}, "irrep=E"),
    ],
)
def test_every_sector_has_one_spelling(sector, label):
    assert matching.sector_label(config("square", {"extent": [4, 4]}, "heisenberg", {}, sector)) == label


def test_labels_that_a_lattice_does_not_have_are_refused():
    for sector in ({"momentum": "K"}, {"momentum": [1, 0], "point_group": "E"}):
        with pytest.raises(ConfigError, match=r"sector\.(momentum|point_group)"):
            matching.sector_label(config("square", {"extent": [4, 4]}, "heisenberg", {}, sector))


def test_a_marshall_sign_leaves_the_labels_alone():
    """At odd N/2 the rotation would move momenta by π and turn the flip of all spins."""
    for sector in ({"momentum": "X", "sz": 0.0}, {"momentum": [0]}, {"spin_flip": -1}, {"point_group": "A''"}):
        one, two = (config(*chain(6, "heisenberg", {"marshall": m}, sector)) for m in (True, False))
        assert identity(one)[0] == identity(two)[0]
        np.testing.assert_allclose(levels(one), levels(two), atol=1e-12)
