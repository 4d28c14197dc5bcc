"""Which reference energies speak of a system, and what they say of a run."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from backend import store
from backend.models import reference_energies
from backend.references.table import SHOWN, keep, load, plain
from backend.store import reading
from nqs_core.config import OwnReference, RunConfig, System, parse_as
from nqs_core.errors import NQSError, TooLargeError
from nqs_core.reference import FAILURES, Reference, compute, estimate, sentence, sum_of_levels, verdict
from nqs_core.reference.literature import as_reference, as_row, best, bracket, nearest
from nqs_core.reference.matching import Fields, canonical, ground_sectors, key, sector_label

LOG = logging.getLogger("spinscope.references")
CHEAP_SECONDS = 1.0  # estimated time of a diagonalisation that is done while somebody waits
REMEMBERED = 256  # computed references of systems that the table does not take
_BOUNDS = {"exact": "exact", "estimate": "estimate", "upper": "upper bound"}


def system_of(system: System) -> tuple[str, str]:
    """The canonical key of a system and the label of its sector: what is equal there belongs together."""
    return key(canonical(system)[0]), sector_label(system)


def match(engine: Engine, config: System, *, save: bool = False) -> dict[str, Any] | None:
    """The best reference of a run: from the table, else by a closed form or a diagonalisation that takes no time.

    The energy is a total in the run's own units; None if nothing is known. A computation that fails must not keep
    anybody from submitting a run. With `save` what was diagonalised goes into the table.
    """
    found = None
    try:
        if (n_states := getattr(config, "n_states", 1)) > 1:
            return _of_several(config, n_states)
        fields, factor = canonical(config)
        found = _in_table(engine, fields, factor, sector_label(config))
        if found is None or found.bound != "exact":
            known = _computed(config)
            if save and known is not None and known.method != "analytic" and "hash" not in fields:
                keep(engine, known, config)
            found = known or found
    except FAILURES as error:
        LOG.warning("no reference was computed: %s: %.200s", type(error).__name__, error)
    return None if found is None else as_dict(found)


def _of_several(config: System, n_states: int) -> dict[str, Any] | None:
    """The sum of the lowest levels, with each in `levels`, where a diagonalisation takes no time."""
    try:
        cost = estimate(config, n_states)
    except TooLargeError:
        return None
    if cost is not None and cost.seconds > CHEAP_SECONDS:
        return None
    found = _levels(config.model_dump_json(include={"lattice", "hamiltonian", "sector"}), n_states)
    if found is None:
        return None
    label = f"exact (sum of the {n_states} lowest levels, {found[0].method})"
    return as_dict(found[0]) | {"levels": list(found[1]), "label": label}


def as_dict(reference: Reference) -> dict[str, Any]:
    """A reference as the API shows it; `label` names the line in a plot, `sentence` says how certain it is."""
    names = ("energy", "method", "bound", "uncertainty", "uncertainty_kind", "source", "sector", "level", "key")
    label = f"{_BOUNDS[reference.bound]} ({reference.method})"
    return {name: getattr(reference, name) for name in names} | {"label": label, "sentence": sentence(reference)}


def judge(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the energy of a run means against its reference; None where one of the two is missing.

    `kind` and `text` are those of `nqs_core.reference.verdict`.
    """
    known, energy, error = run["reference"], run["energy"], run["energy_error"]
    if run.get("kind", "vmc") not in ("vmc", "measure"):  # a job is a reference itself
        return None
    if energy is None or known is None or known.get("energy") is None:
        return None
    names = ("method", "uncertainty_kind", "source", "sector", "key")
    about: dict[str, Any] = {name: known.get(name) or "" for name in names}
    about |= {"energy": known["energy"], "bound": known["bound"], "uncertainty": known.get("uncertainty"), "level": 0}
    reference = Reference(**about)
    if error is None or math.isnan(error):
        error = math.inf  # without an error bar everything is possible
    found = verdict(energy, error, reference)
    return {"kind": found.kind, "text": found.text}


def refresh(engine: Engine, system_key: str) -> None:
    """Give every run of a system its best reference anew, after the table has changed."""
    for run in store.same_system(engine, system_key):
        if run["kind"] not in ("vmc", "measure"):  # a job is not judged by what it found itself
            continue
        try:
            found = match(engine, parse_as(RunConfig, run["config"]), save=True)
        except NQSError as error:  # one run of an earlier version must not spoil the others' reference
            LOG.info("run %s keeps its reference: %s", run["id"], error)
            continue
        if found != run["reference"]:
            store.set_reference(engine, run["id"], found)


def refresh_run(engine: Engine, run_id: str, config: System, known: Mapping[str, Any] | None) -> None:
    """Store what was computed for a run, and give it what became known since `known` was matched."""
    found = match(engine, config, save=True)
    if found != known:
        store.set_reference(engine, run_id, found)


def start(engine: Engine) -> None:
    """Bring table and runs up to date: what an update of the program changed reaches the runs, too."""
    changed = load(engine)
    _name_systems(engine)
    if changed:
        for system_key in store.systems(engine):
            refresh(engine, system_key)


