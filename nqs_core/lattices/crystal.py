"""Lattices made of unit cells: every geometric question is answered from the primitive vectors and the basis."""

import functools
import itertools
import math
from typing import Annotated, ClassVar

import numpy as np
import pydantic
from jaxtyping import Float, Int8, Int32

from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.lattices import isometries
from nqs_core.lattices.base import Lattice

Length = Annotated[int, pydantic.Field(ge=1, le=1_000_000)]  # unit cells along one axis

MAX_BYTES = 2**30  # one array of a lattice never takes more
_DIGITS = 9  # distances closer than this are one shell


class Crystal(Lattice):
    """Π extent unit cells; site = cell · n_basis + position in the cell, cells row-major (the last axis runs fastest).

    `vectors` and `basis` are in units of the nearest-neighbour distance.
    """

    vectors: ClassVar[tuple[tuple[float, ...], ...]]
    basis: ClassVar[tuple[tuple[float, ...], ...]]

    @property
    def n_sites(self) -> int:
        return math.prod(self.extent) * len(self.basis)

    def positions(self) -> Float[np.ndarray, "n_sites dim"]:
        return _positions(self)

    def bonds(self, order: int = 1) -> Int32[np.ndarray, "n_bonds 2"]:
        """Pairs i < j joined by a vector of the `order`-th shell of the infinite lattice, each once.

        On small periodic lattices several vectors may join one pair: it still counts once, and a site is never its own
        neighbour.

        Raises:
            ValueError: order < 1.
            TooLargeError: the list would take more than 1 GB.
        """
        if order < 1:
            raise ValueError(f"bonds of order {order}: the first shell has order 1")
        return _bonds(self, order)

    def translations(self) -> Int32[np.ndarray, "n_translations n_sites"]:
        return _translations(self)

    def reciprocal(self) -> Float[np.ndarray, "n_axes dim"]:
        return 2 * np.pi * np.linalg.inv(np.array(self.vectors)).T

    def operations(self) -> isometries.Operations:
        """The elements of `point_group` with their matrices and their common centre."""
        check_bytes(self, "point group", 4.0 * 48 * self.n_sites)
        return isometries.operations(self.vectors, self.basis, self.extent, self.periodicity)

    def point_group(self) -> Int32[np.ndarray, "n_elements n_sites"]:
        """The isometries of the Bravais lattice that map the finite lattice onto itself, about the best centre.

        The centre is that with the most elements, among equal ones the one nearest the origin of the cell: a site of
        rings, square, triangular and cubic tori, the middle of a hexagon of honeycomb and kagome tori, the centre of
        gravity along open axes.
        """
        return self.operations().permutations

    def sublattice(self) -> Int8[np.ndarray, " n_sites"] | None:
        return _sublattice(self)

    def distances(self) -> Float[np.ndarray, "n_sites n_sites"]:
        return _distances(self)


def per_axis(periodic: bool | tuple[bool, ...], n_axes: int) -> tuple[bool, ...]:
    """One flag per axis from a single flag or one per axis."""
    return (periodic,) * n_axes if isinstance(periodic, bool) else tuple(periodic)


def require_sites(lattice: Lattice) -> None:
    """Raises:
    ConfigError: fewer than two sites.
    """
    if lattice.n_sites < 2:
        raise ConfigError(f"lattice with extent {list(lattice.extent)} has 1 site; at least 2 are needed")


def check_bytes(lattice: Lattice, what: str, n_bytes: float) -> None:
    """Raises:
    TooLargeError: `n_bytes` exceed the limit for one array.
    """
    if n_bytes > MAX_BYTES:
        raise TooLargeError(
            f"the {what} of {lattice.n_sites} sites would take {n_bytes / 1e9:.3g} GB; "
            f"the limit is {MAX_BYTES / 1e9:.3g} GB"
        )


def freeze(array: np.ndarray) -> np.ndarray:
    """The same array, read-only: cached results are shared."""
    array.flags.writeable = False
    return array


def _cells(lattice: Crystal) -> np.ndarray:
    """Integer coordinates of every cell, int64 (n_cells, n_axes), row-major."""
    return np.stack(np.unravel_index(np.arange(math.prod(lattice.extent)), lattice.extent), axis=-1)


@functools.lru_cache(maxsize=64)
def _positions(lattice: Crystal) -> np.ndarray:
    check_bytes(lattice, "positions", 32.0 * lattice.n_sites)
    origins = _cells(lattice) @ np.array(lattice.vectors)
    return freeze((origins[:, None, :] + np.array(lattice.basis)).reshape(lattice.n_sites, -1))


