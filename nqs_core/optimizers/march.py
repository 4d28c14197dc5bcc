"""Stochastic reconfiguration with momenta of first and second order."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.operations import Effort
from nqs_core.config import Spec
from nqs_core.jacobian import bytes_of, gradient_plan, kernel_bytes
from nqs_core.optimizers.base import Batch, Optimizer, unstable
from nqs_core.optimizers.minsr import SHIFT
from nqs_core.optimizers.moves import Track, cotangent, first, move, tangent, usable
from nqs_core.optimizers.sample_space import solve, solve_effort
from nqs_core.optimizers.solve import Diagnosis, unknown
from nqs_core.registry import component, context, param
from nqs_core.schedules import SCHEDULES, Schedule
from nqs_core.types import Coupling, Info, Params, Shapes

RATE = Spec(name="cosine", params={"start": 0.4, "end": 0.02, "scaled": True})
LEAST = 1e-12  # of v: parameters on which nothing depends do not move


class Adapted(NamedTuple):
    """The last step d and the second moment v of its changes."""

    track: Track
    diagnosis: Diagnosis
    step: Params
    moment: Params


@component
class March(Optimizer):
    """θ ← θ - d, d ← argmin |Ō d' - η ε̄|² / λ + |v^¼ (d' - μ d)|², v ← β v + (d' - d)²: minSR with Adam's two moments.

    Solved as D⁻¹ Uᵀ (U Uᵀ + λ)⁻¹ (η ε̄ - μ Ō d) + μ d with D = v^¼ and U = Ō D⁻¹; Ō and ε̄ as in minsr. The rate η is in
    the target, so that steps have no units and v fits every system.
    Source: Gu et al., arXiv:2507.02644 (2025).
    """

    learning_rate: Schedule = param(
        RATE, family=SCHEDULES, gt=0, le=10, title="Learning rate η", help="Imaginary-time step.", unit="1/J"
    )
    diag_shift: Schedule = param(
        SHIFT, family=SCHEDULES, ge=1e-12, le=10, title="Diagonal shift λ", help="Regularises the metric S."
    )
    momentum: Coupling = param(0.9, ge=0, le=0.99, title="Momentum μ", help="What is kept of the last step.")
    beta: Coupling = param(0.995, ge=0, lt=1, title="β", help="Memory of the second moment v.")
    max_fs_step: Coupling = param(
        0.1, gt=0, le=100, title="Largest Fubini-Study step", help="Bound on the distance between successive states."
    )
    spectrum_every: Coupling = param(
        50.0, ge=1, le=1e9, title="Spectrum every", help="Steps between looks at the spectrum of S.", unit="steps"
    )
    n_steps: Coupling = context(1.0)
    flip_energy: Coupling = context(1.0)

    def doubts(self, flip_energy: float) -> list[str]:
        return unstable(self.learning_rate, flip_energy)

    def init(self, params: Params) -> Adapted:
        ones = jax.tree.map(lambda p: jnp.ones_like(p.real), params)
        return Adapted(first(), unknown(), jax.tree.map(jnp.zeros_like, params), ones)

    def update(self, key: PRNGKeyArray, batch: Batch, state: Adapted) -> tuple[Params, Adapted, Info]:
        sampled, n = usable(batch), state.track.n_updates
        shift, rate = self.diag_shift.at(n), self.learning_rate.at(n)
        inverse = jax.tree.map(lambda v: jnp.maximum(v, LEAST) ** -0.25, state.moment)
        right = rate * sampled.residual - self.momentum * tangent(sampled, state.step)
        found = solve(sampled, right, shift, state.diagnosis, n, self.spectrum_every, inverse)
        step = jax.tree.map(
            lambda new, scale, old: (scale**2 * new + self.momentum * old).astype(old.dtype),
            *(cotangent(sampled, found.x), inverse, state.step),
        )
        moment = jax.tree.map(
            lambda v, new, old: (self.beta * v + jnp.abs(new - old) ** 2).astype(v.dtype),
            *(state.moment, step, state.step),
        )
        change = rate * sampled.residual - shift * found.x
        told = found.told | {"march/scale_max": jnp.max(jnp.stack([jnp.max(x) for x in jax.tree.leaves(inverse)]))}
        told |= {"march/imaginary_time": rate}
        params, track, info = move(sampled, state.track, step, change, 1.0, self.max_fs_step, **told)
        return params, Adapted(track, found.diagnosis, step, moment), info

    def workspace(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> int:
        return 6 * bytes_of(params) + kernel_bytes(ansatz, params, n_samples, scaled=True)

    def effort(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> Effort:
        return solve_effort(ansatz, params, n_samples, tangent=1, plain=False)

    def describe(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> str:
        n_passes = len(gradient_plan(ansatz, params, n_samples).gradients)
        return f"a kernel of per-sample gradients, each parameter with a scale of its own, in {n_passes} passes"
