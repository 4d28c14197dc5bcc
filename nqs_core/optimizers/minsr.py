"""Stochastic reconfiguration in the space of samples."""

from typing import NamedTuple

from jaxtyping import PRNGKeyArray

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.operations import Effort
from nqs_core.config import Spec
from nqs_core.jacobian import bytes_of, describe, kernel_bytes
from nqs_core.optimizers.base import Batch, Optimizer, unstable
from nqs_core.optimizers.moves import Track, cotangent, first, move, usable
from nqs_core.optimizers.sample_space import solve, solve_effort
from nqs_core.optimizers.solve import Diagnosis, unknown
from nqs_core.registry import component, context, param
from nqs_core.schedules import SCHEDULES, Schedule
from nqs_core.types import Coupling, Info, Params, Shapes

RATE = Spec(name="cosine", params={"start": 0.8, "end": 0.08, "scaled": True})
SHIFT = Spec(name="cosine", params={"start": 1e-2, "end": 1e-3})


class Solved(NamedTuple):
    """The last look at the spectrum."""

    track: Track
    diagnosis: Diagnosis


@component
class MinSR(Optimizer):
    """θ ← θ - η (S + λ)⁻¹ F, solved as Ōᵀ (Ō Ōᵀ + λ)⁻¹ ε̄ in the space of samples.

    Ō are the centred log-derivatives / √n (real parts above imaginary parts), ε̄ = (E_loc - E) / √n, S = ŌᵀŌ, F = Ōᵀε̄.
    The step is shortened where its Fubini-Study length η √(dᵀ S d) would exceed `max_fs_step`.
    Source: Chen and Heyl, Nat. Phys. 20, 1476 (2024), arXiv:2302.01941; Rende et al., Commun. Phys. 7, 260 (2024).
    """

    learning_rate: Schedule = param(
        RATE, family=SCHEDULES, gt=0, le=10, title="Learning rate η", help="Imaginary-time step.", unit="1/J"
    )
    diag_shift: Schedule = param(
        SHIFT, family=SCHEDULES, ge=1e-12, le=10, title="Diagonal shift λ", help="Regularises the metric S."
    )
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

    def init(self, params: Params) -> Solved:
        return Solved(first(), unknown())

    def update(self, key: PRNGKeyArray, batch: Batch, state: Solved) -> tuple[Params, Solved, Info]:
        sampled, n = usable(batch), state.track.n_updates
        shift = self.diag_shift.at(n)
        found = solve(sampled, sampled.residual, shift, state.diagnosis, n, self.spectrum_every)
        direction = cotangent(sampled, found.x)
        change = sampled.residual - shift * found.x
        rate = self.learning_rate.at(n)
        params, track, info = move(sampled, state.track, direction, change, rate, self.max_fs_step, **found.told)
        return params, Solved(track, found.diagnosis), info

    def workspace(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> int:
        return 2 * bytes_of(params) + kernel_bytes(ansatz, params, n_samples)

    def effort(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> Effort:
        return solve_effort(ansatz, params, n_samples)

    def describe(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> str:
        return describe(ansatz, params, n_samples)
