"""Reference energies: closed forms, exact diagonalisation, the shipped table, and how they match a run."""

import dataclasses
from collections.abc import Sequence
from contextlib import closing

import numpy as np

from nqs_core.config import Spec, System
from nqs_core.errors import ConfigError, NQSError
from nqs_core.hamiltonians import HAMILTONIANS, Hamiltonian
from nqs_core.lattices import LATTICES, momenta, symmetry
from nqs_core.reference import analytic, dmrg, exact, matching
from nqs_core.reference.fit import EXACT, Extrapolation, extrapolate
from nqs_core.reference.literature import data_folder, load_table
from nqs_core.reference.result import Reference, Verdict, relative_error, sentence, verdict, with_error
from nqs_core.sector import Sector

__all__ = [
    "FAILURES",
    "Reference",
    "Verdict",
    "compute",
    "conclude",
    "data_folder",
    "estimate",
    "load_table",
    "plan_dmrg",
    "relative_error",
    "sentence",
    "upper_bound",
    "verdict",
    "with_error",
]

FAILURES = (NQSError, RuntimeError, ArithmeticError, np.linalg.LinAlgError)  # ARPACK's are RuntimeErrors
METHODS = ("auto", "analytic", "exact", "dmrg")
SOURCE = "computed by Spinscope"
LANCZOS = "sparse Lanczos (ARPACK) in symmetry blocks"


def system(config: System) -> tuple[Hamiltonian, exact.Labels]:
    """The Hamiltonian of a run, never Marshall-rotated (the spectrum is the same), and the labels of its sector.

    Raises:
        ConfigError: an unknown name, a parameter out of range, an impossible S^z, or a momentum or irrep that the
            lattice does not have.
    """
    lattice = LATTICES.build(config.lattice)
    HAMILTONIANS.build(config.hamiltonian, lattice=lattice)  # refuses what the run would be refused for
    params = {k: v for k, v in config.hamiltonian.params.items() if k != "marshall"}
    hamiltonian = HAMILTONIANS.build(Spec(name=config.hamiltonian.name, params=params), lattice=lattice)
    if (sector := config.sector) is None:
        return hamiltonian, exact.WHOLE
    wave = None if sector.momentum is None else momenta.resolve(lattice, sector.momentum)
    irrep = None
    if sector.point_group is not None:
        irrep = symmetry.resolve(symmetry.point_group(lattice, wave), sector.point_group)
    return hamiltonian, exact.Labels(Sector(lattice.n_sites, sector.sz).sz, wave, sector.spin_flip, irrep)


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
        method: "analytic" (closed forms), "exact" (Lanczos), "auto" (the first of these that applies) or "dmrg".
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
    if method == "dmrg":
        return [_by_dmrg(config, levels, memory_limit, tick)]
    hamiltonian, labels = system(config)
    key, sector = matching.key(matching.canonical(config)[0]), matching.sector_label(config)
    closed = None if method == "exact" else _closed(hamiltonian, labels, levels)
    if closed is not None:
        energies = [float(e) for e in closed.energies]
        rounding = 1e-14 * hamiltonian.lattice.n_sites * max(1.0, abs(energies[0]))
        return [
            Reference(e, "analytic", "exact", rounding, "rounding", closed.source, sector, k, key, closed.detail)
            for k, e in enumerate(energies)
        ]
    if method == "analytic":
        raise ConfigError(f"no closed form is known for {levels} level(s) of {hamiltonian!r} in sector {sector}")
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
    """What `compute` would take by exact diagonalisation; None where a closed form is known.

    Raises:
        ConfigError: the configuration does not fit together.
        TooLargeError: more than 40 spins.
    """
    hamiltonian, labels = system(config)
    if _closed(hamiltonian, labels, levels) is not None:
        return None
    return exact.estimate(hamiltonian, labels, levels)


