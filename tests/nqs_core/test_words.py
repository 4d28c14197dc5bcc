"""Different systems have different labels; what people type finds what they mean."""

import itertools

import pytest

from nqs_core import words

CHAIN = {"name": "chain", "params": {"length": 8}}


def of(lattice=CHAIN, hamiltonian=None, sector=None):
    return {
        "lattice": lattice,
        "hamiltonian": hamiltonian or {"name": "heisenberg", "params": {"J": 1.0}},
        "sector": sector,
    }


def square(*periodic):
    return {"name": "square", "params": {"extent": [4, 4], "periodic": list(periodic)}}


def glass(disorder, seed):
    params = {"model": "edwards_anderson", "disorder": disorder, "disorder_seed": seed}
    return of(hamiltonian={"name": "spin_glass", "params": params})


DIFFERENT = [
    of(),
    of({"name": "chain", "params": {"length": 10}}),
    of({"name": "chain", "params": {"length": 8, "periodic": False}}),
    of({"name": "all_to_all", "params": {"size": 6}}),
    of({"name": "all_to_all", "params": {"size": 12}}),
    *[of(square(*flags)) for flags in itertools.product((True, False), repeat=2)],
    of(sector={"sz": 0}),
    of(sector={"sz": 0, "momentum": [0]}),
    of(sector={"sz": 0, "momentum": [4]}),
    of(sector={"momentum": [0, 4]}),
    of(sector={"momentum": "M"}),
    of(sector={"point_group": "A1"}),
    of(sector={"point_group": "B1"}),
    of(sector={"spin_flip": 1}),
    of(sector={"spin_flip": -1}),
    of(hamiltonian={"name": "tfim", "params": {"J": 1.0, "h": 1.0}}),
    of(hamiltonian={"name": "tfim", "params": {"J": 1.0, "h": 1.0000001}}),
    of(hamiltonian={"name": "tfim", "params": {"J": -1.0, "h": 1.0}}),
    glass("binary", 0),
    glass("gaussian", 0),
    glass("binary", 1),
    of(hamiltonian={"name": "custom", "params": {"strings": "-1 Z0 Z1\n-1 Z1 Z2\n-1 Z2 Z3\n-1 X0", "scale": 1.0}}),
    of(hamiltonian={"name": "custom", "params": {"strings": "-1 Z0 Z1\n-1 Z1 Z2\n-1 Z2 Z3\n-1 X1", "scale": 1.0}}),
]  # fmt: skip


def test_different_systems_have_different_labels():
    labels = [words.system(config) for config in DIFFERENT]
    assert len(set(labels)) == len(labels)
    assert max(map(len, labels)) < 80


@pytest.mark.parametrize(
    ("config", "label"),
    [
        (of({"name": "all_to_all", "params": {"size": 12}}), "Heisenberg · all to all 12"),
        (of(sector={"sz": 0.0, "momentum": [4], "spin_flip": -1}), "Heisenberg · chain 8 · Sᶻ=0 · k=4 · flip=-1"),
        (of(square(True, True), {"name": "j1j2", "params": {"J1": 1.0, "J2": 0.5, "marshall": True}}),
         "J1J2 J2=0.5 · square 4×4"),
        ({"lattice": CHAIN}, "chain 8"),
    ],
)  # fmt: skip
def test_labels_read_as_people_write(config, label):
    assert words.system(config) == label


@pytest.mark.parametrize(
    ("search", "text", "found"),
    [
        ("über", "ÜBER Δτ", True),
        ("ÜBER δΤ", "über Δτ", True),
        ("u\u0308ber", "ÜBER", True),  # the letter and its dots apart
        ("4x4", "square 4×4", True),
        ("J1-J2", "J1J2 J2=0.5", True),
        ("j1j2", "a J₁–J₂ model", True),
        ('say "so"', 'they say "so"', True),
        ("h=-1", "TFIM h=−1", True),
        ("1-2", "chain 12", False),
        ("über xyz", "ÜBER Δτ", False),
        ("", "anything", True),
    ],
)
def test_what_is_typed_finds_what_is_meant(search, text, found):
    assert words.matches(search, text) is found
