"""The complete graph."""

import functools
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int8, Int32

from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.crystal import check_bytes, freeze
from nqs_core.registry import component, param


@component
class AllToAll(Lattice):
    """All to all: every pair of sites is a bond of the first shell, at distance 1; drawn on a circle."""

    size: int = param(12, title="Size", help="Number of sites.", unit="sites", ge=2, le=4096)

    points: ClassVar = {"Γ": (0.0,)}

    @property
    def n_sites(self) -> int:
        return self.size

    @property
    def extent(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def periodicity(self) -> tuple[bool, ...]:
        return (False,)

    def positions(self) -> Float[np.ndarray, "n_sites dim"]:
        return _positions(self.size)

    def bonds(self, order: int = 1) -> Int32[np.ndarray, "n_bonds 2"]:
        """All pairs for order 1, none beyond."""
        if order < 1:
            raise ValueError(f"bonds of order {order}: the first shell has order 1")
        check_bytes(self, "bonds", 4.0 * self.size**2)
        return _pairs(self.size if order == 1 else 1)

    def translations(self) -> Int32[np.ndarray, "n_translations n_sites"]:
        return freeze(np.arange(self.size, dtype=np.int32)[None, :])

    def reciprocal(self) -> Float[np.ndarray, "n_axes dim"]:
        raise ConfigError("all_to_all has no unit cell, hence no reciprocal lattice")

    def point_group(self) -> Int32[np.ndarray, "n_elements n_sites"]:
        """The identity: permutations of all sites are no rotations."""
        return self.translations()

    def sublattice(self) -> Int8[np.ndarray, " n_sites"] | None:
        return freeze(np.array([0, 1], np.int8)) if self.size == 2 else None

    def distances(self) -> Float[np.ndarray, "n_sites n_sites"]:
        check_bytes(self, "distances", 8.0 * self.size**2)
        return _distances(self.size)


@functools.lru_cache(maxsize=16)
def _positions(size: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(size) / size
    return freeze(np.stack([np.cos(angle), np.sin(angle)], axis=-1) / (2 * np.sin(np.pi / size)))


@functools.lru_cache(maxsize=16)
def _pairs(size: int) -> np.ndarray:
    return freeze(np.stack(np.triu_indices(size, 1), axis=-1).astype(np.int32))


@functools.lru_cache(maxsize=16)
def _distances(size: int) -> np.ndarray:
    return freeze(1.0 - np.eye(size))