def _name_systems(engine: Engine) -> None:
    """Name the system of runs of earlier versions, which did not store it."""
    for run in store.without_system(engine):
        try:
            store.set_system(engine, run["id"], *system_of(parse_as(RunConfig, run["config"])))
        except NQSError as error:  # a component that has left the registry
            LOG.info("run %s has no system: %s", run["id"], error)


def lookup(engine: Engine, system: System, level: int = 0) -> dict[str, Any]:
    """All rows of a level of a system, and what is nearest where there is none; energies in the system's units."""
    fields, factor = canonical(system)
    sector = sector_label(system)
    rows = _family(engine, fields)
    matches = best(rows, fields, sector, level)
    if not matches or matches[0]["bound"] != "exact":
        matches = [*_cheap(system, level), *matches]
    near = [] if "hash" in fields else nearest(rows, fields, sector, level)
    between = None if "hash" in fields or level else bracket(rows, fields, sector)
    limits = None
    if between is not None:
        upper = between.upper / factor if math.isfinite(between.upper) else None
        limits = {"lower": between.lower / factor, "upper": upper, "coupling": between.coupling}
    found = [row | {"energy_run": row["energy"] / factor} for row in matches]
    return {
        "key": key(fields),
        "sector": sector,
        "level": level,
        "n_sites": fields["n_sites"],
        "matches": found,
        "nearest": [
            {"coupling": n.coupling, "value": _value(n.row, n.coupling), "distance": n.distance, "row": n.row}
            for n in near
        ],
        "bracket": limits,
        "text": sentence(as_reference(matches[0], factor)) if matches else "no reference is known for this system",
    }


def _cheap(system: System, level: int) -> list[dict[str, Any]]:
    """What is known without a table, as a row that is not in it."""
    try:
        found = None if level else _computed(system)
    except FAILURES as error:
        LOG.info("no reference was computed: %s: %.200s", type(error).__name__, error)
        found = None
    about = {"id": None, "origin": "computed", "run_id": None, "created": None}
    return [] if found is None else [about | as_row(found, system)]


def contradiction(engine: Engine, own: OwnReference) -> str:
    """Why an energy cannot be that of its level, as far as exact energies tell; empty where nothing speaks against it.

    An upper bound may lie anywhere above the truth; an estimate counts with five times its uncertainty.
    """
    known = lookup(engine, own, own.level)
    exact = [row for row in known["matches"] if row["bound"] == "exact" and row["origin"] != "user"]
    if exact:
        low = high = exact[0]["energy_run"]
        said = f"the level is known exactly: {low:.12g} ({exact[0]['method']})"
    elif known["bracket"] is not None:
        low, high = known["bracket"]["lower"], known["bracket"]["upper"]
        said = f"neighbours in {known['bracket']['coupling']} bound the level: {low:.8g} to " + (
            "any energy" if high is None else f"{high:.8g}"
        )
    else:
        return ""
    room = 1e-8 * max(1.0, abs(low)) + 5 * (own.uncertainty or 0.0)
    if own.bound == "estimate" and own.uncertainty is None:
        room = 0.05 * max(1.0, abs(low))
    if own.energy < low - room or (own.bound != "upper" and high is not None and own.energy > high + room):
        return f"energy {own.energy:.12g} contradicts what is known: {said}"
    return ""


def _value(row: Mapping[str, Any], coupling: str) -> float | None:
    """A coupling of a row, also where the row belongs to a simpler model in which it is fixed."""
    fixed = {("heisenberg", "J2"): 0.0, ("heisenberg", "Delta"): 1.0}
    return row["couplings"].get(coupling, fixed.get((row["hamiltonian"], coupling)))


def _family(engine: Engine, fields: Fields) -> list[dict[str, Any]]:
    """Every row on the same lattice, and those of the very system."""
    table = reference_energies.c
    same = sa.and_(table.lattice == fields.get("lattice"), table.n_sites == fields["n_sites"])
    query = sa.select(*[table[name] for name in SHOWN]).where(sa.or_(same, table.key == key(fields)))
    with reading(engine) as connection:
        return [plain(row) for row in connection.execute(query).mappings()]


def _in_table(engine: Engine, fields: Fields, factor: float, sector: str) -> Reference | None:
    table = reference_energies.c
    where = (table.key == key(fields), table.level == 0, table.sector.in_(ground_sectors(fields, sector)))
    with reading(engine) as connection:
        rows = connection.execute(sa.select(*[table[name] for name in SHOWN]).where(*where)).mappings().all()
    ranked = best([plain(row) for row in rows], fields, sector)
    return as_reference(ranked[0], factor) if ranked else None


def _computed(config: System) -> Reference | None:
    try:
        cost = estimate(config)
    except TooLargeError:
        return None
    if cost is None:
        return compute(config, method="analytic")[0]
    if cost.seconds > CHEAP_SECONDS:
        return None
    return _remembered(config.model_dump_json(include={"lattice", "hamiltonian", "sector"}))


@functools.lru_cache(REMEMBERED)
def _levels(system: str, n_states: int) -> tuple[Reference, list[float]] | None:
    return sum_of_levels(System.model_validate_json(system), n_states)


@functools.lru_cache(REMEMBERED)
def _remembered(system: str) -> Reference:
    return compute(System.model_validate_json(system), method="exact")[0]
