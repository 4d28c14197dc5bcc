"""The energy of a run at zero variance, from the steps of its training."""

from typing import Any

import numpy as np
from sqlalchemy import Engine

from backend.store.reads import training_rows
from nqs_core.statistics import zero_variance


def of_run(engine: Engine, run_id: str) -> dict[str, Any]:
    """Total energies: `energy` ± `error` at zero variance, the `slope`, and the points that were fitted."""
    rows = training_rows(engine, run_id, ("energy", "energy_error", "variance"))
    table = np.array([[np.nan if value is None else value for value in row] for row in rows], float).reshape(-1, 3)
    table = table[np.all(np.isfinite(table), axis=1)]
    return zero_variance(*table.T)._asdict()
