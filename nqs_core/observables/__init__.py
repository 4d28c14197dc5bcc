"""Observables. Add a file, then a line here."""

from nqs_core.observables.base import Observable
from nqs_core.observables.bond_energy import BondEnergy
from nqs_core.observables.correlation import Correlation, CorrelationMap
from nqs_core.observables.magnetisation import Magnetisation
from nqs_core.observables.renyi import Renyi2
from nqs_core.observables.structure_factor import StructureFactor
from nqs_core.registry import Registry

OBSERVABLES = Registry[Observable](
    "observable",
    {
        "magnetisation": Magnetisation,
        "correlation": Correlation,
        "correlation_map": CorrelationMap,
        "structure_factor": StructureFactor,
        "bond_energy": BondEnergy,
        "renyi2": Renyi2,
    },
)
