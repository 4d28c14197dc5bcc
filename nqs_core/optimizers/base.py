"""The contract of an update rule."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Array, Float, Inexact, Int8, PRNGKeyArray

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.memory import backward_at_once
from nqs_core.ansatze.operations import Effort
from nqs_core.schedules import Schedule
from nqs_core.types import Coupling, Info, Params, Shapes
from nqs_core.wavefunction import Psi

OptState = Any

BACKWARD = "the force by one backward pass of every sample"


class Batch(NamedTuple):
    """What one step measured of ψ, flat over chains and draws. Mean weight 1."""

    psi: Psi
    sigma: Int8[Array, "n_samples n_sites"]
    log_psi: Inexact[Array, " n_samples"]
    log_weight: Float[Array, " n_samples"]
    e_loc: Inexact[Array, " n_samples"]


class Optimizer(ABC):
    """Turns a batch into new parameters; `@component`.

    `build` fills n_steps for schedules, flip_energy (what turning one spin costs at most), and the bounds lowest and
    highest of every energy where a rule declares them; all are traced.
    """

    learning_rate: Schedule
    n_steps: Coupling
    remedy: ClassVar[str] = "a smaller learning_rate or a smaller max_fs_step keeps the steps short"

    def doubts(self, flip_energy: float) -> list[str]:
        """Why its parameters are probably not meant for a system in which turning one spin costs `flip_energy`."""
        return []

    @abstractmethod
    def init(self, params: Params) -> OptState:
        """The state before the first update."""

    @abstractmethod
    def update(self, key: PRNGKeyArray, batch: Batch, state: OptState) -> tuple[Params, OptState, Info]:
        """The parameters after this step; those before it are `batch.psi.params`."""

    @abstractmethod
    def workspace(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> int:
        """Bytes that an update needs beyond parameters and samples; `params` may be shapes."""

    @abstractmethod
    def effort(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> Effort:
        """What an update asks for; `params` may be shapes."""

    @abstractmethod
    def describe(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> str:
        """How the update gets its derivatives, in words; `params` may be shapes."""


def largest(schedule: Schedule) -> float:
    """The largest value of a schedule whose values are concrete."""
    return float(schedule.curve(65).max())


def unstable(schedule: Schedule, flip_energy: float) -> list[str]:
    """Of θ ← θ - η S⁻¹ F or θ - η F: a mode of energy ω gets the factor 1 - η ω, which grows where η ω > 2."""
    learning_rate = largest(schedule)
    if learning_rate * flip_energy <= 2:
        return []
    return [
        f"learning_rate = {learning_rate:g} is large for this system: turning a spin takes up to {flip_energy:.3g}, "
        f"and steps overshoot where the rate times that exceeds 2 (here {learning_rate * flip_energy:.3g}). Up to "
        f"{2 / flip_energy:.2g} is safe."
    ]


MAX_STEP = 0.1  # networks begin with parameters of this size


def far(schedule: Schedule) -> list[str]:
    """Of rules that move every parameter by about the rate."""
    learning_rate = largest(schedule)
    if learning_rate <= MAX_STEP:
        return []
    return [
        f"learning_rate = {learning_rate:g} moves every parameter by that much in every step, whatever "
        f"the system, which is as much as the parameters themselves. Up to {MAX_STEP:g} is safe."
    ]


def gradient_effort(ansatz: Ansatz, n_samples: int, backward: int = 1, forward: int = 0, tangent: int = 0) -> Effort:
    """Of so many backward passes (each with its forward pass), forward passes and products with a tangent."""
    passes = 3 * backward + forward + 2 * tangent
    return Effort(
        forwards=passes * n_samples, rounds=passes * math.ceil(n_samples / backward_at_once(ansatz, n_samples))
    )
