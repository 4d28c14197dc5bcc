"""What every algorithm of the classical Ising model offers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nqs_core.classical.model import Ising, Spins
from nqs_core.classical.order import check_order

# A local update leaves a site (or bond) out of a sweep with probability 1 - ASK. If all were asked, states in which
# every flip is free (diagonal stripes two sites wide on a checkerboard, all states in great heat) would turn over for
# ever and never mix with the others.
ASK = 15 / 16


class Counts(NamedTuple):
    """What one or several sweeps did."""

    proposed: int = 0  # flips, exchanges or clusters asked for
    accepted: int = 0
    clusters: int = 0
    cluster_spins: int = 0  # in all these clusters together

    def plus(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def acceptance(self) -> float:
        """Accepted fraction; NaN where nothing could be proposed."""
        return self.accepted / self.proposed if self.proposed else float("nan")

    @property
    def cluster_size(self) -> float:
        """Mean number of spins of a cluster; NaN for algorithms without clusters."""
        return self.cluster_spins / self.clusters if self.clusters else float("nan")


class Algorithm(ABC):
    """A Markov chain that leaves exp(-H / T) as it is; frozen, all state is `sigma` and the generator."""

    @abstractmethod
    def sweep(self, model: Ising, sigma: Spins, rng: np.random.Generator) -> tuple[Spins, Counts]:
        """About as many updates as there are sites; returns a new configuration."""

    @abstractmethod
    def tuned(self, model: Ising, counts: Counts) -> "Algorithm":
        """The algorithm with its sweep adapted to what it did so far; for use before measurements begin."""


@dataclass(frozen=True)
class LocalUpdate(Algorithm):
    """An algorithm that asks every site once in a sweep, in one of ORDERS.

    Raises:
        ConfigError: there is no such order.
    """

    order: str = "random"

    def __post_init__(self) -> None:
        check_order(self.order)

    def tuned(self, model: Ising, counts: Counts) -> "LocalUpdate":
        return self


def boltzmann(cost: np.ndarray, temperature: float) -> np.ndarray:
    """min(1, exp(-cost / T)), the acceptance of Metropolis; cost in J.

    Source: Metropolis et al., J. Chem. Phys. 21, 1087 (1953).
    """
    return np.exp(-np.maximum(cost, 0.0) / temperature)
