"""Small systems of every registered lattice and Hamiltonian, shared by the tests."""

from nqs_core.config import Spec
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.lattices import LATTICES
from nqs_core.lattices.crystal import Crystal


def lattice(name, **params):
    return LATTICES.build(Spec(name=name, params=params))


def crystal(name, **params):
    found = lattice(name, **params)
    assert isinstance(found, Crystal)
    return found


def hamiltonian(name, on, **params):
    return HAMILTONIANS.build(Spec(name=name, params=params), lattice=on)


# Shapes on which images coincide, open and periodic axes, strips.
LATTICE_CASES = {
    "chain": [
        {"length": 2, "periodic": True},
        {"length": 3, "periodic": True},
        {"length": 4, "periodic": True},
        {"length": 5, "periodic": False},
        {"length": 8, "periodic": True},
    ],
    "square": [
        {"extent": [2, 2], "periodic": True},
        {"extent": [3, 3], "periodic": True},
        {"extent": [2, 4], "periodic": True},
        {"extent": [4, 3], "periodic": [True, False]},
        {"extent": [1, 5], "periodic": [False, True]},
        {"extent": [4, 4], "periodic": True},
        {"extent": [3, 2], "periodic": False},
    ],
    "triangular": [
        {"extent": [2, 2], "periodic": True},
        {"extent": [3, 3], "periodic": True},
        {"extent": [4, 2], "periodic": [True, False]},
        {"extent": [1, 4], "periodic": False},
        {"extent": [4, 4], "periodic": True},
    ],
    "honeycomb": [
        {"extent": [1, 1], "periodic": False},
        {"extent": [2, 2], "periodic": True},
        {"extent": [2, 3], "periodic": [False, True]},
        {"extent": [3, 3], "periodic": True},
    ],
    "kagome": [
        {"extent": [1, 1], "periodic": True},
        {"extent": [2, 1], "periodic": [True, False]},
        {"extent": [2, 2], "periodic": True},
        {"extent": [2, 2], "periodic": False},
    ],
    "cubic": [
        {"extent": [2, 2, 2], "periodic": True},
        {"extent": [3, 2, 1], "periodic": False},
        {"extent": [3, 2, 2], "periodic": [True, False, True]},
        {"extent": [3, 3, 3], "periodic": True},
    ],
    "all_to_all": [{"size": 2}, {"size": 3}, {"size": 6}],
}

# (lattice, its parameters, couplings): at most 9 spins, so that the whole space is a dense matrix.
HAMILTONIAN_CASES = {
    "tfim": [
        ("chain", {"length": 2, "periodic": True}, {"J": 0.7, "h": 1.3}),
        ("chain", {"length": 5, "periodic": True}, {"J": -0.7, "h": 1.3}),
        ("chain", {"length": 6, "periodic": False}, {"J": 1.0, "h": 0.4, "h_z": 0.3}),
        ("square", {"extent": [2, 3], "periodic": True}, {"J": 1.0, "h": 3.0}),
        ("square", {"extent": [3, 3], "periodic": [True, False]}, {"J": 1.0, "h": 3.0}),
    ],
    "heisenberg": [
        ("chain", {"length": 4, "periodic": True}, {"J": 1.0}),
        ("chain", {"length": 5, "periodic": True}, {"J": 0.8}),
        ("chain", {"length": 8, "periodic": False}, {"J": -1.2}),
        ("square", {"extent": [2, 4], "periodic": True}, {"J": 1.0}),
        ("square", {"extent": [3, 3], "periodic": True}, {"J": 1.0}),
        ("triangular", {"extent": [2, 3], "periodic": True}, {"J": 1.0}),
        ("honeycomb", {"extent": [2, 2], "periodic": True}, {"J": 1.0}),
        ("kagome", {"extent": [2, 1], "periodic": True}, {"J": 1.0}),
        ("cubic", {"extent": [2, 2, 2], "periodic": True}, {"J": 1.0}),
        ("all_to_all", {"size": 6}, {"J": 1.0}),
    ],
    "xxz": [
        ("chain", {"length": 6, "periodic": True}, {"J": 1.0, "Delta": 0.4}),
        ("chain", {"length": 5, "periodic": True}, {"J": -1.1, "Delta": -1.0}),
        ("square", {"extent": [2, 3], "periodic": [False, True]}, {"J": 0.7, "Delta": 2.0}),
        ("honeycomb", {"extent": [2, 2], "periodic": True}, {"J": 1.0, "Delta": 0.0}),
    ],
    "j1j2": [
        ("chain", {"length": 8, "periodic": True}, {"J1": 1.0, "J2": 0.5}),
        ("chain", {"length": 4, "periodic": True}, {"J1": 1.0, "J2": 0.3}),
        ("chain", {"length": 3, "periodic": True}, {"J1": 1.0, "J2": 0.3}),
        ("square", {"extent": [2, 4], "periodic": True}, {"J1": 0.9, "J2": 0.6}),
        ("square", {"extent": [3, 3], "periodic": [True, False]}, {"J1": 1.0, "J2": -0.4}),
        ("triangular", {"extent": [3, 3], "periodic": True}, {"J1": 1.0, "J2": 0.1}),
    ],
    "long_range_tfim": [
        ("chain", {"length": 6, "periodic": True}, {"J": -2.0, "h": 1.0, "alpha": 4.0}),
        ("chain", {"length": 7, "periodic": True}, {"J": 4.75, "h": 0.5, "alpha": 1.5}),
        ("chain", {"length": 5, "periodic": False}, {"J": 1.0, "h": 1.0, "alpha": 2.0}),
        ("chain", {"length": 2, "periodic": True}, {"J": 1.0, "h": 1.0, "alpha": 0.0}),
    ],
    "spin_glass": [
        ("square", {"extent": [2, 3], "periodic": True}, {"model": "edwards_anderson", "disorder_seed": 3}),
        ("chain", {"length": 7}, {"model": "edwards_anderson", "disorder": "gaussian", "J": 0.7, "h": 0.3}),
        ("all_to_all", {"size": 6}, {"model": "sherrington_kirkpatrick", "disorder": "gaussian", "disorder_seed": 1}),
        ("chain", {"length": 6}, {"model": "sherrington_kirkpatrick", "h": 0.5}),
    ],
    "custom": [
        ("chain", {"length": 3}, {"strings": {"XX": [[0, 1], [1, 2]], "Z": {"sites": [[2]], "coefficient": -0.5}}}),
        ("chain", {"length": 4}, {"strings": {"XYZ": {"sites": [[3, 0, 1], [0, 1, 2]], "coefficient": [1.5, -2]}}}),
        (
            "square",
            {"extent": [2, 2]},
            {"strings": {"XX": [[0, 1], [2, 3]], "YY": [[1, 0], [2, 3]], "ZZZZ": [[0, 1, 2, 3]]}},
        ),
    ],
}
