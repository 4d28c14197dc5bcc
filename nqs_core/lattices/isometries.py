"""The rotations and reflections of a finite lattice, found from its unit cell, extent and boundary."""

import functools
import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int32

Vectors = tuple[tuple[float, ...], ...]

_CLOSE = 1e-6  # in fractions of a cell
_GRID = 12  # centres are looked for at twelfths of a cell, which hold those of every lattice with a hexagon or a square


class Operations(NamedTuple):
    """x ↦ W (x - centre) + centre in coordinates along the primitive vectors, the identity first.

    matrices: W, integers (n_elements, n_axes, n_axes), column a the image of a_a; cartesian: the same as rotations of
    space; permutations: (g σ)[i] = σ[perm[i]].
    """

    matrices: Int[np.ndarray, "n_elements n_axes n_axes"]
    cartesian: Float[np.ndarray, "n_elements dim dim"]
    centre: Float[np.ndarray, " n_axes"]
    permutations: Int32[np.ndarray, "n_elements n_sites"]


@functools.lru_cache(maxsize=64)
def operations(vectors: Vectors, basis: Vectors, extent: tuple[int, ...], periodicity: tuple[bool, ...]) -> Operations:
    """Every isometry of the Bravais lattice about one centre that maps the sites of the finite lattice onto themselves.

    The torus that periodic axes span is kept, hence all distances on it and with them the shells of neighbours.
    """
    frame = np.array(vectors)
    inside = np.array(basis) @ np.linalg.inv(frame)
    matrices = np.array([w for w in _holohedry(vectors) if _keeps_torus(w, extent, periodicity)])
    grids = [
        np.arange(_GRID) / _GRID if periodic else np.array([(n - 1) / 2 + inside[:, axis].mean()])
        for axis, (n, periodic) in enumerate(zip(extent, periodicity, strict=True))
    ]
    centres = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, len(extent))
    shifts = centres[None] - np.einsum("wij,cj->wci", matrices, centres)
    possible = np.all(_target(matrices, shifts, inside)[1], axis=-1)  # (W, centre)
    best, found = -1, []
    for c in np.argsort(-possible.sum(axis=0), kind="stable"):
        if possible[:, c].sum() <= len(found):
            break
        kept = [
            (w, image)
            for w in np.flatnonzero(possible[:, c])
            if (image := _images(matrices[w], shifts[w, c], inside, extent, periodicity)) is not None
        ]
        if len(kept) > len(found):
            best, found = int(c), kept
    chosen = matrices[[w for w, _ in found]]
    permutations = np.argsort(np.array([image for _, image in found]), axis=1).astype(np.int32)
    cartesian = np.einsum("ai,wab,jb->wij", frame, chosen, np.linalg.inv(frame))
    for array in (chosen, cartesian, centres, permutations):
        array.flags.writeable = False
    return Operations(chosen, cartesian, centres[best], permutations)


@functools.lru_cache(maxsize=16)
def _holohedry(vectors: Vectors) -> list[np.ndarray]:
    """Integer matrices W with Wᵀ G W = G, G_ab = a_a · a_b, the identity first; the basis must be a reduced one."""
    frame = np.array(vectors)
    gram = frame @ frame.T
    short = np.array(list(itertools.product((-1, 0, 1), repeat=len(frame))))
    lengths = np.einsum("ki,ij,kj->k", short, gram, short)
    columns = [short[np.abs(lengths - gram[a, a]) < _CLOSE] for a in range(len(frame))]
    every = [np.array(chosen).T for chosen in itertools.product(*columns)]
    kept = [w for w in every if np.abs(w.T @ gram @ w - gram).max() < _CLOSE]
    return sorted(kept, key=lambda w: (not np.array_equal(w, np.eye(len(w))), w.tolist()))


def _keeps_torus(w: np.ndarray, extent: tuple[int, ...], periodicity: tuple[bool, ...]) -> bool:
    periodic = np.array(periodicity)
    images = (w * np.array(extent))[:, periodic]  # of the vectors L_a a_a
    steps = images[periodic] % np.array(extent)[periodic][:, None]
    return not steps.any() and not images[~periodic].any()


def _target(matrices: np.ndarray, shifts: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The position in the cell that W s_b + shift falls on, and whether it does, each (W, centre, b)."""
    moved = np.einsum("wij,bj->wbi", matrices, inside)[:, None] + shifts[:, :, None]
    offset = moved[:, :, :, None] - inside
    hit = np.all(np.abs(offset - np.round(offset)) < _CLOSE, axis=-1)
    return hit.argmax(axis=-1), hit.any(axis=-1)


def _images(
    w: np.ndarray, shift: np.ndarray, inside: np.ndarray, extent: tuple[int, ...], periodicity: tuple[bool, ...]
) -> np.ndarray | None:
    """The site that each site moves to; None where one leaves the lattice through an open end."""
    target = _target(w[None], shift[None, None], inside)[0][0, 0]
    steps = np.round(inside @ w.T + shift - inside[target]).astype(int)
    cells = np.stack(np.unravel_index(np.arange(np.prod(extent)), extent), axis=-1)
    moved = (cells @ w.T)[:, None, :] + steps
    size = np.array(extent)
    is_open = ~np.array(periodicity)
    if np.any((moved < 0)[..., is_open]) or np.any((moved >= size)[..., is_open]):
        return None
    rows = np.ravel_multi_index(tuple(np.moveaxis(moved % size, -1, 0)), extent)
    return (rows * len(inside) + target).reshape(-1)
