"""Stochastic gradient descent."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.operations import Effort
from nqs_core.config import Spec
from nqs_core.jacobian import bytes_of
from nqs_core.optimizers.base import BACKWARD, Batch, Optimizer, gradient_effort, unstable
from nqs_core.optimizers.moves import Track, first, move, tangent, usable
from nqs_core.registry import component, context, param
from nqs_core.schedules import SCHEDULES, Schedule
from nqs_core.types import Coupling, Info, Params, Shapes

START = Spec(name="cosine", params={"start": 0.5, "end": 0.05, "scaled": True})


class Rolling(NamedTuple):
    """The velocity m."""

    track: Track
    velocity: Params


@component
class SGD(Optimizer):
    """θ ← θ - η m, m ← β m + F with the force F = Re⟨O*(E_loc - E)⟩.

    F is half the gradient of the energy.
    Source: Robbins and Monro, Ann. Math. Stat. 22, 400 (1951); Polyak, USSR Comp. Math. 4, 1 (1964).
    """

    learning_rate: Schedule = param(
        START, family=SCHEDULES, gt=0, le=10, title="Learning rate η", help="Step size.", unit="1/J"
    )
    momentum: Coupling = param(0.0, ge=0, lt=1, title="Momentum β", help="Memory of earlier forces.")
    max_fs_step: Coupling = param(
        0.3, gt=0, le=100, title="Largest Fubini-Study step", help="Bound on the distance between successive states."
    )
    n_steps: Coupling = context(1.0)
    flip_energy: Coupling = context(1.0)

    def doubts(self, flip_energy: float) -> list[str]:
        return unstable(self.learning_rate, flip_energy)

    def init(self, params: Params) -> Rolling:
        return Rolling(first(), jax.tree.map(jnp.zeros_like, params))

    def update(self, key: PRNGKeyArray, batch: Batch, state: Rolling) -> tuple[Params, Rolling, Info]:
        sampled = usable(batch)
        force = sampled.psi.force(sampled.sigma, sampled.weights, sampled.e_loc)
        velocity = jax.tree.map(lambda m, f: (self.momentum * m + f).astype(m.dtype), state.velocity, force)
        rate = self.learning_rate.at(state.track.n_updates)
        change = tangent(sampled, velocity)
        params, track, info = move(sampled, state.track, velocity, change, rate, self.max_fs_step)
        return params, Rolling(track, velocity), info

    def workspace(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> int:
        return 3 * bytes_of(params)

    def effort(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> Effort:
        return gradient_effort(ansatz, n_samples, tangent=1)

    def describe(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> str:
        return BACKWARD
