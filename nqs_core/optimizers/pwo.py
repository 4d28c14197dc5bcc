"""Proximal wavefunction optimization."""

from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.operations import Effort
from nqs_core.config import Spec
from nqs_core.jacobian import bytes_of
from nqs_core.optimizers.adam import Moments, scale_by_adam
from nqs_core.optimizers.base import Batch, Optimizer, far, gradient_effort
from nqs_core.optimizers.moves import TINY, Sampled, first, usable
from nqs_core.optimizers.ratios import Compared, Loss, change_of_energy, distance, epochs
from nqs_core.registry import component, context, param
from nqs_core.schedules import SCHEDULES, Schedule
from nqs_core.types import Coupling, Info, Params, Shapes

START = Spec(name="one_cycle", params={"peak": 0.005})


@component
class PWO(Optimizer):
    """Adam on ⟨max(r A, clip(r) A)⟩ + ⟨max(2α B, clip(2α) B)⟩, several steps on one batch; A + iB = (E_loc - E) / σ.

    r = |ψ/ψ_old|², clipped to [1 - ε, 1 + ε], and the phase α between the two states, |α| clipped to δ: samples that
    have moved far enough pull no more, those that moved the wrong way pull still. At the first step the gradient is
    that of the energy, divided by σ. Mode "joint" divides both parts by one σ, mode "paper" each by its own, which
    enlarges phases that have hardly any signal. Where ψ is not normalised r is divided by its mean over the samples.
    Source: Duque et al., arXiv:2607.02292 (2026), whose δ bounds 2α.
    """

    learning_rate: Schedule = param(
        START,
        family=SCHEDULES,
        gt=0,
        le=10,
        title="Learning rate η",
        help="Step size of each parameter and inner step.",
    )
    mode: Literal["joint", "paper"] = param(
        "joint", title="Mode", help="Joint: real and imaginary local energies are divided by one spread; paper: by two."
    )
    epochs: int = param(4, ge=1, le=64, title="Inner steps", help="Steps on the samples of one batch.")
    clip: Coupling = param(0.05, gt=0, le=10, title="Clip ε", help="How far r pulls from 1.")
    phase_clip: Coupling = param(0.15, gt=0, le=4, title="Phase clip δ", help="Bound on |α| up to which it pulls.")
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
    lowest: Coupling = context(0.0)
    highest: Coupling = context(0.0)
    remedy: ClassVar[str] = "a smaller learning_rate, fewer epochs or a smaller max_infidelity keeps the steps short"

    def doubts(self, flip_energy: float) -> list[str]:
        return far(self.learning_rate)

    def init(self, params: Params) -> Moments:
        return Moments(first(), scale_by_adam(self.beta1, self.beta2).init(params))

    def update(self, key: PRNGKeyArray, batch: Batch, state: Moments) -> tuple[Params, Moments, Info]:
        sampled = usable(batch)
        real, imaginary = self.advantages(sampled)

        def told(moved: Compared) -> dict[str, Array]:
            return self._told(sampled, moved, real, imaginary)

        params, track, moments, info = epochs(
            sampled, state.track, state.moments, scale_by_adam(self.beta1, self.beta2), self.learning_rate,
            self.loss(sampled), self.epochs, self.max_infidelity, self.min_ess, "pwo", told,
        )  # fmt: skip
        return params, Moments(track, moments), info

    def advantages(self, sampled: Sampled) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """A and B."""
        real, imaginary = sampled.e_loc.real, sampled.e_loc.imag
        if not sampled.psi.signed:
            imaginary = jnp.zeros_like(real)
        spreads = [jnp.sqrt(jnp.sum(sampled.weights * x**2)) for x in (real, imaginary)]
        if self.mode == "joint":
            spreads = [jnp.hypot(*spreads)] * 2
        return real / jnp.maximum(spreads[0], TINY), imaginary / jnp.maximum(spreads[1], TINY)

    def loss(self, sampled: Sampled) -> Loss:
        """What the inner steps minimise."""
        real, imaginary = self.advantages(sampled)

        def of(moved: Compared) -> Float[Array, ""]:
            r, turn = jnp.exp(2 * moved.half_log), 2 * moved.phase
            near = jnp.clip(r, 1 - self.clip, 1 + self.clip)
            modulus = jnp.maximum(r * real, near * real)
            near = jnp.clip(turn, -2 * self.phase_clip, 2 * self.phase_clip)
            # The weight of a sample in the new state, as far as the phases are concerned.
            phase = jax.lax.stop_gradient(r) * jnp.maximum(turn * imaginary, near * imaginary)
            return jnp.sum(sampled.weights * (modulus + phase))

        return of

    def _told(self, sampled: Sampled, moved: Compared, real: Array, imaginary: Array) -> dict[str, Array]:
        w, r, alpha = sampled.weights, jnp.exp(2 * moved.half_log), moved.phase
        outside, turned = jnp.abs(r - 1) > self.clip, jnp.abs(alpha) > self.phase_clip
        rest = jnp.maximum(self.highest - sampled.energy, sampled.energy - self.lowest)
        infidelity = distance(sampled, moved)["infidelity"]
        return {
            "ratio_mean": jnp.sum(w * r),
            "ratio_min": jnp.min(r),
            "ratio_max": jnp.max(r),
            "clip_fraction": jnp.sum(w * outside),
            "active_fraction": jnp.sum(w * (~outside | ((r - 1) * real > 0))),
            "phase_clip_fraction": jnp.sum(w * turned),
            "phase_rms": jnp.sqrt(jnp.sum(w * alpha**2)),
            "loss": self.loss(sampled)(moved),
            "certificate": change_of_energy(sampled, moved) + 2 * rest * (1 - jnp.sqrt(1 - infidelity)),
            "log_ratios": jnp.sort(2 * moved.half_log)[:: max(1, len(r) // 256)],
        }

    def workspace(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> int:
        return 8 * bytes_of(params)

    def effort(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> Effort:
        return gradient_effort(ansatz, n_samples, backward=self.epochs, forward=1, tangent=1)

    def describe(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> str:
        return f"{self.epochs} backward passes of every sample, each with a forward pass at the parameters before it"
