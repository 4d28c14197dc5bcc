"""Adam with decoupled weight decay."""

import jax
from jaxtyping import PRNGKeyArray

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.operations import Effort
from nqs_core.jacobian import bytes_of
from nqs_core.optimizers.adam import NORMALISE, START, Moments, Normalise, advantage_force, scale_by_adam
from nqs_core.optimizers.base import BACKWARD, Batch, Optimizer, far, gradient_effort
from nqs_core.optimizers.moves import first, move, tangent, usable
from nqs_core.registry import component, context, param
from nqs_core.schedules import SCHEDULES, Schedule
from nqs_core.types import Coupling, Info, Params, Shapes


@component
class AdamW(Optimizer):
    """θ ← θ - η (m̂ / (√v̂ + ε) + ω θ): Adam, and parameters that shrink by η ω in every step.

    The decay pulls ψ towards the state of vanishing parameters, away from the minimum of the energy.
    Source: Loshchilov and Hutter, arXiv:1711.05101 (2017).
    """

    learning_rate: Schedule = param(
        START, family=SCHEDULES, gt=0, le=10, title="Learning rate η", help="Step size of each parameter."
    )
    beta1: Coupling = param(0.9, ge=0, lt=1, title="β₁", help="Memory of the running mean of the force.")
    beta2: Coupling = param(0.999, ge=0, lt=1, title="β₂", help="Memory of the running mean of its square.")
    weight_decay: Coupling = param(1e-4, ge=0, le=1, title="Weight decay ω", help="How fast parameters shrink.")
    normalise: Normalise = param("auto", title="Normalise", help=NORMALISE)
    max_fs_step: Coupling = param(
        0.3, gt=0, le=100, title="Largest Fubini-Study step", help="Bound on the distance between successive states."
    )
    n_steps: Coupling = context(1.0)
    flip_energy: Coupling = context(1.0)

    def doubts(self, flip_energy: float) -> list[str]:
        return far(self.learning_rate)

    def init(self, params: Params) -> Moments:
        return Moments(first(), scale_by_adam(self.beta1, self.beta2).init(params))

    def update(self, key: PRNGKeyArray, batch: Batch, state: Moments) -> tuple[Params, Moments, Info]:
        sampled = usable(batch)
        force, scale = advantage_force(sampled, self.normalise)
        adaptive, moments = scale_by_adam(self.beta1, self.beta2).update(force, state.moments)
        direction = jax.tree.map(lambda d, p: d + (self.weight_decay * p).astype(p.dtype), adaptive, sampled.psi.params)
        rate = self.learning_rate.at(state.track.n_updates)
        change = tangent(sampled, direction)
        told = {"advantage_scale": scale}
        params, track, info = move(sampled, state.track, direction, change, rate, self.max_fs_step, **told)
        return params, Moments(track, moments), info

    def workspace(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> int:
        return 5 * bytes_of(params)

    def effort(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> Effort:
        return gradient_effort(ansatz, n_samples, tangent=1)

    def describe(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> str:
        return BACKWARD
