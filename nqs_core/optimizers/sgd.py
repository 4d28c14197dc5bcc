"""Stochastic gradient descent."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.operations import Effort
from nqs_core.jacobian import bytes_of
from nqs_core.optimizers.base import BACKWARD, Batch, Optimizer, gradient_effort, normalised_weights, report, unstable
from nqs_core.registry import component, context, param
from nqs_core.types import Coupling, Info, Params, Shapes


@component
class SGD(Optimizer):
    """θ ← θ - η F with the force F = Re⟨O*(E_loc - E)⟩, its norm clipped.

    F is half the gradient of the energy. Source: Robbins and Monro, Ann. Math. Stat. 22, 400 (1951).
    """

    learning_rate: Coupling = param(0.02, gt=0, le=10, title="Learning rate η", help="Step size.", unit="1/J")
    max_norm: Coupling = param(1.0, gt=0, le=1e6, title="Largest norm", help="The force is scaled down to this norm.")
    n_steps: Coupling = context(1.0)
    remedy: ClassVar[str] = "a smaller learning_rate or a smaller max_norm keeps the steps short"

    def doubts(self, flip_energy: float) -> list[str]:
        return unstable(float(self.learning_rate), flip_energy)

    def init(self, params: Params) -> None:
        return None

    def update(self, key: PRNGKeyArray, batch: Batch, state: None) -> tuple[Params, None, Info]:
        gradient = batch.psi.force(batch.sigma, normalised_weights(batch), batch.e_loc)
        norm = optax.tree.norm(gradient)
        scale = self.learning_rate * jnp.minimum(1.0, self.max_norm / jnp.maximum(norm, 1e-30))
        new = jax.tree.map(lambda p, g: p - (scale * g).astype(p.dtype), batch.psi.params, gradient)
        return new, state, report(learning_rate=self.learning_rate, update_norm=scale * norm)

    def workspace(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> int:
        return 2 * bytes_of(params)

    def effort(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> Effort:
        return gradient_effort(ansatz, n_samples)

    def describe(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> str:
        return BACKWARD
