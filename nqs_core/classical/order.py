"""The order in which local updates ask the sites: groups of sites that do not depend on each other.

Every order has the same equilibrium. The way there is another matter: Metropolis always makes a flip that costs
nothing, and in a fixed order such flips follow each other in one direction, so that the domains of a quench grow too
fast. In random order they grow as t^(1/2); the heat bath, which makes half of such flips, does so in every order.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from nqs_core.classical.model import neighbours
from nqs_core.errors import ConfigError

ORDERS = ("random", "sequential", "checkerboard")


class Group(NamedTuple):
    """Sites of which none is a neighbour of another, as flat indices, and the neighbours of each, one a row."""

    sites: np.ndarray
    neighbours: np.ndarray


def check_order(order: str) -> None:
    """Refuse what is none of ORDERS.

    Raises:
        ConfigError: it is none.
    """
    if order not in ORDERS:
        raise ConfigError(f"unknown order {order!r}; choose one of {', '.join(ORDERS)}")


def site_groups(size: int, order: str, rng: np.random.Generator) -> Iterator[Group]:
    """All sites once: to update group by group, each at once, equals to update one site after the other.

    "random" is a new permutation each time, "sequential" goes row by row, "checkerboard" takes a sublattice at a time.
    """
    if order == "random":
        yield from waves(rng.permutation(size**2).reshape(size, size))
    elif order == "sequential":
        yield from _diagonals(size)
    else:
        yield from _sublattices(size)


def waves(rank: Int[np.ndarray, "size size"]) -> Iterator[Group]:
    """All sites by ascending rank: a group is every site whose neighbours of lower rank were all in groups before.

    A random order of 256 × 256 sites has about 13 groups.
    """
    columns = neighbours(len(rank)).T
    earlier = [near < rank for near in _around(np.pad(rank, 1, mode="wrap"))]
    framed = np.ones((len(rank) + 2, len(rank) + 2), bool)  # with a copy of the opposite edge on every side
    waiting, near_waiting = framed[1:-1, 1:-1], _around(framed)
    while waiting.any():
        held = np.zeros(rank.shape, bool)
        for is_earlier, is_waiting in zip(earlier, near_waiting, strict=True):
            held |= is_earlier & is_waiting
        sites = np.flatnonzero(waiting & ~held)
        yield Group(sites, columns.take(sites, axis=1))
        waiting &= held
        framed[0], framed[-1] = framed[-2], framed[1]
        framed[:, 0], framed[:, -1] = framed[:, -2], framed[:, 1]


def _around(framed: np.ndarray) -> tuple[np.ndarray, ...]:
    """Views of what is above, below, left and right of every site within the frame."""
    return framed[:-2, 1:-1], framed[2:, 1:-1], framed[1:-1, :-2], framed[1:-1, 2:]


@lru_cache(maxsize=2)
def _diagonals(size: int) -> tuple[Group, ...]:
    """The groups of rank = row-major index: a site waits for those above it and to its left."""
    position = np.arange(size)
    return _by_label(position[:, None] + position[None, :])


@lru_cache(maxsize=4)
def _sublattices(size: int) -> tuple[Group, ...]:
    """Sites without neighbours among themselves: a checkerboard, or three colours on odd lattices."""
    colour = np.arange(size) % 2
    if size % 2:
        colour[-1] = 2  # an odd ring has no two-colouring
    return _by_label((colour[:, None] + colour[None, :]) % (2 + size % 2))


def _by_label(label: Int[np.ndarray, "size size"]) -> tuple[Group, ...]:
    """The sites of equal labels, in groups by ascending label."""
    columns = neighbours(len(label)).T
    flat = label.ravel()
    order = np.argsort(flat, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(flat[order])) + 1)
    return tuple(Group(sites, columns.take(sites, axis=1)) for sites in groups)
