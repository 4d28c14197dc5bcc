"""Dense matrices from Kronecker products and bonds from cell offsets, sharing no code with the package."""

import itertools
import math

import numpy as np

PAULI = {
    "X": np.array([[0, 1], [1, 0]], complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]).astype(complex),
}

# Sites in a cell, and for each shell the bonds (from, to, cell offset), counted once in the infinite lattice.
RULES = {
    "chain": (1, {1: [(0, 0, (1,))], 2: [(0, 0, (2,))], 3: [(0, 0, (3,))]}),
    "square": (
        1,
        {
            1: [(0, 0, (1, 0)), (0, 0, (0, 1))],
            2: [(0, 0, (1, 1)), (0, 0, (1, -1))],
            3: [(0, 0, (2, 0)), (0, 0, (0, 2))],
        },
    ),
}


def bonds(lattice, extent, periodic, order=1):
    """Pairs i < j, each once, site = cell * n_basis + position, cells row-major."""
    n_basis, shells = RULES[lattice]
    found = set()
    for cell in itertools.product(*map(range, extent)):
        for a, b, offset in shells[order]:
            target = [x + d for x, d in zip(cell, offset, strict=True)]
            if any(not p and not 0 <= x < n for x, n, p in zip(target, extent, periodic, strict=True)):
                continue
            target = [x % n for x, n in zip(target, extent, strict=True)]
            i = int(np.ravel_multi_index(cell, extent)) * n_basis + a
            j = int(np.ravel_multi_index(target, extent)) * n_basis + b
            if i != j:
                found.add((min(i, j), max(i, j)))
    return sorted(found)


def n_sites(lattice, extent):
    return math.prod(extent) * RULES[lattice][0]


def string(n, letters):
    """The product of Pauli matrices {site: letter}; site 0 is the least significant bit, bit 1 = spin down."""
    out = np.ones((1, 1), complex)
    for site in reversed(range(n)):
        out = np.kron(out, PAULI[letters[site]] if site in letters else np.eye(2))
    return out


def total(n, terms):
    """Σ coefficient · string from pairs ({site: letter}, coefficient)."""
    out = np.zeros((2**n, 2**n), complex)
    for letters, coefficient in terms:
        out += coefficient * string(n, letters)
    return out if np.imag(out).any() else np.real(out)


def exchange(pairs, J, delta=1.0):
    """J (SˣSˣ + SʸSʸ + Δ SᶻSᶻ) on every pair."""
    for i, j in pairs:
        yield {i: "X", j: "X"}, J / 4
        yield {i: "Y", j: "Y"}, J / 4
        yield {i: "Z", j: "Z"}, J * delta / 4


def fields(n, h, letter="X"):
    return [({i: letter}, -h) for i in range(n)]


def hamiltonian(name, lattice, extent, periodic, c):
    """The dense matrix of a model from its formula."""
    n, pairs = n_sites(lattice, extent), bonds(lattice, extent, periodic)
    match name:
        case "tfim":
            ising = [({i: "Z", j: "Z"}, -c["J"]) for i, j in pairs]
            return total(n, ising + fields(n, c["h"]) + fields(n, c.get("h_z", 0.0), "Z"))
        case "heisenberg":
            return total(n, exchange(pairs, c["J"]))
        case _:
            raise KeyError(name)
