"""The shipped table of reference energies, and which of its rows speak about a run."""

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nqs_core.config import System
from nqs_core.lattices import LATTICES
from nqs_core.reference.matching import Fields, canonical, ground_sectors, key
from nqs_core.reference.result import Reference

Row = dict[str, Any]

COLUMNS = (
    "key", "hamiltonian", "lattice", "extent", "boundary", "n_sites", "couplings", "sector", "level", "method", "bound",
    "energy", "energy_per_site", "uncertainty", "uncertainty_kind", "variance", "bond_dimension", "truncation_error",
    "labels", "detail", "source", "url", "licence", "note",
)  # fmt: skip
_DECODERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("n_sites", "level", "bond_dimension"), int),
    **dict.fromkeys(("energy", "energy_per_site", "uncertainty", "variance", "truncation_error"), float),
    **dict.fromkeys(("extent", "couplings", "labels"), json.loads),
}
_LINEAR = ("h", "h_z", "J2", "Delta", "J")  # these enter H linearly: E₀ is concave along each of them
_TOLERANCE = 1e-9


def data_folder() -> Path:
    """Where tables, presets and texts lie: beside the packages in a checkout, inside this package where installed."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "data"
    return inside if inside.is_dir() else package.parent / "data"


def load_table(path: Path | None = None) -> list[Row]:
    """The rows of `reference_energies.csv`, numbers and JSON decoded; "-" and empty cells become None.

    Energies are totals of the canonical system, in the units of CONVENTIONS.md.
    """
    with open(path or data_folder() / "reference_energies.csv", encoding="utf-8", newline="") as file:
        return [
            {name: None if text in ("", "-") else _DECODERS.get(name, str)(text) for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


def best(rows: Iterable[Row], fields: Fields, sector: str = "full", level: int = 0) -> list[Row]:
    """The rows of one level, the one to draw first: exact, QMC with an error bar, other estimates, upper bounds.

    Rows of other sectors with the same level 0 are included.
    """
    sectors = ground_sectors(fields, sector) if level == 0 else (sector,)
    wanted = key(fields)
    return sorted((r for r in rows if r["key"] == wanted and r["level"] == level and r["sector"] in sectors), key=_rank)


def _rank(row: Row) -> tuple[int, bool, float]:
    own = row.get("origin") == "user"  # a number that a user added never hides a shipped or a computed one
    if row["bound"] == "exact":
        return 0, own, row["uncertainty"] or 0.0
    if row["bound"] == "estimate":
        sharp = row["method"] == "qmc" and row["uncertainty"] is not None
        return (1 if sharp else 2), own, row["uncertainty"] or float("inf")
    return 3, False, row["energy"]


def as_reference(row: Row, factor: float) -> Reference:
    """A row in the units of a run, `factor` from `matching.canonical`."""
    scaled = {name: None if row[name] is None else row[name] / factor for name in ("energy", "uncertainty")}
    return Reference(
        **scaled,
        **{name: row[name] for name in ("method", "bound", "sector", "level", "key")},
        uncertainty_kind=row["uncertainty_kind"] or "not given",
        source=row["source"] or "",
        detail=row["detail"] or "",
        variance=None if row["variance"] is None else row["variance"] / factor**2,
        bond_dimension=row["bond_dimension"],
        truncation_error=row["truncation_error"],
    )


def as_row(reference: Reference, config: System) -> Row:
    """The row of a reference of the system `config`: canonical units, every column of the table.

    A system without a canonical form is described by its own names and has no couplings.
    """
    fields, factor = canonical(config)
    lattice = LATTICES.build(config.lattice)
    own = {
        "lattice": config.lattice.name,
        "extent": list(lattice.extent),
        "boundary": "".join("P" if periodic else "O" for periodic in lattice.periodicity),
        "couplings": {},
    }
    about = own | {name: value for name, value in fields.items() if name != "hash"}
    scaled = {"energy": reference.energy, "uncertainty": reference.uncertainty}
    same = ("method", "bound", "uncertainty_kind", "sector", "level", "bond_dimension", "truncation_error", "source")
    found = {
        **about,
        **{name: None if value is None else value * factor for name, value in scaled.items()},
        **{name: getattr(reference, name) for name in same},
        "key": key(fields),
        "energy_per_site": reference.energy * factor / fields["n_sites"],
        "variance": None if reference.variance is None else reference.variance * factor**2,
        "detail": reference.detail or None,
    }
    return {name: found.get(name) for name in COLUMNS}


class Neighbour(NamedTuple):
    """A row that differs from the system in one coupling, by `distance`."""

    row: Row
    coupling: str
    distance: float


def nearest(
    rows: Iterable[Row], fields: Fields, sector: str = "full", level: int = 0, limit: int = 4
) -> list[Neighbour]:
    """Rows that differ in exactly one coupling, the closest first; never to be shown as if they matched."""
    sectors = ground_sectors(fields, sector) if level == 0 else (sector,)
    level_rows = [row for row in rows if row["level"] == level and row["sector"] in sectors]
    found = [Neighbour(row, *apart) for row in level_rows if (apart := _one_apart(row, fields)) is not None]
    found.sort(key=lambda n: (n.distance, _rank(n.row)))
    first = {n.row["key"]: n for n in reversed(found)}  # one row for each system, the best
    return [n for n in found if first[n.row["key"]] is n][:limit]


def _one_apart(row: Row, fields: Fields) -> tuple[str, float] | None:
    """The only coupling in which a row of the same family on the same lattice differs, and by how much."""
    here = fields.get("couplings", {})
    there = _couplings_of(row, fields["hamiltonian"])
    if any(row[name] != fields.get(name) for name in ("lattice", "extent", "boundary")) or there is None:
        return None
    if set(there) != set(here):
        return None
    different = [name for name in here if abs(here[name] - there[name]) > _TOLERANCE * max(1.0, abs(here[name]))]
    return (different[0], abs(here[different[0]] - there[different[0]])) if len(different) == 1 else None


def _couplings_of(row: Row, family: str) -> dict[str, float] | None:
    """The couplings of a row as a member of `family`: the Heisenberg model belongs to two of them."""
    if row["hamiltonian"] == family:
        return row["couplings"]
    if row["hamiltonian"] == "heisenberg" and family == "j1j2":
        return {"J1": row["couplings"]["J"], "J2": 0.0}
    if row["hamiltonian"] == "heisenberg" and family == "xxz":
        return {"J": row["couplings"]["J"], "Delta": 1.0}
    return None


class Bracket(NamedTuple):
    """Rigorous bounds of a ground state energy, canonical units; `upper` is infinite without rows further away."""

    lower: float
    upper: float
    coupling: str


def bracket(rows: Sequence[Row], fields: Fields, sector: str = "full") -> Bracket | None:
    """Bounds from exact rows along one coupling: E₀ is concave in every coupling that enters H linearly.

    The chord of the two neighbours lies below E₀, the prolonged chords of the next pairs above.
    """
    sectors = ground_sectors(fields, sector)
    exact = [r for r in rows if r["bound"] == "exact" and r["level"] == 0 and r["sector"] in sectors]
    for name in _LINEAR:
        if name not in fields.get("couplings", {}):
            continue
        x = fields["couplings"][name]
        line: dict[float, float] = {}
        for row in exact:
            if (apart := _one_apart(row, fields)) is not None and apart[0] == name:
                line[(_couplings_of(row, fields["hamiltonian"]) or {})[name]] = row["energy"]
        left = sorted(v for v in line if v < x)[-2:]
        right = sorted(v for v in line if v > x)[:2]
        if left and right:
            lower = _chord(left[-1], right[0], line, x)
            outer = [_chord(pair[0], pair[1], line, x) for pair in (left, right) if len(pair) == 2]
            return Bracket(lower, min(outer, default=float("inf")), name)
    return None


def _chord(a: float, b: float, line: dict[float, float], x: float) -> float:
    return line[a] + (line[b] - line[a]) * (x - a) / (b - a)
