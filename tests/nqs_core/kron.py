"""Dense matrices from Kronecker products and bonds from cell offsets, sharing no code with the package."""

import itertools
import math
from typing import Any

import numpy as np
import scipy.sparse

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
    "triangular": (
        1,
        {
            1: [(0, 0, (1, 0)), (0, 0, (0, 1)), (0, 0, (1, -1))],
            2: [(0, 0, (1, 1)), (0, 0, (2, -1)), (0, 0, (-1, 2))],
        },
    ),
    "honeycomb": (
        2,
        {
            1: [(0, 1, (0, 0)), (0, 1, (-1, 0)), (0, 1, (0, -1))],
            2: [(s, s, offset) for s in (0, 1) for offset in ((1, 0), (0, 1), (1, -1))],
        },
    ),
    "kagome": (
        3,
        {
            1: [
                *[(0, 1, (0, 0)), (0, 2, (0, 0)), (1, 2, (0, 0))],
                *[(1, 0, (1, 0)), (2, 0, (0, 1)), (1, 2, (1, -1))],
            ]
        },
    ),
    "cubic": (
        1,
        {
            1: [(0, 0, (1, 0, 0)), (0, 0, (0, 1, 0)), (0, 0, (0, 0, 1))],
            2: [(0, 0, o) for o in ((1, 1, 0), (1, -1, 0), (1, 0, 1), (1, 0, -1), (0, 1, 1), (0, 1, -1))],
        },
    ),
}


def bonds(lattice, extent, periodic, order=1):
    """Pairs i < j, each once, site = cell * n_basis + position, cells row-major."""
    if lattice == "all_to_all":
        return list(itertools.combinations(range(extent[0]), 2))
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
    return math.prod(extent) * (1 if lattice == "all_to_all" else RULES[lattice][0])


def string(n, letters):
    """The product of Pauli matrices {site: letter}; site 0 is the least significant bit, bit 1 = spin down."""
    out = scipy.sparse.csr_array(np.ones((1, 1)))
    for site in reversed(range(n)):
        out = scipy.sparse.kron(out, PAULI[letters[site]] if site in letters else np.eye(2), format="csr")
    return out


def total(n, terms):
    """Σ coefficient · string from pairs ({site: letter}, coefficient)."""
    out = sum(
        (coefficient * string(n, letters) for letters, coefficient in terms), scipy.sparse.csr_array((2**n, 2**n))
    )
    out = out.toarray()
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
        case "xxz":
            return total(n, exchange(pairs, c["J"], c["Delta"]))
        case "j1j2":
            second = bonds(lattice, extent, periodic, 2)
            return total(n, [*exchange(pairs, c["J1"]), *exchange(second, c["J2"])])
        case "long_range_tfim":
            return total(n, long_range(n, periodic[0], c["J"], c["alpha"]) + fields(n, c["h"]))
        case "spin_glass":
            return total(n, glass(n, pairs, c) + fields(n, c.get("h", 1.0)))
        case "custom":
            rows = [(letters, *row) for letters, rows in c["strings"].items() for row in each_row(rows)]
            return total(n, [(dict(zip(sites, letters, strict=True)), a) for letters, sites, a in rows])
        case _:
            raise KeyError(name)


def glass(n, pairs, c):
    """-J J_ij Z Z with the couplings drawn in the order of the pairs."""
    scale = c.get("J", 1.0)
    if c["model"] == "sherrington_kirkpatrick":
        pairs, scale = list(itertools.combinations(range(n), 2)), scale / math.sqrt(n)
    rng = np.random.default_rng(c.get("disorder_seed", 0))
    gaussian = c.get("disorder") == "gaussian"
    values = rng.standard_normal(len(pairs)) if gaussian else [(-1) ** b for b in rng.integers(0, 2, len(pairs))]
    return [({i: "Z", j: "Z"}, -scale * x) for (i, j), x in zip(pairs, values, strict=True)]


def each_row(rows: Any) -> list[Any]:
    """(sites, coefficient) of one entry of a custom Hamiltonian."""
    if isinstance(rows, list):
        return [(sites, 1.0) for sites in rows]
    c = rows["coefficient"]
    values = c if isinstance(c, list) else [c] * len(rows["sites"])
    return [(sites, value) for sites, value in zip(rows["sites"], values, strict=True)]


def long_range(n, periodic, J, alpha):
    """J/K d^-alpha on every pair, with the Kac factor K."""

    def decay(r):
        return (min(r, n - r) if periodic else r) ** -alpha

    kac = 1 + sum(decay(r) for r in range(1, n))
    return [({i: "Z", j: "Z"}, J / kac * decay(j - i)) for i, j in itertools.combinations(range(n), 2)]
