"""Several copies of one lattice, for several states at once. Not registered: a run's `n_states` makes it."""

from functools import lru_cache
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int8, Int32

from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.crystal import freeze
from nqs_core.registry import component, context


@component
class Replicas(Lattice):
    """`copies` copies of a lattice without bonds between them; site i of copy k is k N + i. Drawn side by side.

    Translations and point operations act on all copies together.
    """

    single: Lattice = context()
    copies: int = context()

    points: ClassVar = {"Γ": (0.0,)}

    @property
    def n_sites(self) -> int:
        return self.copies * self.single.n_sites

    @property
    def extent(self) -> tuple[int, ...]:
        return (self.copies, *self.single.extent)

    @property
    def periodicity(self) -> tuple[bool, ...]:
        return (False, *self.single.periodicity)

    def positions(self) -> Float[np.ndarray, "n_sites dim"]:
        return _positions(self)

    def bonds(self, order: int = 1) -> Int32[np.ndarray, "n_bonds 2"]:
        return _bonds(self, order)

    def translations(self) -> Int32[np.ndarray, "n_translations n_sites"]:
        return self._together(self.single.translations())

    def reciprocal(self) -> Float[np.ndarray, "n_axes dim"]:
        raise ConfigError("several copies of a lattice have no common unit cell, hence no reciprocal lattice")

    def point_group(self) -> Int32[np.ndarray, "n_elements n_sites"]:
        return self._together(self.single.point_group())

    def sublattice(self) -> Int8[np.ndarray, " n_sites"] | None:
        colour = self.single.sublattice()
        return None if colour is None else np.tile(colour, self.copies)

    def distances(self) -> Float[np.ndarray, "n_sites n_sites"]:
        """Infinite between copies."""
        apart = np.kron(np.eye(self.copies), np.ones_like(self.single.distances())) == 0
        return np.where(apart, np.inf, np.tile(self.single.distances(), (self.copies, self.copies)))

    def _together(self, permutations: np.ndarray) -> np.ndarray:
        n = self.single.n_sites
        return np.concatenate([permutations + k * n for k in range(self.copies)], axis=1).astype(np.int32)


@lru_cache(maxsize=16)
def _positions(lattice: Replicas) -> np.ndarray:
    single = lattice.single.positions()
    step = np.zeros(single.shape[1])
    step[0] = np.ptp(single[:, 0]) + 2
    return freeze(np.concatenate([single + k * step[None] for k in range(lattice.copies)]))


@lru_cache(maxsize=16)
def _bonds(lattice: Replicas, order: int) -> np.ndarray:
    single, n = lattice.single.bonds(order), lattice.single.n_sites
    return freeze(np.concatenate([single + k * n for k in range(lattice.copies)]).astype(np.int32))
