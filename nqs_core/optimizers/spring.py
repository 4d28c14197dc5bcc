"""Stochastic reconfiguration with the memory of Kaczmarz's projections."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.operations import Effort
from nqs_core.config import Spec
from nqs_core.jacobian import bytes_of, describe, kernel_bytes
from nqs_core.optimizers.base import Batch, Optimizer, unstable
from nqs_core.optimizers.minsr import SHIFT
from nqs_core.optimizers.moves import Track, cotangent, first, move, tangent, usable
from nqs_core.optimizers.sample_space import solve, solve_effort
from nqs_core.optimizers.solve import Diagnosis, unknown
from nqs_core.registry import component, context, param
from nqs_core.schedules import SCHEDULES, Schedule
from nqs_core.types import Coupling, Info, Params, Shapes

RATE = Spec(name="cosine", params={"start": 0.6, "end": 0.03, "scaled": True})


class Remembered(NamedTuple):
    """The last direction φ, not multiplied by the rate, and the last look at the spectrum."""

    track: Track
    diagnosis: Diagnosis
    direction: Params


@component
class Spring(Optimizer):
    """θ ← θ - η φ, φ ← argmin |Ō φ' - ε̄|² + λ |φ' - μ φ|²: minSR whose unsampled directions decay slowly.

    Solved as Ōᵀ (Ō Ōᵀ + λ)⁻¹ (ε̄ - μ Ō φ) + μ φ, Ō and ε̄ as in minsr; μ = 0 is minsr.
    Source: Goldshlager, Abrahamsen and Lin, J. Comput. Phys. 516, 113351 (2024), arXiv:2401.10190.
    """

    learning_rate: Schedule = param(
        RATE, family=SCHEDULES, gt=0, le=10, title="Learning rate η", help="Imaginary-time step.", unit="1/J"
    )
    diag_shift: Schedule = param(
        SHIFT, family=SCHEDULES, ge=1e-12, le=10, title="Diagonal shift λ", help="Regularises the metric S."
    )
    momentum: Coupling = param(0.9, ge=0, le=0.99, title="Momentum μ", help="What is kept of the last direction.")
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

    def init(self, params: Params) -> Remembered:
        return Remembered(first(), unknown(), jax.tree.map(jnp.zeros_like, params))

    def update(self, key: PRNGKeyArray, batch: Batch, state: Remembered) -> tuple[Params, Remembered, Info]:
        sampled, n = usable(batch), state.track.n_updates
        shift = self.diag_shift.at(n)
        right = sampled.residual - self.momentum * tangent(sampled, state.direction)
        found = solve(sampled, right, shift, state.diagnosis, n, self.spectrum_every)
        direction = jax.tree.map(
            lambda new, old: (new + self.momentum * old).astype(old.dtype), cotangent(sampled, found.x), state.direction
        )
        change = sampled.residual - shift * found.x
        rate = self.learning_rate.at(n)
        params, track, info = move(sampled, state.track, direction, change, rate, self.max_fs_step, **found.told)
        return params, Remembered(track, found.diagnosis, direction), info

    def workspace(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> int:
        return 3 * bytes_of(params) + kernel_bytes(ansatz, params, n_samples)

    def effort(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> Effort:
        return solve_effort(ansatz, params, n_samples, tangent=1)

    def describe(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> str:
        return describe(ansatz, params, n_samples)
