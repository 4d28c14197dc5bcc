"""A lattice as JSON for a drawing: sites, bonds, Brillouin zone and the labels that a sector may have."""

import itertools
from typing import Any

import numpy as np

from nqs_core.lattices import momenta, symmetry
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.crystal import Crystal, radius

MAX_SITES = 1024  # more would not be told apart
MAX_PAIRS = 8192  # bonds of one shell
MAX_MOMENTA = 64
ORDERS = (1, 2, 3)
_DEPTH = (0.43, 0.25)  # the drawn direction of the axis that points away from the viewer


def draw(lattice: Lattice) -> dict[str, Any]:
    """Everything that a drawing of `lattice` shows.

    n_sites, extent, periodicity; sites: [x, y] in units of the neighbour distance, of three dimensions a projection;
    sublattice: 0 or 1 for each site, or None; bonds: for each shell `pairs` that are drawn as straight lines and
    `wraps` that go around a periodic axis; reciprocal: vectors b_a, or None; zone: corners of the first Brillouin zone,
    its ends in one dimension, None in three; points: labels of the zone; momenta: the allowed ones, labelled first, at
    most 64; point_group: name and irreps; note: what was left out, or "".
    """
    large = lattice.n_sites > MAX_SITES
    notes = [f"{lattice.n_sites} sites are too many to draw (at most {MAX_SITES})"] if large else []
    colour = None if large else lattice.sublattice()
    shells = [] if large else [_bonds(lattice, order) for order in ORDERS]
    if any(shell.pop("cut") for shell in shells):
        notes.append(f"shells of more than {MAX_PAIRS} bonds are not drawn")
    group = {"name": None, "irreps": []} if large else symmetry.little(lattice, None)
    reciprocal = lattice.reciprocal() if isinstance(lattice, Crystal) else None
    return {
        "n_sites": lattice.n_sites,
        "extent": list(lattice.extent),
        "periodicity": list(lattice.periodicity),
        "sites": [] if large else _flat(lattice.positions()),
        "sublattice": None if colour is None else colour.tolist(),
        "bonds": shells,
        "reciprocal": None if reciprocal is None else reciprocal.tolist(),
        "zone": None if reciprocal is None else zone(reciprocal),
        "points": {} if reciprocal is None else _points(lattice, reciprocal),
        "momenta": _momenta(lattice),
        "point_group": group,
        "note": "; ".join(notes),
    }


def zone(reciprocal: np.ndarray) -> list[list[float]] | None:
    """Corners of the first Brillouin zone, counter-clockwise: what is nearer to 0 than to any reciprocal vector.

    The two ends in one dimension, None in three.
    """
    if len(reciprocal) == 1:
        half = float(np.linalg.norm(reciprocal[0])) / 2
        return [[-half, 0.0], [half, 0.0]]
    if len(reciprocal) > 2:
        return None
    near = np.array([g for g in itertools.product((-1, 0, 1), repeat=2) if any(g)]) @ reciprocal
    bound = (near**2).sum(axis=1) / 2  # q · G <= |G|² / 2
    corners: dict[tuple[float, float], float] = {}
    for a, b in itertools.combinations(range(len(near)), 2):
        if abs(np.linalg.det(near[[a, b]])) < 1e-9:
            continue
        q = np.linalg.solve(near[[a, b]], bound[[a, b]])
        if np.all(near @ q <= bound + 1e-9):
            x, y = np.round(q, 12) + 0.0
            corners[float(x), float(y)] = float(np.arctan2(y, x))
    distinct: list[list[float]] = []
    for x, y in sorted(corners, key=lambda corner: corners[corner]):
        if not any(np.hypot(x - u, y - v) < 1e-9 for u, v in distinct):
            distinct.append([x, y])
    return distinct


def _flat(positions: np.ndarray) -> list[list[float]]:
    if positions.shape[1] == 3:
        x, y, z = positions.T
        positions = np.stack([x + _DEPTH[0] * y, z + _DEPTH[1] * y], axis=1)
    padded = np.pad(positions, ((0, 0), (0, 2 - positions.shape[1])))
    return (np.round(padded, 12) + 0.0).tolist()


def _bonds(lattice: Lattice, order: int) -> dict[str, Any]:
    pairs, at = lattice.bonds(order), lattice.positions()
    cut = len(pairs) > MAX_PAIRS
    if cut:
        pairs = pairs[:0]
    straight = np.ones(len(pairs), bool)
    if isinstance(lattice, Crystal):  # where images coincide, a pair may be both: then it is a straight line
        length = np.linalg.norm(at[pairs[:, 0]] - at[pairs[:, 1]], axis=1)
        straight = np.abs(length - radius(type(lattice), order)) < 1e-6
    return {"order": order, "pairs": pairs[straight].tolist(), "wraps": pairs[~straight].tolist(), "cut": cut}


def _points(lattice: Lattice, reciprocal: np.ndarray) -> dict[str, list[float]]:
    if len(reciprocal) > 2:
        return {}
    at = momenta.fold(reciprocal, np.array(list(lattice.points.values())))
    return dict(zip(lattice.points, _flat(at), strict=True))


def _momenta(lattice: Lattice) -> list[dict[str, Any]]:
    named = momenta.labels(lattice)
    counts = [n if periodic else 1 for n, periodic in zip(lattice.extent, lattice.periodicity, strict=True)]
    others = (m for m in itertools.product(*map(range, counts)) if m not in named.values())
    every = itertools.islice(itertools.chain(named.values(), others), MAX_MOMENTA)
    return [{"label": momenta.name(lattice, m), "m": list(m)} for m in every]
