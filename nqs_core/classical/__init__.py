"""The classical Ising model in two dimensions, for teaching and as an oracle; NumPy only.

An algorithm is a file and a line here.
"""

from nqs_core.classical.base import Algorithm, Counts
from nqs_core.classical.exact import CRITICAL_TEMPERATURE, kaufman_energy, onsager_energy, spontaneous_magnetisation
from nqs_core.classical.heat_bath import HeatBath
from nqs_core.classical.kawasaki import Kawasaki
from nqs_core.classical.metropolis import Metropolis
from nqs_core.classical.model import Ising, Spins
from nqs_core.classical.simulation import Estimate, Sweep, estimate, simulate
from nqs_core.classical.swendsen_wang import SwendsenWang
from nqs_core.classical.wolff import Wolff
from nqs_core.errors import ConfigError

ALGORITHMS: dict[str, type[Algorithm]] = {
    "metropolis": Metropolis,
    "heat_bath": HeatBath,
    "wolff": Wolff,
    "swendsen_wang": SwendsenWang,
    "kawasaki": Kawasaki,
}


def algorithm(name: str) -> Algorithm:
    """The algorithm of that name with its defaults.

    Raises:
        ConfigError: there is none.
    """
    if name not in ALGORITHMS:
        raise ConfigError(f"unknown algorithm {name!r}; choose one of {', '.join(ALGORITHMS)}")
    return ALGORITHMS[name]()


__all__ = [
    "ALGORITHMS",
    "CRITICAL_TEMPERATURE",
    "Algorithm",
    "Counts",
    "Estimate",
    "Ising",
    "Spins",
    "Sweep",
    "algorithm",
    "estimate",
    "kaufman_energy",
    "onsager_energy",
    "simulate",
    "spontaneous_magnetisation",
]
