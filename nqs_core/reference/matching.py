"""One key for every system: two configurations share a key exactly when their spectra agree up to a known factor.

`E_canonical = factor · E_run`; see CONVENTIONS.md for the rules, each of which a test compares with dense spectra.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from nqs_core.config import System
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.lattices import LATTICES, momenta

UNIT = {"tfim": "J", "long_range_tfim": "h", "heisenberg": "J", "xxz": "J", "j1j2": "J1"}  # sets the unit of energy
CELL = {"chain": 1, "square": 1, "cubic": 1, "triangular": 1, "honeycomb": 2, "kagome": 3, "all_to_all": 1}
_PLAIN = ("chain", "square", "cubic")  # cut straight from a hypercubic lattice
_DIMENSIONLESS = {"alpha", "Delta"}
_TOLERANCE = 1e-9

Fields = dict[str, Any]


def canonical(config: System) -> tuple[Fields, float]:
    """The canonical system of a run and the factor of its energies; one without a canonical form stands for itself."""
    name, params = config.hamiltonian.name, HAMILTONIANS.params(config.hamiltonian)
    lattice = LATTICES.build(config.lattice)
    couplings = {k: v for k, v in params.items() if k != "marshall"}
    if name not in UNIT or couplings[UNIT[name]] == 0:
        whole = {"lattice": [config.lattice.name, dataclasses.asdict(lattice)], "hamiltonian": [name, params]}  # type: ignore[call-overload]
        text = json.dumps(whole, sort_keys=True, default=repr)
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        return {"hamiltonian": name, "n_sites": lattice.n_sites, "hash": digest}, 1.0
    boundary = "".join("P" if periodic else "O" for periodic in lattice.periodicity)
    return canonical_fields(config.lattice.name, lattice.extent, boundary, name, couplings)


def key(fields: Fields) -> str:
    """Such as `j1j2|square|8x4|OP|J1=1,J2=0.5`."""
    if "hash" in fields:
        return f"{fields['hamiltonian']}|{fields['hash']}"
    couplings = ",".join(f"{k}={v:.10g}" for k, v in fields["couplings"].items())
    extent = "x".join(map(str, fields["extent"]))
    return "|".join((fields["hamiltonian"], fields["lattice"], extent, fields["boundary"], couplings))


def canonical_fields(
    lattice: str, extent: Sequence[int], boundary: str, hamiltonian: str, couplings: Mapping[str, float]
) -> tuple[Fields, float]:
    """The canonical system from its parts.

    Args:
        lattice: name; "rectangular" is another name of "square".
        extent: unit cells along each axis.
        boundary: one letter per axis, P (periodic) or O (open).
        hamiltonian: one of `UNIT`.
        couplings: without `marshall`, which never changes a spectrum.

    Raises:
        KeyError: the Hamiltonian has no canonical form.
        ValueError: the coupling that sets the unit is 0.
    """
    lattice, axes = _shape("square" if lattice == "rectangular" else lattice, extent, boundary, hamiltonian)
    c = {k: float(v) for k, v in couplings.items()}
    unit = abs(c[UNIT[hamiltonian]])
    if unit == 0:
        raise ValueError(f"{hamiltonian}: {UNIT[hamiltonian]} = 0 sets no unit of energy")
    c = {k: v if k in _DIMENSIONLESS else v / unit for k, v in c.items()}
    hamiltonian, c = _couplings(hamiltonian, c, is_bipartite(lattice, axes))
    sizes = [size for size, _ in axes]
    fields = {
        "hamiltonian": hamiltonian,
        "lattice": lattice,
        "extent": sizes,
        "boundary": "".join(letter for _, letter in axes),
        "n_sites": math.prod(sizes) * CELL[lattice],
        "couplings": dict(sorted(c.items())),
    }
    return fields, 1.0 / unit


def _shape(lattice: str, extent: Sequence[int], boundary: str, hamiltonian: str) -> tuple[str, list[tuple[int, str]]]:
    axes = list(zip(extent, boundary, strict=True))
    if lattice in _PLAIN and hamiltonian != "long_range_tfim":
        # Each pair counts once: the wrap of an axis of length 2 adds nothing, that of length 1 only diagonals of j1j2.
        wraps = (2,) if hamiltonian == "j1j2" else (1, 2)
        axes = [(size, "O" if size in wraps else letter) for size, letter in axes]
    if lattice == "square" and (1, "O") in axes and hamiltonian != "j1j2":
        axes.remove((1, "O"))
        lattice = "chain"
    # Reflections exchange the axes: longer first, open before periodic.
    return lattice, sorted(axes, key=lambda axis: (-axis[0], axis[1]))


def is_bipartite(lattice: str, axes: Sequence[tuple[int, str]]) -> bool:
    """Whether the nearest neighbours split into two sublattices, from the shape alone."""
    if lattice == "honeycomb":
        return True
    return lattice in _PLAIN and all(size % 2 == 0 or letter == "O" for size, letter in axes)


def _couplings(hamiltonian: str, c: dict[str, float], bipartite: bool) -> tuple[str, dict[str, float]]:
    if hamiltonian == "j1j2" and abs(c["J2"]) < _TOLERANCE:
        hamiltonian, c = "heisenberg", {"J": c["J1"]}
    if hamiltonian == "xxz":
        if bipartite and c["J"] < 0:  # one sublattice turned by π about z
            c = {"J": 1.0, "Delta": 0.0 - c["Delta"]}
        if abs(c["Delta"] - 1) < _TOLERANCE:
            hamiltonian, c = "heisenberg", {"J": c["J"]}
        elif bipartite and abs(c["Delta"] + 1) < _TOLERANCE:
            hamiltonian, c = "heisenberg", {"J": -1.0}
    if "h" in c:
        c["h"] = abs(c["h"])  # every site turned by π about z
    if "h_z" in c:
        c["h_z"] = abs(c["h_z"])  # every spin flipped
        if c["h_z"] < _TOLERANCE:
            del c["h_z"]
    if hamiltonian == "tfim" and c["J"] < 0 and bipartite and "h_z" not in c:
        c["J"] = 1.0  # one sublattice turned by π about x
    return hamiltonian, c


def sector_label(system: System) -> str:
    """The space in which levels are counted: `full`, or such as `Sz=0` or `Sz=0,k=4,P=+1`; one spelling for each.

    Raises:
        ConfigError: a momentum that the lattice does not have.
    """
    if (sector := system.sector) is None:
        return "full"
    parts = [f"Sz={sector.sz + 0.0:g}"] if sector.sz is not None else []
    if sector.momentum is not None:
        wave = momenta.resolve(LATTICES.build(system.lattice), sector.momentum)
        parts.append(f"k={'x'.join(map(str, wave))}")
    if sector.point_group is not None:
        parts.append(f"irrep={sector.point_group}")
    if sector.spin_flip is not None:
        parts.append(f"P={sector.spin_flip:+d}")
    return ",".join(parts) or "full"


def ground_sectors(fields: Fields, sector: str) -> tuple[str, ...]:
    """All sectors whose level 0 is level 0 of `sector`, which comes first.

    The ground state of `tfim` and `long_range_tfim` with h > 0 is positive, hence even under the flip of all spins;
    that of an SU(2) invariant model at even size has a member in S^z = 0.
    """
    name, c, even = fields["hamiltonian"], fields.get("couplings", {}), fields["n_sites"] % 2 == 0
    same: tuple[str, ...] = ("full",)
    if name in ("tfim", "long_range_tfim") and c.get("h", 0) > 0 and "h_z" not in c:
        same = ("full", "P=+1")
    if name in ("heisenberg", "j1j2") and even:
        same = ("full", "Sz=0")
    if name == "xxz" and even and c["J"] > 0 and c["Delta"] > -1:
        axes = list(zip(fields["extent"], fields["boundary"], strict=True))
        same = ("full", "Sz=0") if is_bipartite(fields["lattice"], axes) else same
    if sector not in same:
        return (sector,)
    return (sector, *(other for other in same if other != sector))
