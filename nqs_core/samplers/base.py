"""The contract of a sampler."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Array, Float, Inexact, Int8, PRNGKeyArray

from nqs_core.ansatze.base import Ansatz, Cost
from nqs_core.ansatze.operations import Effort
from nqs_core.lattices.base import Lattice
from nqs_core.sector import Sector
from nqs_core.types import Info
from nqs_core.wavefunction import Psi

SamplerState = Any


class Samples(NamedTuple):
    """Configurations with their log ψ and log weights; the mean weight is 1, so plain sampling has log_weight 0.

    Independent draws (exact sampling) have one draw per chain: n_chains = n_samples, n_draws = 1.
    """

    sigma: Int8[Array, "n_chains n_draws n_sites"]
    log_psi: Inexact[Array, "n_chains n_draws"]
    log_weight: Float[Array, "n_chains n_draws"]


class Sampler(ABC):
    """Draws σ ~ |ψ(σ)|²; `@component`. All state is in the returned pytree; caches live inside one `sample` call.

    `independent`: draws do not remember each other, so that there is no autocorrelation time and no R-hat.
    """

    independent: ClassVar[bool]
    remedy: ClassVar[str] = "more samples a step, or another sampler"  # what to change where batches are refused
    lattice: Lattice
    sector: Sector
    n_samples: int

    @abstractmethod
    def init(self, key: PRNGKeyArray, psi: Psi) -> SamplerState:
        """The state before any sampling."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray, psi: Psi, state: SamplerState) -> tuple[Samples, SamplerState, Info]:
        """n_samples configurations, the next state, and what to report."""

    def for_measurement(self) -> "Sampler":
        """The sampler of the final measurement, whose state is that of this one."""
        return self

    def refuses(self, ansatz: Ansatz) -> str:
        """Why this network cannot be sampled so, as a sentence; empty where it can."""
        return ""

    @abstractmethod
    def effort(self, cost: Cost) -> Effort:
        """What one call of `sample` asks of a network whose local updates have this cost."""
