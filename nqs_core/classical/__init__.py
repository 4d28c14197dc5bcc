"""The classical Ising model in two dimensions, for teaching and as an oracle; NumPy and SciPy only.

An algorithm is a file and a line here.
"""

from nqs_core.classical.base import Algorithm, Counts, LocalUpdate
from nqs_core.classical.exact import CRITICAL_TEMPERATURE, kaufman_energy, onsager_energy, spontaneous_magnetisation
from nqs_core.classical.heat_bath import HeatBath
from nqs_core.classical.kawasaki import Kawasaki
from nqs_core.classical.metropolis import Metropolis
from nqs_core.classical.model import Ising, Spins
from nqs_core.classical.order import ORDERS
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
LOCAL = [name for name, kind in ALGORITHMS.items() if issubclass(kind, LocalUpdate)]


def algorithm(name: str, order: str | None = None) -> Algorithm:
    """The algorithm of that name with its defaults; `order`: of the sites, where single sites are asked.

    Raises:
        ConfigError: there is no such algorithm or order, or the algorithm has no order of sites.
    """
    if name not in ALGORITHMS:
        raise ConfigError(f"unknown algorithm {name!r}; choose one of {', '.join(ALGORITHMS)}")
    kind = ALGORITHMS[name]
    if order is None:
        return kind()
    if not issubclass(kind, LocalUpdate):
        raise ConfigError(f"{name} does not go from site to site; order {order!r} is for {' and '.join(LOCAL)}")
    return kind(order=order)


__all__ = [
    "ALGORITHMS",
    "CRITICAL_TEMPERATURE",
    "LOCAL",
    "ORDERS",
    "Algorithm",
    "Counts",
    "Estimate",
    "Ising",
    "LocalUpdate",
    "Spins",
    "Sweep",
    "algorithm",
    "estimate",
    "kaufman_energy",
    "onsager_energy",
    "simulate",
    "spontaneous_magnetisation",
]
