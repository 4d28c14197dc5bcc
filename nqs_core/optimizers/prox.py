"""A proximal step with the quantum geometry, without a matrix."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.operations import Effort
from nqs_core.config import Spec
from nqs_core.jacobian import bytes_of
from nqs_core.optimizers.adam import Moments, scale_by_adam
from nqs_core.optimizers.base import Batch, Optimizer, far, gradient_effort
from nqs_core.optimizers.moves import TINY, Sampled, first, rows, usable
from nqs_core.optimizers.ratios import Compared, Loss, epochs
from nqs_core.registry import component, context, param
from nqs_core.schedules import SCHEDULES, Schedule
from nqs_core.types import Coupling, Info, Params, Shapes

START = Spec(name="one_cycle", params={"peak": 0.01})
TIME = Spec(name="constant", params={"value": 1.5, "scaled": True})


@component
class Prox(Optimizer):
    """Adam on ⟨|log ψ/ψ_old + τ (E_loc - E)|²⟩ / τ without the mean of the logarithm, several steps on one batch.

    A regression of the change of log ψ on a step τ of imaginary time: the gradient at ψ_old is that of the energy, the
    Hessian for small τ is 2S/τ, and one Gauss-Newton step is that of stochastic reconfiguration. τ is shortened so that
    the root mean square of τ |E_loc - E| is at most `max_change`.
    Source: Spinscope's own; it takes the clips of pwo (Duque et al., arXiv:2607.02292, 2026) for a quadratic penalty.
    """

    learning_rate: Schedule = param(
        START,
        family=SCHEDULES,
        gt=0,
        le=10,
        title="Learning rate η",
        help="Step size of each parameter and inner step.",
    )
    time: Schedule = param(
        TIME, family=SCHEDULES, gt=0, le=100, title="Imaginary time τ", help="Step that is regressed on.", unit="1/J"
    )
    max_change: Coupling = param(
        0.3, gt=0, le=10, title="Largest change", help="Bound on the root mean square of τ |E_loc - E|."
    )
    epochs: int = param(8, ge=1, le=64, title="Inner steps", help="Steps on the samples of one batch.")
    beta1: Coupling = param(0.9, ge=0, lt=1, title="β₁", help="Memory of the running mean of the gradient.")
    beta2: Coupling = param(0.999, ge=0, lt=1, title="β₂", help="Memory of the running mean of its square.")
    max_infidelity: Coupling = param(
        0.1, gt=0, le=1, title="Largest infidelity", help="Inner steps end beyond it, the last one shortened to it."
    )
    min_ess: Coupling = param(
        0.5, ge=0, lt=1, title="Least effective part", help="Inner steps end where fewer of the samples count."
    )
    n_steps: Coupling = context(1.0)
    flip_energy: Coupling = context(1.0)
    remedy: ClassVar[str] = "a smaller learning_rate, a smaller max_change or fewer epochs keeps the steps short"

    def doubts(self, flip_energy: float) -> list[str]:
        return far(self.learning_rate)

    def init(self, params: Params) -> Moments:
        return Moments(first(), scale_by_adam(self.beta1, self.beta2).init(params))

    def update(self, key: PRNGKeyArray, batch: Batch, state: Moments) -> tuple[Params, Moments, Info]:
        sampled = usable(batch)
        tau = jnp.minimum(self.time.at(state.track.n_updates), self.max_change / jnp.maximum(sampled.spread, TINY))

        def told(moved: Compared) -> dict[str, Array]:
            left = jnp.linalg.norm(misfit(sampled, moved, tau))
            start = jnp.maximum(jnp.linalg.norm(tau * sampled.residual), TINY)
            return {"imaginary_time": tau, "unexplained": left / start}

        params, track, moments, info = epochs(
            sampled, state.track, state.moments, scale_by_adam(self.beta1, self.beta2), self.learning_rate,
            self.loss(sampled, tau), self.epochs, self.max_infidelity, self.min_ess, "prox", told,
        )  # fmt: skip
        return params, Moments(track, moments), info

    def loss(self, sampled: Sampled, tau: Coupling) -> Loss:
        """What the inner steps minimise."""

        def of(moved: Compared) -> Float[Array, ""]:
            return jnp.sum(misfit(sampled, moved, tau) ** 2) / tau

        return of

    def workspace(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> int:
        return 8 * bytes_of(params)

    def effort(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> Effort:
        return gradient_effort(ansatz, n_samples, backward=self.epochs, forward=1, tangent=1)

    def describe(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> str:
        return f"{self.epochs} backward passes of every sample, each with a forward pass at the parameters before it"


def misfit(sampled: Sampled, moved: Compared, tau: Coupling) -> Float[Array, " m"]:
    """√w (log ψ/ψ_old + τ (E_loc - E)), the logarithm without its mean; real parts above imaginary ones."""
    change = moved.half_log + 1j * moved.phase
    centred = change - jnp.sum(sampled.weights * change)
    return rows(sampled.psi, jnp.sqrt(sampled.weights) * centred) + tau * sampled.residual
