"""The table of reference energies in the database: shipped rows, computed ones, and the one that belongs to a run."""

from __future__ import annotations

import csv
import functools
import hashlib
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from backend.models import reference_energies, reference_series
from backend.store import reading
from nqs_core.config import RunConfig
from nqs_core.errors import TooLargeError
from nqs_core.reference import FAILURES, Reference, compute, data_folder, estimate, load_table, verdict
from nqs_core.reference.literature import as_reference, best
from nqs_core.reference.matching import Fields, canonical, ground_sectors, key, sector_label

LOG = logging.getLogger("spinscope.references")
CHEAP_SECONDS = 1.0  # estimated time of a diagonalisation that is done while somebody waits
REMEMBERED = 256  # computed references of systems that the table does not take
_OWN = {"id", "content_hash", "origin", "run_id", "created"}
COLUMNS = tuple(str(column.name) for column in reference_energies.columns if column.name not in _OWN)
_BOUNDS = {"exact": "exact", "estimate": "estimate", "upper": "upper bound"}


def load(engine: Engine) -> None:
    """Bring the shipped rows to the state of the files, in one transaction; other rows are left alone."""
    series = [_typed(row) for row in _read("dmrg_series.csv")]
    with engine.begin() as connection:
        _sync(connection, reference_energies, load_table(), {"created": time.time()})
        _sync(connection, reference_series, series, {})


def _read(name: str) -> list[dict[str, str]]:
    with open(data_folder() / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _typed(row: Mapping[str, str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, text in row.items():
        kind = reference_series.c[name].type
        if text == "":
            out[name] = None
        elif isinstance(kind, sa.Boolean):
            out[name] = text == "1"
        elif isinstance(kind, sa.Integer):
            out[name] = int(text)
        else:
            out[name] = float(text) if isinstance(kind, sa.Double) else text
    return out


def _hash(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(dict(row), option=orjson.OPT_SORT_KEYS)).hexdigest()


def _sync(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], extra: dict[str, Any]) -> None:
    wanted = {_hash(row): row for row in rows}
    query = sa.select(table.c.content_hash, table.c.origin)
    present = {row.content_hash: row.origin for row in connection.execute(query)}
    gone = [digest for digest, origin in present.items() if origin == "shipped" and digest not in wanted]
    for i in range(0, len(gone), 500):
        connection.execute(sa.delete(table).where(table.c.content_hash.in_(gone[i : i + 500])))
    new = [
        {**row, **extra, "origin": "shipped", "content_hash": digest}
        for digest, row in wanted.items()
        if digest not in present
    ]
    if new:
        connection.execute(table.insert(), new)


def search(
    engine: Engine,
    *,
    hamiltonian: str | None = None,
    lattice: str | None = None,
    key: str | None = None,
    search: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[dict[str, Any]], int]:
    """A page of the table and the number of all rows that match."""
    table = reference_energies.c
    where: list[Any] = []
    for column, value in ((table.hamiltonian, hamiltonian), (table.lattice, lattice), (table.key, key)):
        if value:
            where.append(column == value)
    for word in (search or "").split():
        fields = (table.key, table.sector, table.method, table.detail, table.source, table.note)
        where.append(sa.or_(*[field.icontains(word, autoescape=True) for field in fields]))
    query = sa.select(table.id, table.origin, *[table[name] for name in COLUMNS]).where(*where)
    with reading(engine) as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(reference_energies).where(*where))
        rows = connection.execute(query.order_by(table.id).limit(limit).offset(offset)).mappings()
        return [{str(name): value for name, value in row.items()} for row in rows], total.scalar_one()


def match(engine: Engine, config: RunConfig) -> dict[str, Any] | None:
    """The best reference of a run: from the table, else by a closed form or a diagonalisation that takes no time.

    The energy is a total in the run's own units; None if nothing is known. A computation that fails must not keep
    anybody from submitting a run.
    """
    found = None
    try:
        fields, factor = canonical(config)
        sector = sector_label(config.sector)
        found = _in_table(engine, fields, factor, sector)
        if found is None or found.bound != "exact":
            found = _computed(engine, config, fields, factor) or found
    except FAILURES as error:
        LOG.warning("no reference was computed: %s: %.200s", type(error).__name__, error)
    return None if found is None else as_dict(found)


def as_dict(reference: Reference) -> dict[str, Any]:
    """A reference as the API shows it; `label` names the line in a plot."""
    names = ("energy", "method", "bound", "uncertainty", "uncertainty_kind", "source", "sector", "level", "key")
    label = f"{_BOUNDS[reference.bound]} ({reference.method})"
    return {name: getattr(reference, name) for name in names} | {"label": label}


def judge(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the energy of a run means against its reference; None where one of the two is missing.

    `kind` and `text` are those of `nqs_core.reference.verdict`.
    """
    known, energy, error = run["reference"], run["energy"], run["energy_error"]
    if energy is None or known is None or known.get("energy") is None:
        return None
    unused: dict[str, Any] = dict.fromkeys(("method", "uncertainty_kind", "source", "sector", "key"), "")
    about = {"energy": known["energy"], "bound": known["bound"], "uncertainty": known.get("uncertainty"), "level": 0}
    reference = Reference(**about, **unused)
    found = verdict(energy, math.inf if error is None else error, reference)  # without an error bar all is possible
    return {"kind": found.kind, "text": found.text}


def _in_table(engine: Engine, fields: Fields, factor: float, sector: str) -> Reference | None:
    table = reference_energies.c
    where = (table.key == key(fields), table.level == 0, table.sector.in_(ground_sectors(fields, sector)))
    with reading(engine) as connection:
        rows = connection.execute(sa.select(*[table[name] for name in COLUMNS]).where(*where)).mappings().all()
    ranked = best([dict(row) for row in rows], fields, sector)
    return as_reference(ranked[0], factor) if ranked else None


def _computed(engine: Engine, config: RunConfig, fields: Fields, factor: float) -> Reference | None:
    try:
        cost = estimate(config)
    except TooLargeError:
        return None
    if cost is None:
        return compute(config, method="analytic")[0]
    if cost.seconds > CHEAP_SECONDS:
        return None
    if "hash" in fields:  # no canonical form: the table would fill with systems that nobody asks for again
        return _remembered(config.model_dump_json(include={"lattice", "hamiltonian", "sector"}))
    found = compute(config, method="exact")[0]
    _keep(engine, found, fields, factor)
    return found


@functools.lru_cache(REMEMBERED)
def _remembered(system: str) -> Reference:
    return compute(RunConfig.model_validate_json(system), method="exact")[0]


def _keep(engine: Engine, found: Reference, fields: Fields, factor: float) -> None:
    """Store a computed energy in canonical form, so that it is computed once."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {
        **{name: fields[name] for name in ("hamiltonian", "lattice", "extent", "boundary", "n_sites", "couplings")},
        **{name: getattr(found, name) for name in ("method", "bound", "uncertainty_kind", "sector", "level")},
        "key": key(fields),
        "energy": found.energy * factor,
        "energy_per_site": found.energy * factor / fields["n_sites"],
        "uncertainty": None if found.uncertainty is None else found.uncertainty * factor,
        "detail": found.source,
        "source": "computed on this server",
    }
    identity = {name: row[name] for name in ("key", "sector", "level", "method")} | {"origin": "computed"}
    row |= {"origin": "computed", "content_hash": _hash(identity), "created": time.time()}
    try:
        with engine.begin() as connection:
            connection.execute(reference_energies.insert(), row)
    except SQLAlchemyError as error:  # somebody else was first, or the database is busy: it is known anyway
        LOG.info("a computed reference was not stored: %.200s", error)
