"""The contract of an observable, and the weighted sums that observables are made of."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact, Int8, Num

from nqs_core import estimators
from nqs_core.errors import TooLargeError
from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.lattices.base import Lattice
from nqs_core.operators import Terms, compile
from nqs_core.types import Sigma
from nqs_core.wavefunction import Psi

Weights = Inexact[Array, " n"]  # complex ones for the matrix elements between several states
HIDDEN = "_"  # how names of intermediate results begin

Quantities = dict[str, Num[Array, "..."]]
Numbers = dict[str, Num[np.ndarray, "..."]]


class Draw(NamedTuple):
    """Configurations of one copy of the system with their log ψ."""

    sigma: Int8[Array, "n n_sites"]
    log_psi: Inexact[Array, " n"]


class Observable(ABC):
    """Expectation values ⟨O⟩ = Σ w O(σ) / Σ w over samples σ; `@component`. Context: lattice, hamiltonian, sector.

    Every quantity has a name, that of the stream and of the result, and any shape; one whose name begins with "_" is
    an intermediate result, from which others are derived, and is not reported. Error bars come from outside: the
    samples are split into groups of chains, and what is reported is the ratio of sums over all groups.

    copies: how many independent configurations, of different chains, one value takes.
    default_sites: on larger lattices it is measured only where it is asked for by name.
    max_sites: on larger ones it is refused.
    """

    lattice: Lattice
    copies: ClassVar[int] = 1
    default_sites: ClassVar[int] = 4096
    max_sites: ClassVar[int] = 10_000_000

    @classmethod
    def unavailable(cls, lattice: Lattice, hamiltonian: Hamiltonian) -> str:
        """Why it does not exist here, as the end of a sentence; empty where it does."""
        return ""

    @abstractmethod
    def sums(self, psi: Psi, weights: Weights, *draws: Draw) -> Quantities:
        """Σ_s w_s O(σ_s) of every quantity, over n samples; of `copies` draws each weight is the product."""

    def derived(self, means: Numbers, errors: Numbers) -> Numbers:
        """Functions of the means; NaN where there is none. Their errors come from a jackknife over the groups.

        `errors` are those of the means of all samples.
        """
        return {}

    def axes(self) -> Numbers:
        """Coordinates of the quantities that are arrays, by name: distances (n,), vectors (n, dim), pairs (n, 2)."""
        return {}


def weighted(weights: Weights, values: Num[Array, "n ..."]) -> Num[Array, "..."]:
    """Σ_s w_s value_s in double precision."""
    return jnp.tensordot(weights, values.astype(jnp.promote_types(values.dtype, jnp.float64)), 1)


def of_function(weights: Weights, function: Callable[[Sigma], Quantities], draw: Draw) -> Quantities:
    """Σ_s w_s f(σ_s) of functions of one configuration."""
    return {name: weighted(weights, values) for name, values in jax.vmap(function)(draw.sigma).items()}


def of_terms(psi: Psi, weights: Weights, terms: tuple[Terms, ...], draw: Draw) -> Inexact[Array, ""]:
    """Σ_s w_s Re O_loc(σ_s) of an operator given as Pauli strings, through ratios of amplitudes."""
    operator = compile(terms, draw.sigma.shape[1])
    return weighted(weights, _of_weights(weights, estimators.local_values(psi, operator, draw.sigma)))


def of_rows(psi: Psi, weights: Weights, terms: tuple[Terms, ...], draw: Draw) -> Inexact[Array, " n_rows"]:
    """Of many operators at once: the k-th is the sum of the k-th strings of all terms, which are of equal length."""
    operator = compile(terms, draw.sigma.shape[1])
    return weighted(weights, _of_weights(weights, estimators.resolved_values(psi, operator, draw.sigma)))


def _of_weights(weights: Weights, values: Inexact[Array, "n ..."]) -> Inexact[Array, "n ..."]:
    """The real part, which alone has a mean other than 0, where the weights are real."""
    return values if jnp.iscomplexobj(weights) else values.real


def of_pairs(weights: Weights, draw: Draw) -> Inexact[Array, "n_sites n_sites"]:
    """Σ_s w_s σᶻᵢ σᶻⱼ of every pair of sites."""
    spins = draw.sigma.astype(jnp.float64)
    return jnp.matmul((weights[:, None] * spins).T, spins, precision="highest")


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
