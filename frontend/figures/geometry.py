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
    """The momenta that a periodic lattice holds, looked up by place.

    Args:
        vectors: reciprocal vectors (n_axes, n_axes).
        counts: momenta along each axis.
        momenta: (n_q, n_axes), those that have a value.
    """

    def __init__(self, vectors: Array, counts: Array, momenta: Array) -> None:
        self._to_fraction = np.linalg.inv(vectors)
        self._vectors = vectors
        self._counts = counts
        places = momenta @ self._to_fraction * counts
        whole = np.round(places)
        self.complete = bool(np.all(np.abs(places - whole) < 1e-4))
        self._index = np.full(tuple(counts), -1)
        for i, m in enumerate(whole.astype(int)):
            for sign in (-1, 1):  # S(-q) = S(q)
                self._index[tuple(sign * m % counts)] = i

    def nearest(self, points: Array) -> Array:
        """For each point (n, n_axes) the index of the momentum that is nearest up to reciprocal vectors, -1: none."""
        base = np.floor(points @ self._to_fraction * self._counts)
        best = np.full(len(points), np.inf)
        found = np.full(len(points), -1)
        for step in itertools.product((-1, 0, 1, 2), repeat=len(self._counts)):
            m = base + np.array(step)
            away = np.linalg.norm(points - (m / self._counts) @ self._vectors, axis=1)
            closer = away < best - 1e-12
            best[closer] = away[closer]
            found[closer] = self._index[tuple((m[closer].astype(int) % self._counts).T)]
        return found


def in_zone(points: Array, vectors: Array) -> Array:
    """Which points lie in the first Brillouin zone: no reciprocal lattice vector is nearer than the origin."""
    images = [np.array(n) @ vectors for n in itertools.product((-1, 0, 1), repeat=len(vectors)) if any(n)]
    return np.all([points @ g <= (0.5 + 1e-9) * (g @ g) for g in images], axis=0)
