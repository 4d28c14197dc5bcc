"""Adam."""

from typing import Any

import jax
import optax
from jaxtyping import PRNGKeyArray

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.operations import Effort
from nqs_core.jacobian import bytes_of
from nqs_core.optimizers.base import BACKWARD, Batch, Optimizer, gradient_effort, normalised_weights, report
from nqs_core.registry import component, context, param
from nqs_core.types import Coupling, Info, Params, Shapes

MAX_STEP = 0.1  # networks begin with parameters of this size


@component
class Adam(Optimizer):
    """θ ← θ - η m̂ / (√v̂ + ε) with running means m of the force F = Re⟨O*(E_loc - E)⟩ and v of |F|².

    Every component moves by about η at most. Source: Kingma and Ba, arXiv:1412.6980 (2014).
    """

    learning_rate: Coupling = param(0.005, gt=0, le=10, title="Learning rate η", help="Step size of each parameter.")
    beta1: Coupling = param(0.9, ge=0, lt=1, title="β₁", help="Memory of the running mean of the force.")
    beta2: Coupling = param(0.999, ge=0, lt=1, title="β₂", help="Memory of the running mean of its square.")
    n_steps: Coupling = context(1.0)

    def doubts(self, flip_energy: float) -> list[str]:
        if self.learning_rate <= MAX_STEP:
            return []
        return [
            f"learning_rate = {float(self.learning_rate):g} moves every parameter by that much in every step, whatever "
            f"the system, which is as much as the parameters themselves. Up to {MAX_STEP:g} is safe."
        ]

    def init(self, params: Params) -> Any:
        return self._rule().init(params)

    def update(self, key: PRNGKeyArray, batch: Batch, state: Any) -> tuple[Params, Any, Info]:
        params = batch.psi.params
        gradient = batch.psi.force(batch.sigma, normalised_weights(batch), batch.e_loc)
        direction, state = self._rule().update(gradient, state)
        updates = jax.tree.map(lambda p, d: (-self.learning_rate * d).astype(p.dtype), params, direction)
        info = report(learning_rate=self.learning_rate, update_norm=optax.tree.norm(updates))
        return optax.apply_updates(params, updates), state, info

    def workspace(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> int:
        return 4 * bytes_of(params)

    def effort(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> Effort:
        return gradient_effort(ansatz, n_samples)

    def describe(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> str:
        return BACKWARD

    def _rule(self) -> optax.GradientTransformation:
        return optax.scale_by_adam(b1=self.beta1, b2=self.beta2)  # pyright: ignore[reportArgumentType]