def _closed(hamiltonian: Hamiltonian, labels: exact.Labels, levels: int) -> analytic.Closed | None:
    if labels._replace(sz=None) != exact.WHOLE:
        return None
    return analytic.closed_form(hamiltonian, labels.sz, levels)


def plan_dmrg(config: System, chi: Sequence[int] | None = None, memory_limit: float = exact.MEMORY_LIMIT) -> dmrg.Plan:
    """What DMRG of the ground state in the sector of `config` would take; `dmrg.Job` does it.

    Raises:
        ConfigError: the configuration does not fit together, or DMRG does not know the Hamiltonian or the sector.
        TooLargeError: the estimates of time or memory exceed the limits.
    """
    hamiltonian, labels = system(config)
    fields, _ = matching.canonical(config)
    if fields["hamiltonian"] in ("heisenberg", "j1j2"):  # every multiplet has a member there
        ground_sz = fields["n_sites"] % 2 / 2
    else:
        ground_sz = 0.0 if "Sz=0" in matching.ground_sectors(fields, "full") else None
    return dmrg.plan(hamiltonian, labels, ground_sz, chi, memory_limit=memory_limit)


def conclude(config: System, points: Sequence[dmrg.Point]) -> tuple[Reference, Extrapolation]:
    """The reference that finished bond dimensions give: extrapolated where a fit is accepted, else the last energy.

    Raises:
        ConfigError: no bond dimension is finished.
    """
    last = upper_bound(config, points)
    found = extrapolate(
        [p.chi for p in points],
        [p.energy for p in points],
        [p.truncation_error for p in points],
        [p.variance for p in points],
        [p.converged for p in points],
    )
    if found.uncertainty is None:
        return last, found
    fits = ", ".join(f"{fit.kind} {fit.a:.9f}" for fit in found.fits if fit.accepted)
    return dataclasses.replace(
        last,
        energy=found.energy,
        method="dmrg extrapolated",
        bound="estimate",
        uncertainty=found.uncertainty,
        uncertainty_kind="half width of [lowest accepted extrapolation, last variational energy]",
        detail=f"middle of [lowest fit, E(chi = {points[-1].chi})], {_chi(points)}: {fits}",
        variance=None,
        truncation_error=None,
    ), found


def upper_bound(config: System, points: Sequence[dmrg.Point]) -> Reference:
    """The energy of the largest finished bond dimension: never below the ground state of the sector.

    Raises:
        ConfigError: no bond dimension is finished.
    """
    if not points:
        raise ConfigError("DMRG ended before the first bond dimension was finished")
    key, sector = matching.key(matching.canonical(config)[0]), matching.sector_label(config)
    last = points[-1]
    open_end = "" if last.converged else ", sweeps not converged"
    uncertainty, kind = None, "not given"
    if last.converged and last.truncation_error < EXACT:
        uncertainty = dmrg.tolerance(LATTICES.build(config.lattice)) * max(1.0, abs(last.energy))
        kind = "one-sided: bond dimension saturated"
    return Reference(
        last.energy, "dmrg", "upper", uncertainty, kind, SOURCE, sector, 0, key,
        f"TeNPy, two-site, {_chi(points)}{open_end}", last.variance, last.chi_used, last.truncation_error,
    )  # fmt: skip


def _chi(points: Sequence[dmrg.Point]) -> str:
    return f"chi = {', '.join(str(p.chi) for p in points)}"


def _by_dmrg(config: System, levels: int, memory_limit: float, tick: exact.Tick | None) -> Reference:
    if levels > 1:
        raise ConfigError(f"levels = {levels}: DMRG gives the ground state of a sector only")
    points: list[dmrg.Point] = []
    with closing(dmrg.Job(plan_dmrg(config, memory_limit=memory_limit)).events()) as events:
        for event in events:
            if tick:
                tick()
            if isinstance(event, dmrg.Point):
                points.append(event)
    return conclude(config, points)[0]
