"""Everything that a user can choose, with its schema and its help."""

import json
from typing import Any

from nqs_core.ansatze import ANSATZE, SequentialAnsatz
from nqs_core.config import RunConfig
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.lattices import LATTICES
from nqs_core.observables import OBSERVABLES
from nqs_core.optimizers import OPTIMIZERS
from nqs_core.reference import data_folder
from nqs_core.samplers import SAMPLERS

REGISTRIES = {
    "lattice": LATTICES,
    "hamiltonian": HAMILTONIANS,
    "ansatz": ANSATZE,
    "sampler": SAMPLERS,
    "optimizer": OPTIMIZERS,
    "observable": OBSERVABLES,
}


def presets() -> list[dict[str, Any]]:
    """Configurations that converge to their reference: name, title, description, config."""
    return json.loads((data_folder() / "presets.json").read_text("utf-8"))


def catalog() -> dict[str, Any]:
    """JSON schemas of every component by family, of a run configuration, and the presets."""
    families = {family: registry.catalog() for family, registry in REGISTRIES.items()}
    for name, entry in families["hamiltonian"].items():
        conserves: Any = HAMILTONIANS[name].conserves_sz
        entry["conserves_sz"] = conserves if isinstance(conserves, bool) else None  # None: depends on the parameters
    for name, entry in families["ansatz"].items():
        entry["takes_weights"] = ANSATZE[name].takes_weights
        entry["autoregressive"] = issubclass(ANSATZE[name], SequentialAnsatz)
    return {**families, "run": RunConfig.model_json_schema(), "presets": presets()}
