"""DMRG series for tests: computed by a process, or made up."""

import dataclasses

from nqs_core.config import parse
from nqs_core.reference import dmrg


def config(on, shape, name, couplings, sector=None):
    system = {"name": name, "params": couplings}
    return parse({"lattice": {"name": on, "params": shape}, "hamiltonian": system, "sector": sector})


def points(plan, known=None):
    return [event for event in dmrg.Job(plan, known).events() if isinstance(event, dmrg.Point)]


def alone(plan):
    """The plan with one start, for what does not concern the others."""
    return dataclasses.replace(plan, further=list)


def point(chi, energy, truncation, **changes):
    about = {"chi": chi, "chi_used": chi, "energy": energy, "truncation_error": truncation, "variance": None}
    how = {"max_entropy": 1.0, "sweeps": 5, "converged": True, "cpu_seconds": 1.0, "wall_seconds": 1.0}
    return dmrg.Point(**(about | how | changes))
