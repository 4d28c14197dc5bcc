"""The wave function at fixed parameters: made once per step, taken by samplers, estimators, observables, optimizers."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from jaxtyping import Array, Float, Inexact, Int8

from nqs_core import derivatives, jacobian
from nqs_core.ansatze.base import Ansatz, LocalUpdates, Prepared
from nqs_core.ansatze.memory import activation_bytes, cache_bytes
from nqs_core.batching import over_samples
from nqs_core.sector import Sector
from nqs_core.types import Params


class Psi(NamedTuple):
    """ψ_θ: a network, its parameters θ, and in `prepared` what its local updates make of θ alone. A pytree.

    `bind` makes it. Methods take any number of configurations and evaluate them in blocks.
    """

    ansatz: Ansatz
    params: Params
    prepared: Prepared

    @property
    def updates(self) -> LocalUpdates:
        """What changes in log ψ when spins flip; its methods take `prepared`."""
        return self.ansatz.local_updates()

    @property
    def sector(self) -> Sector:
        """The subspace outside which ψ = 0."""
        return self.ansatz.sector

    @property
    def signed(self) -> bool:
        """Whether log ψ is complex."""
        return self.ansatz.signed

    def at(self, params: Params) -> "Psi":
        """The same network with other parameters."""
        return bind(self.ansatz, params)

    def log_psi(self, sigma: Int8[Array, "n n_sites"]) -> Inexact[Array, " n"]:
        """log ψ(σ) of every configuration."""
        return over_samples(partial(self.ansatz.log_psi, self.params), sigma, activation_bytes(self.ansatz))

    def map(
        self, function: Callable[..., Any], sigma: Int8[Array, "n n_sites"], *others: Any, bytes_each: int = 0
    ) -> Any:
        """function(updates, prepared, σ, *others) of every configuration.

        Args:
            function: of one configuration, without a batch axis.
            sigma: the configurations.
            others: pytrees whose first axis goes with that of `sigma`.
            bytes_each: what `function` holds for one configuration besides one cache of the local updates.
        """
        updates, prepared = self.updates, self.prepared

        def one(own: Any) -> Any:
            return function(updates, prepared, *own)

        return over_samples(one, (sigma, *others), cache_bytes(self.ansatz) + bytes_each)

    def log_derivative_sum(self, sigma: Int8[Array, "n n_sites"], coefficients: Inexact[Array, " n"]) -> Params:
        """Σ_s Re(c_s* O(σ_s)), O = ∂ log ψ / ∂θ, by one backward pass of every configuration; shaped like θ."""
        return jacobian.log_derivative_sum(self.ansatz, self.params, sigma, coefficients)

    def log_derivative_product(self, sigma: Int8[Array, "n n_sites"], direction: Params) -> Inexact[Array, " n"]:
        """O v, the derivative of log ψ of every configuration along a direction v that is shaped like θ."""
        return derivatives.log_derivative_product(self.ansatz, self.params, sigma, direction)

    def log_derivatives(self, sigma: Int8[Array, "n n_sites"]) -> Float[Array, "m n_params"]:
        """Re O, and below Im O where log ψ is complex, by the real parameters of `derivatives.as_vector`."""
        return derivatives.log_derivatives(self.ansatz, self.params, sigma)

    def pull_back(
        self, sigma: Int8[Array, "n n_sites"], slopes: Callable[[Any], tuple[Any, Any]]
    ) -> tuple[Params, Any]:
        """Σ_s Re(c_s* O(σ_s)) with c, and whatever else, from `slopes(log ψ)`: the gradient of a function of log ψ."""
        return derivatives.pull_back(self.ansatz, self.params, sigma, slopes)

    def tangent_kernel(self, sigma: Int8[Array, "n n_sites"], scale: Params | None = None) -> Float[Array, "m m"]:
        """T = O D² Oᵀ, not centred; rows are Re O, and below them Im O where log ψ is complex (m = 2n).

        D = `scale`, a number for every parameter, costs per-sample gradients; without it D = 1.
        """
        return jacobian.neural_tangent_kernel(self.ansatz, self.params, sigma, scale=scale)

    def force(
        self, sigma: Int8[Array, "n n_sites"], weights: Float[Array, " n"], e_loc: Inexact[Array, " n"]
    ) -> Params:
        """F = Re⟨O* (E_loc - E)⟩, half the gradient of the energy; `weights` sum to 1."""
        return jacobian.force(self.ansatz, self.params, sigma, weights, e_loc)


def bind(ansatz: Ansatz, params: Params) -> Psi:
    """ψ_θ of a network at these parameters; what depends on them alone is computed here and nowhere else."""
    return Psi(ansatz, params, ansatz.local_updates().prepare(params))
