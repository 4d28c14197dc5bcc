"""Pauli strings of any length and letters as rows of numbers, so that thousands of them are handled at once."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

LETTERS = {"X": 0, "Y": 1, "Z": 2}


class Parts(NamedTuple):
    """What strings do, row by row; lists of sites rise and are padded with -1.

    flips: sites of X and Y; signs: sites of Z and Y; n_y: number of Y.
    """

    flips: np.ndarray
    signs: np.ndarray
    n_y: np.ndarray


def table(terms: Iterable[tuple[str, np.ndarray, Any]]) -> np.ndarray:
    """4 · site + letter of every factor of every string, int64 (n, longest): rows rise, padded with -1 in front."""
    rows = []
    for letters, sites, _ in terms:
        sites = np.asarray(sites, np.int64).reshape(-1, len(letters))
        rows.append(np.sort(4 * sites + np.array([LETTERS[p] for p in letters]), axis=1))
    width = max((row.shape[1] for row in rows), default=1)
    padded = [np.pad(row, ((0, 0), (width - row.shape[1], 0)), constant_values=-1) for row in rows]
    return np.concatenate(padded) if padded else np.zeros((0, 1), np.int64)


def coefficients(terms: Iterable[tuple[str, np.ndarray, Any]]) -> Any:
    """One coefficient for every row of `table`: of NumPy where none is traced."""
    found = [(c, np.asarray(sites).size // len(letters)) for letters, sites, c in terms]
    xp: Any = jnp if any(isinstance(c, jax.Array) for c, _ in found) else np
    return xp.concatenate([xp.broadcast_to(xp.asarray(c), (n,)) for c, n in found]) if found else np.zeros(0)


def parts(codes: np.ndarray) -> Parts:
    """The flips and signs of the rows of a `table`."""
    there, sites, letters = codes >= 0, codes >> 2, codes & 3
    n_y = np.sum(there & (letters == LETTERS["Y"]), axis=1)
    return Parts(
        _chosen(sites, there & (letters != LETTERS["Z"])), _chosen(sites, there & (letters != LETTERS["X"])), n_y
    )


def renamed(codes: np.ndarray, names: np.ndarray) -> np.ndarray:
    """The rows of a `table` with site i called names[i]."""
    return np.sort(np.where(codes < 0, -1, 4 * names[codes >> 2] + (codes & 3)), axis=1)


def alike(rows: np.ndarray) -> np.ndarray:
    """A number for every row of integers, from 0 in the order of the rows: equal rows have equal numbers."""
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    changed = np.any(ordered[1:] != ordered[:-1], axis=1)
    numbers = np.empty(len(rows), np.int64)
    numbers[order] = np.concatenate([np.zeros(min(1, len(rows)), np.int64), np.cumsum(changed)])
    return numbers


def _chosen(sites: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    beyond = np.iinfo(np.int64).max
    rows = np.sort(np.where(wanted, sites, beyond), axis=1)[:, : max(1, int(wanted.sum(axis=1).max(initial=0)))]
    return np.where(rows == beyond, -1, rows)
