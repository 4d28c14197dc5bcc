"""Momenta of a finite lattice: which there are, their names, and their place in the first Brillouin zone."""

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.crystal import check_bytes, freeze

_SPELLINGS = {"Gamma": "Γ", "K′": "K'"}


@functools.lru_cache(maxsize=16)
def integers(lattice: Lattice) -> Int[np.ndarray, "n_q n_axes"]:
    """Every (m_a) of k = Σ_a (m_a / L_a) b_a in rising order, 0 along open axes.

    Raises:
        TooLargeError: the list would take more than 1 GB.
    """
    counts = _counts(lattice)
    check_bytes(lattice, "momenta", 8.0 * len(counts) * math.prod(counts))
    return freeze(np.stack(np.unravel_index(np.arange(math.prod(counts)), counts), axis=-1))


@functools.lru_cache(maxsize=16)
def allowed(lattice: Lattice) -> Float[np.ndarray, "n_q dim"]:
    """The momenta of `integers`, in their order, as vectors in the first Brillouin zone, 1 / neighbour distance.

    Raises:
        ConfigError: the lattice has no unit cell.
        TooLargeError: the list would take more than 1 GB.
    """
    whole = integers(lattice)
    check_bytes(lattice, "momenta", 16.0 * 3 ** (whole.shape[1] + 1) * len(whole))
    return freeze(fold(lattice.reciprocal(), whole / np.array(lattice.extent)))


def fold(
    reciprocal: Float[np.ndarray, "n_axes dim"], fractions: Float[np.ndarray, "n_q n_axes"]
) -> Float[np.ndarray, "n_q dim"]:
    """The shortest vectors Σ_a f_a b_a up to reciprocal lattice vectors; on the boundary, that with the largest x."""
    images = np.array(list(itertools.product((-1, 0, 1), repeat=len(reciprocal))))
    candidates = ((fractions % 1.0)[:, None, :] + images[None]) @ reciprocal
    length = np.round(np.linalg.norm(candidates, axis=-1), 9)
    # Rounded, so that equivalent points of the boundary do not depend on the last digit.
    keys = [np.round(-candidates[..., axis], 9) for axis in reversed(range(candidates.shape[-1]))]
    first = np.lexsort((*keys, length), axis=-1)[:, 0]
    return candidates[np.arange(len(candidates)), first]


def labels(lattice: Lattice) -> dict[str, tuple[int, ...]]:
    """The named momenta that extent and boundary hold, as integers m_a."""
    counts, found = np.array(_counts(lattice)), {}
    for name, fractions in lattice.points.items():
        products = np.array(fractions) * counts
        whole = np.round(products)
        if np.all(np.abs(products - whole) < 1e-9):
            found[name] = tuple(whole.astype(int).tolist())
    return found


def resolve(lattice: Lattice, momentum: Sequence[int] | str) -> tuple[int, ...]:
    """Integers m_a of k_a = 2π m_a / L_a in 0 ... L_a - 1, from any integers or a label ("Gamma" is "Γ").

    Raises:
        ConfigError: an unknown label, one that the extent or the boundary does not hold, the wrong number of integers,
            or a momentum along an open axis.
    """
    if isinstance(momentum, str):
        held, name = labels(lattice), _SPELLINGS.get(momentum, momentum)
        if len(lattice.extent) == 1 and name in ("π", "pi"):
            name = "X"
        if name in held:
            return held[name]
        boundary = "".join("P" if periodic else "O" for periodic in lattice.periodicity)
        here = f"extent {list(lattice.extent)}, boundary {boundary}"
        why = "is no momentum of" if name in lattice.points else "is no label of"
        raise ConfigError(f"sector.momentum = {momentum!r} {why} {here}; labels there: {', '.join(held)}")
    if len(momentum) != len(lattice.extent):
        raise ConfigError(
            f"sector.momentum = {list(momentum)} needs one integer per axis of extent {list(lattice.extent)}"
        )
    for m, periodic in zip(momentum, lattice.periodicity, strict=True):
        if m and not periodic:
            raise ConfigError(f"sector.momentum = {list(momentum)}: only 0 is possible along an open axis")
    return tuple(m % length for m, length in zip(momentum, lattice.extent, strict=True))


def name(lattice: Lattice, momentum: tuple[int, ...]) -> str:
    """The label of a momentum, else its integers: "Γ", "(1, 0)"."""
    for label, integer in labels(lattice).items():
        if integer == momentum:
            return label
    return f"({', '.join(map(str, momentum))})"


def _counts(lattice: Lattice) -> tuple[int, ...]:
    return tuple(n if periodic else 1 for n, periodic in zip(lattice.extent, lattice.periodicity, strict=True))
