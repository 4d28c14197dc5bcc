"""The contract of an update rule."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Int8, PRNGKeyArray

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.memory import backward_at_once
from nqs_core.ansatze.operations import Effort
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


def report(**scalars: Any) -> Info:
    """What an update that took place has to say: learning_rate, update_norm, ..."""
    return Info(jnp.asarray(True), {name: jnp.asarray(value) for name, value in scalars.items()}, {})


def normalised_weights(batch: Batch) -> Float[Array, " n_samples"]:
    """Weights that sum to 1, float64."""
    return jax.nn.softmax(batch.log_weight.astype(jnp.float64))


class Optimizer(ABC):
    """Turns a batch into new parameters; `@component`. `n_steps` is filled by `build` for schedules, and traced."""

    n_steps: Coupling
    remedy: ClassVar[str] = "a smaller learning_rate keeps the steps short"  # what to change after a divergence

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


def unstable(learning_rate: float, flip_energy: float) -> list[str]:
    """Of θ ← θ - η S⁻¹ F or θ - η F: a mode of energy ω gets the factor 1 - η ω, which grows where η ω > 2."""
    if learning_rate * flip_energy <= 2:
        return []
    return [
        f"learning_rate = {learning_rate:g} is large for this system: turning a spin takes up to {flip_energy:.3g}, "
        f"and steps overshoot where the rate times that exceeds 2 (here {learning_rate * flip_energy:.3g}). Up to "
        f"{2 / flip_energy:.2g} is safe."
    ]


def gradient_effort(ansatz: Ansatz, n_samples: int) -> Effort:
    """Of one forward and one backward pass of every sample."""
    return Effort(forwards=3 * n_samples, rounds=3 * math.ceil(n_samples / backward_at_once(ansatz, n_samples)))
