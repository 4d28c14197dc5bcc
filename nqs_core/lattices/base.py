"""The contract of a lattice: NumPy only, so that importing and validating needs no device."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int8, Int32


class Lattice(ABC):
    """Sites and bonds. Hashable, hence a static argument under `jax.jit`.

    Sites are row-major with site 0 at the origin. Arrays are computed once and cached; callers must not write to them.

    `points`: labels of the Brillouin zone, in fractions of the reciprocal vectors.
    """

    points: ClassVar[Mapping[str, tuple[float, ...]]]

    @property
    @abstractmethod
    def n_sites(self) -> int:
        """Number of sites, from the extent alone (never allocates)."""

    @property
    @abstractmethod
    def extent(self) -> tuple[int, ...]:
        """Unit cells along each axis."""

    @property
    @abstractmethod
    def periodicity(self) -> tuple[bool, ...]:
        """One flag per axis."""

    @abstractmethod
    def positions(self) -> Float[np.ndarray, "n_sites dim"]:
        """Positions for drawing and for distances, in units of the nearest-neighbour distance."""

    @abstractmethod
    def bonds(self, order: int = 1) -> Int32[np.ndarray, "n_bonds 2"]:
        """Pairs i < j of the `order`-th shell of neighbours, each once, also where periodic images coincide."""

    @abstractmethod
    def translations(self) -> Int32[np.ndarray, "n_translations n_sites"]:
        """The translations along periodic axes as permutations, identity first: (t σ)[i] = σ[perm[i]]."""

    @abstractmethod
    def reciprocal(self) -> Float[np.ndarray, "n_axes dim"]:
        """Vectors b_a with a_a · b_b = 2π δ_ab, in units of 1 / (nearest-neighbour distance).

        Raises:
            ConfigError: the lattice has no unit cell.
        """

    @abstractmethod
    def point_group(self) -> Int32[np.ndarray, "n_elements n_sites"]:
        """The rotations and reflections about the best centre as permutations, identity first: (g σ)[i] = σ[perm[i]].

        On small lattices different elements may be the same permutation.
        """

    @abstractmethod
    def sublattice(self) -> Int8[np.ndarray, " n_sites"] | None:
        """0 or 1 for every site so that nearest neighbours differ; None where the lattice is not bipartite."""

    @abstractmethod
    def distances(self) -> Float[np.ndarray, "n_sites n_sites"]:
        """Shortest distances between sites over the periodic images."""
