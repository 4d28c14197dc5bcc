"""Small systems of every registered lattice and Hamiltonian, shared by the tests."""

from nqs_core.config import Spec
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.lattices import LATTICES


def lattice(name, **params):
    return LATTICES.build(Spec(name=name, params=params))


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
    ],
}
