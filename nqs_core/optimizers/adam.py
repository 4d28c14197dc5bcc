"""Adam."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.operations import Effort
from nqs_core.config import Spec
from nqs_core.jacobian import bytes_of
from nqs_core.optimizers.base import BACKWARD, Batch, Optimizer, far, gradient_effort
from nqs_core.optimizers.moves import TINY, Sampled, Track, first, is_normalised, move, tangent, usable
from nqs_core.registry import component, context, param
from nqs_core.schedules import SCHEDULES, Schedule
from nqs_core.types import Coupling, Info, Params, Shapes

START = Spec(name="one_cycle", params={"peak": 0.01})
Normalise = Literal["auto", "on", "off"]
NORMALISE = "Divides the local energies by their spread; auto does so where the network is autoregressive."


class Moments(NamedTuple):
    """The running means, as optax keeps them."""

    track: Track
    moments: Any


@component
class Adam(Optimizer):
    """θ ← θ - η m̂ / (√v̂ + ε) with running means m of the force F = Re⟨O*(E_loc - E)⟩ and v of |F|².

    Every component moves by about η at most. Where the local energies are normalised F is divided by their standard
    deviation, so that v does not remember the large forces of the start.
    Source: Kingma and Ba, arXiv:1412.6980 (2014).
    """

    learning_rate: Schedule = param(
        START, family=SCHEDULES, gt=0, le=10, title="Learning rate η", help="Step size of each parameter."
    )
    beta1: Coupling = param(0.9, ge=0, lt=1, title="β₁", help="Memory of the running mean of the force.")
    beta2: Coupling = param(0.999, ge=0, lt=1, title="β₂", help="Memory of the running mean of its square.")
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
        direction, moments = scale_by_adam(self.beta1, self.beta2).update(force, state.moments)
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


def scale_by_adam(beta1: Coupling, beta2: Coupling) -> optax.GradientTransformation:
    """m̂ / (√v̂ + ε) of whatever is put in."""
    return optax.scale_by_adam(b1=beta1, b2=beta2)  # pyright: ignore[reportArgumentType]


def advantage_force(sampled: Sampled, normalise: str) -> tuple[Params, Float[Array, ""]]:
    """The force, of local energies that are divided by their spread where asked; and what they are divided by."""
    wanted = normalise == "on" or (normalise == "auto" and is_normalised(sampled.psi))
    scale = jnp.maximum(sampled.spread, TINY) if wanted else jnp.asarray(1.0, jnp.float64)
    force = sampled.psi.force(sampled.sigma, sampled.weights, sampled.e_loc / scale)
    return jax.tree.map(lambda p, f: f.astype(p.dtype), sampled.psi.params, force), scale
