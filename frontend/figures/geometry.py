"""Lattices on paper: the drawing that the API answers with, as vectors."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray


def reciprocal(drawing: Mapping[str, Any]) -> Array | None:
    """The reciprocal vectors (n_axes, dim), where there are as many as dimensions; else None."""
    vectors = drawing.get("reciprocal")
    if not vectors or len(vectors) != len(vectors[0]):
        return None
    return np.asarray(vectors, float)


def periods(drawing: Mapping[str, Any]) -> Array:
    """What joins a lattice to itself in the plane (n, 2), one vector for each periodic axis; n = 0 where unknown."""
    vectors = reciprocal(drawing)
    if vectors is None or len(vectors) > 2:
        return np.zeros((0, 2))
    cells = 2 * np.pi * np.linalg.inv(vectors).T
    joined = np.array(drawing["extent"], float)[:, None] * cells
    joined = np.pad(joined, ((0, 0), (0, 2 - joined.shape[1])))
    return joined[np.array(drawing["periodicity"], bool)]


def around(start: Array, end: Array, vectors: Array) -> Array | None:
    """The shortest way (2,) from `start` to `end` that leaves the drawing over a periodic border; None: no way."""
    steps = [n for n in itertools.product((-1, 0, 1), repeat=len(vectors)) if any(n)]
    if not steps:
        return None
    ways = end - start + np.array(steps, float) @ vectors
    return ways[np.argmin(np.round(np.linalg.norm(ways, axis=1), 9))]


def wrapped(drawing: Mapping[str, Any]) -> set[tuple[int, int]]:
    """The pairs whose bond goes around a border."""
    return {(min(i, j), max(i, j)) for shell in drawing.get("bonds") or [] for i, j in shell.get("wraps") or []}


class MomentumGrid:
    """Momenta on the grid Σ_a (m_a / L_a) b_a, looked up by place.

    Args:
        vectors: reciprocal vectors b_a (n_axes, n_axes).
        counts: L_a, momenta along each axis of one zone.
        momenta: (n_q, n_axes), those that have a value; more than one zone of them where the values do not repeat.
    """

    def __init__(self, vectors: Array, counts: Array, momenta: Array) -> None:
        self._to_grid = np.linalg.inv(vectors) * counts
        self._from_grid = np.linalg.inv(self._to_grid)
        places = momenta @ self._to_grid
        whole = np.round(places).astype(int)
        self.complete = bool(np.all(np.abs(places - whole) < 1e-4))
        self.repeats = len(momenta) <= np.prod(counts)
        reach = np.abs(whole).max(axis=0)
        self._size = counts if self.repeats else 2 * reach + 1
        self._shift = np.zeros_like(reach) if self.repeats else reach
        self._index = np.full(tuple(self._size), -1)
        for sign in (-1, 1):  # S(-q) = S(q)
            self._index[tuple(((sign * whole + self._shift) % self._size).T)] = np.arange(len(momenta))

    def nearest(self, points: Array) -> Array:
        """For each point (n, n_axes) the index of the momentum that is nearest on the grid, -1: it has no value."""
        base = np.floor(points @ self._to_grid).astype(int)
        best = np.full(len(points), np.inf)
        found = np.zeros_like(base)
        for step in itertools.product((-1, 0, 1, 2), repeat=base.shape[1]):
            away = np.linalg.norm(points - (base + np.array(step)) @ self._from_grid, axis=1)
            closer = away < best - 1e-12
            best[closer] = away[closer]
            found[closer] = (base + np.array(step))[closer]
        inside = self.repeats | np.all(np.abs(found) <= self._shift, axis=1)
        return np.where(inside, self._index[tuple(((found + self._shift) % self._size).T)], -1)


def in_zone(points: Array, vectors: Array) -> Array:
    """Which points lie in the first Brillouin zone: no reciprocal lattice vector is nearer than the origin."""
    images = [np.array(n) @ vectors for n in itertools.product((-1, 0, 1), repeat=len(vectors)) if any(n)]
    return np.all([points @ g <= (0.5 + 1e-9) * (g @ g) for g in images], axis=0)
