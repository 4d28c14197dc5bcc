"""One key for every system: two configurations share a key exactly when their spectra agree up to a known factor.

`E_canonical = factor · E_run`; see CONVENTIONS.md for the rules, each of which a test compares with dense spectra.
Labels of a sector mean the Hamiltonian as it stands: what would turn one label into another is not done to a system
that has it.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from nqs_core.config import System
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.lattices import LATTICES, momenta, symmetry

UNIT = {"tfim": "J", "long_range_tfim": "h", "heisenberg": "J", "xxz": "J", "j1j2": "J1"}  # sets the unit of energy
CELL = {"chain": 1, "square": 1, "cubic": 1, "triangular": 1, "honeycomb": 2, "kagome": 3, "all_to_all": 1}
_PLAIN = ("chain", "square", "cubic")  # cut straight from a hypercubic lattice
_DIMENSIONLESS = {"alpha", "Delta"}
_TOLERANCE = 1e-9

Fields = dict[str, Any]


def canonical(config: System) -> tuple[Fields, float]:
    """The canonical system of a run and the factor of its energies; one without a canonical form stands for itself.

    A momentum and an irrep keep the axes, they and the flip of all spins keep the signs of the couplings, and so does
    S^z, save for the turn of a sublattice about z.
    """
    name, params = config.hamiltonian.name, HAMILTONIANS.params(config.hamiltonian)
    lattice = LATTICES.build(config.lattice)
    couplings = {k: v for k, v in params.items() if k != "marshall"}
    if name not in UNIT or couplings[UNIT[name]] == 0:
        whole = {"lattice": [config.lattice.name, dataclasses.asdict(lattice)], "hamiltonian": [name, params]}  # type: ignore[call-overload]
        text = json.dumps(whole, sort_keys=True, default=repr)
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        return {"hamiltonian": name, "n_sites": lattice.n_sites, "hash": digest}, 1.0
    boundary = "".join("P" if periodic else "O" for periodic in lattice.periodicity)
    reshape = turn = True
    if (sector := config.sector) is not None:
        reshape = sector.momentum is None and sector.point_group is None
        turn = reshape and sector.spin_flip is None and (sector.sz is None or name == "xxz")
    return canonical_fields(config.lattice.name, lattice.extent, boundary, name, couplings, reshape, turn)


def key(fields: Fields) -> str:
    """Such as `j1j2|square|8x4|OP|J1=1,J2=0.5`."""
    if "hash" in fields:
        return f"{fields['hamiltonian']}|{fields['hash']}"
    couplings = ",".join(f"{k}={v:.10g}" for k, v in fields["couplings"].items())
    extent = "x".join(map(str, fields["extent"]))
    return "|".join((fields["hamiltonian"], fields["lattice"], extent, fields["boundary"], couplings))


def canonical_fields(
    lattice: str,
    extent: Sequence[int],
    boundary: str,
    hamiltonian: str,
    couplings: Mapping[str, float],
    reshape: bool = True,
    turn: bool = True,
) -> tuple[Fields, float]:
    """The canonical system from its parts.

    Args:
        lattice: name; "rectangular" is another name of "square".
        extent: unit cells along each axis.
        boundary: one letter per axis, P (periodic) or O (open).
        hamiltonian: one of `UNIT`.
        couplings: without `marshall`, which never changes a spectrum.
        reshape: exchange axes and leave out wraps that add no bond; not with a momentum or an irrep.
        turn: turn spins so that signs of couplings go; not with a label that turns with them.

    Raises:
        KeyError: the Hamiltonian has no canonical form.
        ValueError: the coupling that sets the unit is 0.
    """
    lattice = "square" if lattice == "rectangular" else lattice
    axes = list(zip(extent, boundary, strict=True))
    if reshape:
        lattice, axes = _shape(lattice, axes, hamiltonian)
    c = {k: float(v) for k, v in couplings.items()}
    unit = abs(c[UNIT[hamiltonian]])
    if unit == 0:
        raise ValueError(f"{hamiltonian}: {UNIT[hamiltonian]} = 0 sets no unit of energy")
    c = {k: 0.0 + (v if k in _DIMENSIONLESS else v / unit) for k, v in c.items()}  # never -0
    hamiltonian, c = _same_operator(hamiltonian, c)
    if turn:
        hamiltonian, c = _turned(hamiltonian, c, is_bipartite(lattice, axes))
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


def _shape(lattice: str, axes: list[tuple[int, str]], hamiltonian: str) -> tuple[str, list[tuple[int, str]]]:
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


def _same_operator(hamiltonian: str, c: dict[str, float]) -> tuple[str, dict[str, float]]:
    if hamiltonian == "j1j2" and abs(c["J2"]) < _TOLERANCE:
        return "heisenberg", {"J": c["J1"]}
    if hamiltonian == "xxz" and abs(c["Delta"] - 1) < _TOLERANCE:
        return "heisenberg", {"J": c["J"]}
    if abs(c.get("h_z", 1.0)) < _TOLERANCE:
        return hamiltonian, {k: v for k, v in c.items() if k != "h_z"}
    return hamiltonian, c


def _turned(hamiltonian: str, c: dict[str, float], bipartite: bool) -> tuple[str, dict[str, float]]:
    if hamiltonian == "xxz" and bipartite and (c["J"] < 0 or abs(c["Delta"] + 1) < _TOLERANCE):
        # One sublattice turned by π about z.
        hamiltonian, c = _same_operator("xxz", {"J": -c["J"], "Delta": 0.0 - c["Delta"]})
    if "h" in c:
        c = c | {"h": abs(c["h"])}  # every site turned by π about z
    if "h_z" in c:
        c = c | {"h_z": abs(c["h_z"])}  # every spin flipped
    if hamiltonian == "tfim" and c["J"] < 0 and bipartite and "h_z" not in c:
        c = c | {"J": 1.0}  # one sublattice turned by π about x
    return hamiltonian, c


def sector_label(system: System) -> str:
    """The space in which levels are counted: `full`, or such as `Sz=0` or `Sz=0,k=4,irrep=A',P=+1`.

    One spelling for each: a momentum as integers m_a in 0 ... L_a - 1, an irrep by its name in the group.

    Raises:
        ConfigError: a momentum or an irrep that the lattice does not have.
    """
    if (sector := system.sector) is None:
        return "full"
    parts = [f"Sz={sector.sz + 0.0:g}"] if sector.sz is not None else []
    lattice = LATTICES.build(system.lattice)
    if sector.momentum is not None:
        parts.append(f"k={'x'.join(map(str, momenta.resolve(lattice, sector.momentum)))}")
    if sector.point_group is not None:
        group = symmetry.point_group(lattice, sector.momentum)
        parts.append(f"irrep={symmetry.resolve(group, sector.point_group)}")
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
