"""The contract of an observable."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Inexact, Num

from nqs_core.errors import TooLargeError
from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.lattices.base import Lattice
from nqs_core.operators import Terms
from nqs_core.types import Sigma

Quantities = dict[str, Float[Array, "..."]]
Numbers = dict[str, Num[np.ndarray, "..."]]


class Draw(NamedTuple):
    """A configuration with its log ψ."""

    sigma: Sigma
    log_psi: Inexact[Array, ""]


class Observable:
    """Expectation values as means over samples; `@component`. Each defines those of the methods that it needs.

    All but `unavailable` and `axes` give named quantities, scalars or arrays; the names are those of the stream and of
    the result. Context: lattice, hamiltonian (traced), sector.

    default_sites: on larger lattices it is measured only where it is asked for by name.
    max_sites: on larger ones it is refused.
    """

    lattice: Lattice
    default_sites: ClassVar[int] = 4096
    max_sites: ClassVar[int] = 10_000_000

    @classmethod
    def unavailable(cls, lattice: Lattice, hamiltonian: Hamiltonian) -> str:
        """Why it does not exist here, as the end of a sentence; empty where it does."""
        return ""

    def diagonal(self, sigma: Sigma) -> Quantities:
        """Functions of one configuration; ⟨O⟩ is their mean over |ψ|²."""
        return {}

    def pairs(self, correlations: Float[Array, "n_sites n_sites"]) -> Quantities:
        """Linear functions of the matrix ⟨σᶻᵢ σᶻⱼ⟩, which all observables share."""
        return {}

    def terms(self) -> dict[str, tuple[Terms, ...]]:
        """Operators with off-diagonal elements, as Pauli strings; measured through ratios of amplitudes."""
        return {}

    def resolved(self) -> dict[str, tuple[Terms, ...]]:
        """Arrays of operators: entry k is the sum of the k-th strings of all terms, which are of equal length."""
        return {}

    def replicas(self, first: Draw, second: Draw, log_psi: Callable[[Sigma], Inexact[Array, ""]]) -> Quantities:
        """Functions of two independent configurations, for two copies of the system."""
        return {}

    def derived(self, means: Numbers, errors: Numbers) -> Numbers:
        """Functions of the means of scalars and vectors; NaN where there is none. Leading axes are kept.

        Their errors come from a jackknife; `errors` are those of the means.
        """
        return {}

    def axes(self) -> Numbers:
        """Coordinates of the quantities that are arrays, by name: distances (n,), vectors (n, dim), pairs (n, 2)."""
        return {}


def require_sites(cls: type[Observable], name: str, lattice: Lattice, bytes_per_pair: float = 0.0) -> None:
    """Raises:
    TooLargeError: more sites than the observable can be measured on.
    """
    n = lattice.n_sites
    if n > cls.max_sites:
        takes = f": {n * n * bytes_per_pair / 1e9:.3g} GB" if bytes_per_pair else ""
        raise TooLargeError(
            f"observable {name!r} on {n} sites is too large{takes}; the limit is {cls.max_sites} sites; "
            "name other observables"
        )
