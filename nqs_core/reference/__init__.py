"""Reference energies: closed forms, exact minima and levels, DMRG, the shipped table, and how they match a run."""

from contextlib import closing
from dataclasses import replace

import numpy as np

from nqs_core.config import System
from nqs_core.errors import ConfigError, NQSError
from nqs_core.hamiltonians import Hamiltonian
from nqs_core.reference import analytic, classical, dmrg, exact, matching
from nqs_core.reference.literature import data_folder, load_table
from nqs_core.reference.result import (
    Reference,
    Verdict,
    absolute_error,
    is_zero,
    relative_error,
    sentence,
    verdict,
    with_error,
)
from nqs_core.reference.series import SOURCE, conclude, is_checkable, plan_dmrg, upper_bound
from nqs_core.reference.subspace import system

__all__ = [
    "FAILURES",
    "SOURCE",
    "Reference",
    "Verdict",
    "absolute_error",
    "check",
    "compute",
    "conclude",
    "data_folder",
    "estimate",
    "is_classical",
    "is_zero",
    "load_table",
    "plan_dmrg",
    "relative_error",
    "sentence",
    "sum_of_levels",
    "system",
    "upper_bound",
    "verdict",
    "with_error",
]

FAILURES = (NQSError, RuntimeError, ArithmeticError, np.linalg.LinAlgError)  # ARPACK's are RuntimeErrors
METHODS = ("auto", "analytic", "exact", "dmrg")
MINIMUM = "exact minimum"
ELIMINATION = "diagonal Hamiltonian: minimum over all configurations, one spin after another (min-sum elimination)"
LANCZOS = "sparse Lanczos (ARPACK) in symmetry blocks"


def compute(
    config: System,
    levels: int = 1,
    method: str = "auto",
    memory_limit: float = exact.MEMORY_LIMIT,
    tick: exact.Tick | None = None,
) -> list[Reference]:
    """The lowest levels of the system and sector of `config`, with multiplicity: total energies in the run's own units.

    Fewer than `levels` come back only where the sector has fewer states.

    Args:
        method: "analytic" (closed forms), "exact" (minimum over configurations for a ground state of a diagonal
            Hamiltonian, else Lanczos), "auto" (the first of these that applies) or "dmrg", which leaves what is
            diagonal to the exact minimum, too, wherever that is possible.
        memory_limit: in bytes; a computation that needs more is refused before it allocates.
        tick: called many times a second while it computes; what it raises ends the computation and comes through.

    Raises:
        ConfigError: the configuration does not fit together, or no closed form is known and one was asked for.
        TooLargeError: exact diagonalisation or DMRG would exceed `memory_limit`.
    """
    if levels < 1:
        raise ConfigError(f"levels = {levels}: at least 1 is needed")
    if method not in METHODS:
        raise ConfigError(f"unknown reference method {method!r}; choose one of {', '.join(METHODS)}")
    hamiltonian, labels = system(config)
    if method == "dmrg" and (levels > 1 or _classical(hamiltonian, labels, memory_limit) is None):
        return [_by_dmrg(config, levels, memory_limit, tick)]
    key, sector = matching.key(matching.canonical(config)[0]), matching.sector_label(config)
    closed = None if method in ("exact", "dmrg") else _closed(hamiltonian, labels, levels)
    if closed is not None:
        energies = [float(e) for e in closed.energies]
        rounding = 1e-14 * hamiltonian.lattice.n_sites * max(1.0, abs(energies[0]))
        return [
            Reference(e, "analytic", "exact", rounding, "rounding", closed.source, sector, k, key, closed.detail)
            for k, e in enumerate(energies)
        ]
    if method == "analytic":
        raise ConfigError(f"no closed form is known for {levels} level(s) of {hamiltonian!r} in sector {sector}")
    if levels == 1 and (diagonal := _classical(hamiltonian, labels, memory_limit)) is not None:
        energy = classical.minimum(diagonal, tick)
        rounding = 1e-15 * max(1.0, sum(map(abs, diagonal.factors.values())))
        about = (MINIMUM, "exact", rounding, "rounding", SOURCE, sector, 0, key, ELIMINATION)
        return [Reference(energy, *about)]
    found = exact.lowest_levels(hamiltonian, labels, levels, memory_limit, tick)
    return [
        Reference(
            level.energy,
            "exact diagonalisation",
            "exact",
            level.residual,
            "residual",
            SOURCE,
            sector,
            k,
            key,
            LANCZOS,
            level.residual**2,
        )
        for k, level in enumerate(found)
    ]


def estimate(config: System, levels: int = 1) -> exact.Estimate | None:
    """What `compute` would take by exact diagonalisation, or by the minimum over configurations.

    None where a closed form is known.

    Raises:
        ConfigError: the configuration does not fit together.
        TooLargeError: more than 40 spins.
    """
    hamiltonian, labels = system(config)
    if _closed(hamiltonian, labels, levels) is not None:
        return None
    if levels == 1 and (diagonal := classical.plan(hamiltonian, labels)) is not None:
        return diagonal.estimate
    return exact.estimate(hamiltonian, labels, levels)


def sum_of_levels(config: System, n_states: int) -> tuple[Reference, list[float]] | None:
    """What a run of several states falls to: the sum of the lowest levels, and the levels; None if there are fewer."""
    levels = compute(config, n_states)
    if len(levels) < n_states:
        return None
    uncertainty = sum(level.uncertainty or 0.0 for level in levels)
    energies = [level.energy for level in levels]
    detail = f"sum of the {n_states} lowest levels; {levels[0].detail}"
    return replace(levels[0], energy=sum(energies), uncertainty=uncertainty, detail=detail), energies


def is_classical(config: System, memory_limit: float = exact.MEMORY_LIMIT) -> bool:
    """Whether the ground state is the minimum of a diagonal Hamiltonian, and that minimum can be had.

    Raises:
        ConfigError: the configuration does not fit together.
    """
    return _classical(*system(config), memory_limit) is not None


def _classical(hamiltonian: Hamiltonian, labels: exact.Labels, memory_limit: float) -> classical.Plan | None:
    found = classical.plan(hamiltonian, labels)
    return found if found is not None and found.estimate.n_bytes <= memory_limit else None


def _closed(hamiltonian: Hamiltonian, labels: exact.Labels, levels: int) -> analytic.Closed | None:
    if labels._replace(sz=None) != exact.WHOLE:
        return None
    return analytic.closed_form(hamiltonian, labels.sz, levels)


def _by_dmrg(config: System, levels: int, memory_limit: float, tick: exact.Tick | None) -> Reference:
    if levels > 1:
        raise ConfigError(f"levels = {levels}: DMRG gives the ground state of a sector only")
    plan = plan_dmrg(config, memory_limit=memory_limit)
    known = check(config, plan, memory_limit, tick)
    points: list[dmrg.Point] = []
    with closing(dmrg.Job(plan, known.energy if known else None).events()) as events:
        for event in events:
            if tick:
                tick()
            if isinstance(event, dmrg.Point):
                points.append(event)
    return conclude(config, points, known.energy if known else None)[0]


def check(
    config: System, plan: dmrg.Plan, memory_limit: float = exact.MEMORY_LIMIT, tick: exact.Tick | None = None
) -> Reference | None:
    """The exact ground state of a small system, which tells whether a DMRG series ends in it; None where too large."""
    if not is_checkable(config, plan, memory_limit):
        return None
    try:
        return compute(config, 1, "exact", memory_limit, tick)[0]
    except FAILURES:
        return None
