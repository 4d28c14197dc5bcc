"""The classical Ising model on the square lattice: a frozen description; configurations are plain arrays."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Int, Int8

from nqs_core.errors import ConfigError

MIN_SIZE, MAX_SIZE = 2, 2048
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-3, 1e6
MAX_FIELD = 1e3

Spins = Int8[np.ndarray, "size size"]  # entries +1 / -1


@dataclass(frozen=True)
class Ising:
    """H = -Σ_⟨ij⟩ sᵢsⱼ - h Σᵢ sᵢ on size × size sites, periodic; energies in J > 0, temperatures in J/k_B.

    Each pair of neighbours counts once, also on the 2 × 2 lattice, where both periodic images of a neighbour coincide.

    Raises:
        ConfigError: a size, temperature or field out of range, or NaN.
    """

    size: int
    temperature: float
    field: float = 0.0

    def __post_init__(self) -> None:
        _within("size", self.size, MIN_SIZE, MAX_SIZE, " sites")
        _within("temperature", self.temperature, MIN_TEMPERATURE, MAX_TEMPERATURE, " J/k_B")
        _within("field", self.field, -MAX_FIELD, MAX_FIELD, " J")

    @property
    def n_sites(self) -> int:
        return self.size**2

    @property
    def ground_energy_per_site(self) -> float:
        """The lowest energy in J, of all spins along the field."""
        return -(1 if self.size == 2 else 2) - abs(self.field)

    def start(self, how: str, rng: np.random.Generator) -> Spins:
        """The first configuration: "random" (infinite temperature) or "up" (all spins +1).

        Raises:
            ConfigError: another word.
        """
        shape = (self.size, self.size)
        if how == "random":
            return rng.choice(np.array([-1, 1], np.int8), shape)
        if how == "up":
            return np.ones(shape, np.int8)
        raise ConfigError(f"unknown start {how!r}; choose random or up")

    def energy_per_site(self, sigma: Spins) -> float:
        """H / n_sites in J."""
        # Half of the neighbours of every site: each bond once.
        bonds = int(np.sum(sigma * neighbour_sum(sigma), dtype=np.int64)) / 2
        return -bonds / self.n_sites - self.field * self.magnetisation_per_site(sigma)

    def magnetisation_per_site(self, sigma: Spins) -> float:
        """Σᵢ sᵢ / n_sites."""
        return int(np.sum(sigma, dtype=np.int64)) / self.n_sites


def neighbour_sum(sigma: Spins) -> Spins:
    """Σ_{j∼i} sⱼ for every site i, each neighbour once."""
    total = np.roll(sigma, 1, 0) + np.roll(sigma, 1, 1)
    if len(sigma) > 2:
        total += np.roll(sigma, -1, 0)
        total += np.roll(sigma, -1, 1)
    return total


@lru_cache(maxsize=4)
def neighbours(size: int) -> Int[np.ndarray, "n_sites n_neighbours"]:
    """Flat indices of the neighbours of every site, row-major, each once."""
    sites = np.arange(size**2, dtype=np.int32).reshape(size, size)
    shifts = (1,) if size == 2 else (1, -1)
    return np.stack([np.roll(sites, shift, axis).ravel() for axis in (0, 1) for shift in shifts]).T


def _within(name: str, value: float | int, low: float | int, high: float | int, unit: str) -> None:
    if not low <= value <= high:  # also refuses NaN
        raise ConfigError(f"{name} must be between {low:g} and {high:g}{unit}; given: {value:g}")
