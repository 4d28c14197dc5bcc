"""The contract of an observable."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Array, Float

from nqs_core.lattices.base import Lattice
from nqs_core.operators import Terms
from nqs_core.types import Sigma


class Observable(ABC):
    """Expectation values as means of local values; `@component`.

    `diagonal` and `terms` may each give several named quantities; names are those of the stream and of the result.
    """

    lattice: Lattice

    @abstractmethod
    def diagonal(self, sigma: Sigma) -> dict[str, Float[Array, "..."]]:
        """Functions of one configuration, scalars or arrays; ⟨O⟩ is their mean over |ψ|²."""

    @abstractmethod
    def derived(self, means: dict[str, Float[np.ndarray, "..."]]) -> dict[str, Float[np.ndarray, "..."]]:
        """Functions of the means of scalar quantities, elementwise; their errors come from a jackknife over chains."""

    @abstractmethod
    def axes(self) -> dict[str, Float[np.ndarray, "n ..."]]:
        """Coordinates of the quantities that are arrays, by name: distances (n,) or vectors (n, dim)."""

    @abstractmethod
    def terms(self) -> dict[str, tuple[Terms, ...]]:
        """Operators with off-diagonal elements, as Pauli strings; measured through ratios of amplitudes."""
