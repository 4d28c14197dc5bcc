"""The table of reference energies: shipped rows follow their file, users' rows are theirs."""

from __future__ import annotations

import csv
import hashlib
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from backend.models import reference_energies, reference_series
from backend.problems import NotFound
from backend.store import StateError, reading
from nqs_core.config import OwnReference, System
from nqs_core.errors import ConfigError
from nqs_core.reference import Reference, data_folder, load_table
from nqs_core.reference.literature import as_row

LOG = logging.getLogger("spinscope.references")
_OWN = {"id", "content_hash", "origin", "run_id", "created"}
COLUMNS = tuple(str(column.name) for column in reference_energies.columns if column.name not in _OWN)
SHOWN = ("id", "origin", "run_id", "created", *COLUMNS)
FILTERS = ("hamiltonian", "lattice", "key", "sector", "method", "bound", "origin")
FACETS = ("hamiltonian", "lattice", "method", "bound", "origin")
SORTS = ("id", "key", "n_sites", "sector", "level", "method", "bound", "energy", "energy_per_site", "created", "source")


def load(engine: Engine) -> bool:
    """Bring the shipped rows to the state of the files, in one transaction; other rows are left alone.

    Whether an energy came or went.
    """
    rows = [_typed(row) for row in _read("dmrg_series.csv")]
    with engine.begin() as connection:
        changed = _sync(connection, reference_energies, load_table(), {"created": time.time()})
        _sync(connection, reference_series, rows, {})
    return changed


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


def digest(row: Mapping[str, Any]) -> str:
    """What tells one row from another."""
    return hashlib.sha256(orjson.dumps(dict(row), option=orjson.OPT_SORT_KEYS)).hexdigest()


def _sync(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], extra: dict[str, Any]) -> bool:
    wanted = {digest(row): row for row in rows}
    query = sa.select(table.c.content_hash, table.c.origin)
    present = {row.content_hash: row.origin for row in connection.execute(query)}
    gone = [found for found, origin in present.items() if origin == "shipped" and found not in wanted]
    for i in range(0, len(gone), 500):
        connection.execute(sa.delete(table).where(table.c.content_hash.in_(gone[i : i + 500])))
    new = [
        {**row, **extra, "origin": "shipped", "content_hash": found}
        for found, row in wanted.items()
        if found not in present
    ]
    if new:
        connection.execute(table.insert(), new)
    return bool(gone or new)


def search(
    engine: Engine,
    *,
    search: str | None = None,
    sort: str | None = None,
    limit: int = 100,
    offset: int = 0,
    **filters: str | None,
) -> tuple[list[dict[str, Any]], int]:
    """A page of the table and the number of all rows that match.

    Args:
        engine: the store.
        search: words that a row must all contain.
        sort: one of SORTS, with a leading '-' for descending.
        limit: rows of a page.
        offset: rows before it.
        filters: exact values of the columns in FILTERS; a list is separated by '|'.

    Raises:
        ValueError: an unknown `sort`.
    """
    descending, name = (sort or "id").startswith("-"), (sort or "id").lstrip("-")
    if name not in SORTS:
        raise ValueError(f"cannot sort by {name[:40]!r}; choose one of {', '.join(SORTS)}")
    table = reference_energies.c
    where = _where(search, filters)
    order = sa.desc(table[name]) if descending else sa.asc(table[name])
    query = sa.select(*[table[column] for column in SHOWN]).where(*where).order_by(order.nulls_last(), table.id)
    with reading(engine) as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(reference_energies).where(*where))
        rows = connection.execute(query.limit(limit).offset(offset)).mappings()
        return [plain(row) for row in rows], total.scalar_one()


def _where(search: str | None, filters: Mapping[str, str | None]) -> list[Any]:
    table = reference_energies.c
    where: list[Any] = [
        # A key holds '|' itself.
        table[name] == value if name == "key" else table[name].in_(value.split("|"))
        for name, value in filters.items()
        if value and name in FILTERS
    ]
    for word in (search or "").split():
        fields = (table.key, table.sector, table.method, table.detail, table.source, table.note)
        where.append(sa.or_(*[field.icontains(word, autoescape=True) for field in fields]))
    return where


def plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row with ordinary strings as names: orjson refuses SQLAlchemy's own kind."""
    return {str(name): value for name, value in row.items()}


def facets(engine: Engine) -> dict[str, list[str]]:
    """The values that the columns in FACETS have."""
    with reading(engine) as connection:
        columns = [reference_energies.c[name] for name in FACETS]
        return {str(c.name): list(connection.execute(sa.select(c).distinct().order_by(c)).scalars()) for c in columns}


def get(connection: Connection, row_id: int) -> dict[str, Any]:
    """One row.

    Raises:
        NotFound: there is none with this id.
    """
    query = sa.select(*[reference_energies.c[name] for name in SHOWN]).where(reference_energies.c.id == row_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound(f"there is no reference energy {row_id}")
    return plain(row)


def add(engine: Engine, own: OwnReference, system: tuple[str, str]) -> dict[str, Any]:
    """Store a user's energy in canonical form, and return its row. `system`: canonical key and sector label.

    Raises:
        ConfigError: this very energy is in the table already, or it is too large in canonical units.
    """
    kind = "not given" if own.uncertainty is None else "standard error"
    about = (own.energy, own.method, own.bound, own.uncertainty, kind, own.source, system[1], own.level, system[0])
    row = as_row(Reference(*about), own)
    if not all(math.isfinite(row[name] or 0.0) for name in ("energy", "energy_per_site", "uncertainty")):
        raise ConfigError(f"energy {own.energy:g} in the units of this Hamiltonian is beyond double precision")
    identity = {name: row[name] for name in ("key", "sector", "level", "method", "energy", "source")}
    row |= {name: getattr(own, name) or None for name in ("url", "licence", "note")}
    row |= {"origin": "user", "content_hash": digest(identity | {"origin": "user"}), "created": time.time()}
    try:
        with engine.begin() as connection:
            new = connection.execute(reference_energies.insert().returning(reference_energies.c.id), row).scalar_one()
            return get(connection, new)
    except IntegrityError:
        raise ConfigError("this energy of this source is in the table already") from None


def remove(engine: Engine, row_id: int) -> dict[str, Any]:
    """Delete a row that was added or computed here; returns what it was.

    Raises:
        NotFound: there is no such row.
        StateError: the row is shipped.
    """
    with engine.begin() as connection:
        row = get(connection, row_id)
        if row["origin"] == "shipped":
            raise StateError("this row is shipped with the program and cannot be deleted")
        connection.execute(sa.delete(reference_energies).where(reference_energies.c.id == row_id))
    return row


def keep(engine: Engine, found: Reference, system: System) -> None:
    """Store an energy that was computed while somebody waited, so that it is computed once."""
    row = computed_row(found, system, None)
    try:
        with engine.begin() as connection:
            connection.execute(reference_energies.insert(), row)
    except SQLAlchemyError as error:  # somebody else was first, or the database is busy: it is known anyway
        LOG.info("a computed reference was not stored: %.200s", error)


def computed_row(found: Reference, system: System, run_id: str | None) -> dict[str, Any]:
    """The row of an energy that was computed here, by the job `run_id` where there was one."""
    row = as_row(found, system)
    identity = {name: row[name] for name in ("key", "sector", "level", "method")} | {"origin": "computed"}
    identity |= {"run": run_id} if run_id else {}
    return row | {"origin": "computed", "run_id": run_id, "content_hash": digest(identity), "created": time.time()}