@functools.lru_cache(maxsize=64)
def shell(cls: type[Crystal], order: int) -> tuple[tuple[int, int, tuple[int, ...]], ...]:
    """(position in the cell a, b, cell offset) of every vector of the `order`-th shell of the infinite lattice."""
    vectors, basis = np.array(cls.vectors), np.array(cls.basis)
    window = range(-order - 2, order + 3)
    offsets = np.array(list(itertools.product(window, repeat=len(vectors))))
    delta = (offsets @ vectors)[:, None, None, :] + basis[None, None, :, :] - basis[None, :, None, :]
    length: np.ndarray = np.round(np.linalg.norm(delta, axis=-1), _DIGITS)
    radius = np.unique(length)[order]  # entry 0 is the distance of a site to itself
    return tuple(
        (int(a), int(b), tuple(offsets[k].tolist())) for k, a, b in zip(*np.nonzero(length == radius), strict=True)
    )


def radius(cls: type[Crystal], order: int) -> float:
    """Distance of the neighbours of the `order`-th shell, in units of the nearest-neighbour distance."""
    a, b, offset = shell(cls, order)[0]
    return float(np.linalg.norm(np.array(offset) @ np.array(cls.vectors) + np.subtract(cls.basis[b], cls.basis[a])))


@functools.lru_cache(maxsize=64)
def _bonds(lattice: Crystal, order: int) -> np.ndarray:
    vectors = shell(type(lattice), order)
    check_bytes(lattice, "bonds", 16.0 * lattice.n_sites * len(vectors) / len(lattice.basis))
    cells, extent, n_basis = _cells(lattice), np.array(lattice.extent), len(lattice.basis)
    open_axes = [axis for axis, periodic in enumerate(lattice.periodicity) if not periodic]
    pairs = [np.zeros((0, 2), np.int64)]
    for a, b, offset in vectors:
        target = cells + np.array(offset)
        inside = np.all((target[:, open_axes] >= 0) & (target[:, open_axes] < extent[open_axes]), axis=-1)
        i = np.flatnonzero(inside) * n_basis + a
        j = np.ravel_multi_index(tuple((target[inside] % extent).T), lattice.extent) * n_basis + b
        pairs.append(np.stack([i, j], axis=-1)[i < j])  # the opposite vector brings the pairs with i > j
    return freeze(np.unique(np.concatenate(pairs), axis=0).astype(np.int32))


@functools.lru_cache(maxsize=16)
def _translations(lattice: Crystal) -> np.ndarray:
    ranges = [range(n if periodic else 1) for n, periodic in zip(lattice.extent, lattice.periodicity, strict=True)]
    check_bytes(lattice, "translations", 4.0 * lattice.n_sites * math.prod(len(r) for r in ranges))
    cells, n_basis = _cells(lattice), len(lattice.basis)
    rows = []
    for shift in itertools.product(*ranges):
        # (t sigma)[r] = sigma[r - shift]: the pattern moves by +shift.
        source = np.asarray(np.ravel_multi_index(tuple(((cells - shift) % lattice.extent).T), lattice.extent))
        rows.append((source[:, None] * n_basis + np.arange(n_basis)).ravel())
    return freeze(np.array(rows, np.int32))


@functools.lru_cache(maxsize=64)
def _sublattice(lattice: Crystal) -> np.ndarray | None:
    neighbours: list[list[int]] = [[] for _ in range(lattice.n_sites)]
    for i, j in _bonds(lattice, 1).tolist():
        neighbours[i].append(j)
        neighbours[j].append(i)
    colour = [-1] * lattice.n_sites
    for start in range(lattice.n_sites):
        if colour[start] >= 0:
            continue
        colour[start], front = 0, [start]
        while front:
            i = front.pop()
            for j in neighbours[i]:
                if colour[j] < 0:
                    colour[j] = 1 - colour[i]
                    front.append(j)
                elif colour[j] == colour[i]:
                    return None
    return freeze(np.array(colour, np.int8))


@functools.lru_cache(maxsize=16)
def _distances(lattice: Crystal) -> np.ndarray:
    check_bytes(lattice, "distances", 8.0 * lattice.n_sites**2)
    vectors, basis = np.array(lattice.vectors), np.array(lattice.basis)
    extent = np.array(lattice.extent)
    # A distance depends on the difference of the cells only: a table of differences, then a lookup.
    spans = [np.arange(1 - n, n) for n in lattice.extent]
    differences = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1)
    table: np.ndarray = np.full((len(basis), len(basis), *differences.shape[:-1]), np.inf)
    for image in itertools.product(*[(-2, -1, 0, 1, 2) if p else (0,) for p in lattice.periodicity]):
        for a, b in itertools.product(range(len(basis)), repeat=2):
            delta = (differences + extent * np.array(image)) @ vectors + basis[b] - basis[a]
            np.minimum(table[a, b], np.linalg.norm(delta, axis=-1), out=table[a, b])
    cells = _cells(lattice)
    where = tuple(np.moveaxis(cells[None, :, :] - cells[:, None, :] + extent - 1, -1, 0))
    blocks = table[(slice(None), slice(None), *where)]  # (a, b, cell, cell)
    return freeze(blocks.transpose(2, 0, 3, 1).reshape(lattice.n_sites, lattice.n_sites).copy())
