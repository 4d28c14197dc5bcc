"""Point groups of finite lattices: their elements, irreps and characters, whole or the little group of a momentum."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Inexact, Int32

from nqs_core.errors import ConfigError
from nqs_core.lattices import characters, momenta
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.crystal import Crystal, freeze

TRIVIAL = "A1"  # names the trivial irrep of every group, whatever its own name


class Group(NamedTuple):
    """A point group about the centre of the lattice, its elements as in `Lattice.point_group`, the identity first.

    name: Schoenflies symbol; irreps: χ(g) for every irrep by its Mulliken name, the trivial one first; dimensions: of
    the irreps. Characters belong to elements, so that permutations that coincide on a small lattice do no harm: an
    irrep that tells them apart has no states there.
    """

    name: str
    permutations: Int32[np.ndarray, "n_elements n_sites"]
    irreps: dict[str, Inexact[np.ndarray, " n_elements"]]
    dimensions: dict[str, int]


def point_group(lattice: Lattice, momentum: Sequence[int] | str | None = None) -> Group:
    """The point group of a lattice, or the little group of a momentum: the elements that keep k up to 2π.

    Raises:
        ConfigError: a momentum that the lattice does not have.
        TooLargeError: the permutations would take more than 1 GB.
    """
    return _group(lattice, None if momentum is None else momenta.resolve(lattice, momentum))


def little(lattice: Lattice, momentum: Sequence[int] | str | None) -> dict[str, object]:
    """Name and irreps of `point_group`, as JSON."""
    group = point_group(lattice, momentum)
    return {"name": group.name, "irreps": list(group.irreps)}


def translation_generators(lattice: Lattice) -> list[np.ndarray | None]:
    """The shift by one cell along each axis as a permutation of the sites; None where it is the identity."""
    counts = [n if periodic else 1 for n, periodic in zip(lattice.extent, lattice.periodicity, strict=True)]
    rows = lattice.translations().reshape(*counts, lattice.n_sites)
    unit = np.eye(len(counts), dtype=int)
    return [rows[tuple(unit[axis])] if count > 1 else None for axis, count in enumerate(counts)]


def resolve(group: Group, irrep: str) -> str:
    """The name of an irrep in the group; "A1" is the trivial irrep of every group.

    Raises:
        ConfigError: the group has no such irrep.
    """
    name = irrep.strip().replace("′", "'")
    if name in group.irreps:
        return name
    if name == TRIVIAL:
        return next(iter(group.irreps))
    raise ConfigError(f"sector.point_group = {irrep!r}: irreps of {group.name} are {', '.join(group.irreps)}")


@functools.lru_cache(maxsize=64)
def _group(lattice: Lattice, momentum: tuple[int, ...] | None) -> Group:
    if not isinstance(lattice, Crystal):
        return Group("C1", lattice.point_group(), {"A": np.ones(1)}, {"A": 1})
    matrices, cartesian, _, permutations = lattice.operations()
    kept = np.arange(len(matrices))
    if momentum is not None:
        # exp(i k·W R) = exp(i k·R) for every translation R of the lattice.
        periodic = np.array(lattice.periodicity)
        fractions = np.array(momentum) / lattice.extent
        change = (np.einsum("i,wij->wj", fractions, matrices) - fractions)[:, periodic]
        kept = np.flatnonzero(np.all(np.abs(change - np.round(change)) < 1e-9, axis=1))
    position = {matrices[g].tobytes(): k for k, g in enumerate(kept)}
    product = np.array([[position[(matrices[a] @ matrices[b]).tobytes()] for b in kept] for a in kept])
    table = freeze(characters.table(product))
    symbol, names = characters.names(cartesian[kept], table)
    order = [0, *sorted(range(1, len(names)), key=lambda k: (round(table[k, 0].real), names[k]))]
    return Group(
        symbol,
        freeze(permutations[kept]),
        {names[k]: table[k] for k in order},
        {names[k]: round(table[k, 0].real) for k in order},
    )
