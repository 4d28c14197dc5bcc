"""Open a database: SQLite in WAL mode with honest transactions, or PostgreSQL; bring its schema up to date."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from backend.disk import takes
from backend.models import SCHEMA_VERSION
from backend.store.failures import DamagedError, loader, translate
from backend.strict import dumps

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
CHECK_STEP = 10_000  # instructions of SQLite between two looks at the clock
NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "afs", "fuse.sshfs",
    "fuse.glusterfs", "fuse.ceph", "pvfs2", "orangefs", "panfs",
}  # fmt: skip


class SchemaError(RuntimeError):
    """The database cannot be used by this version, or lies where SQLite is not safe."""


def open_engine(url: str, *, busy_seconds: float = 30.0, upgrade: bool = True) -> Engine:
    """An engine whose `begin()` takes the write lock at once and whose `reading()` never does.

    Raises:
        SchemaError: a newer schema, or SQLite on a network file system.
        DiskFullError: no room, now or in whatever is done with the engine.
        DamagedError: the file is damaged, as far as it was read.
    """
    address = sa.make_url(url)
    where = address.database or "memory" if address.get_backend_name() == "sqlite" else address.render_as_string()
    if address.get_backend_name() != "sqlite":
        engine = sa.create_engine(url, pool_pre_ping=True, json_serializer=_text, json_deserializer=loader(where))
    else:
        if address.database:
            folder = Path(address.database).absolute().parent
            folder.mkdir(0o700, parents=True, exist_ok=True)
            refuse_network(folder)
        engine = sa.create_engine(
            url, connect_args={"timeout": busy_seconds}, json_serializer=_text, json_deserializer=loader(where)
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    translate(engine, where, lambda: not takes(Path(address.database or "/").absolute().parent))
    if upgrade:
        migrate(engine)
    return engine


def _text(value: Any) -> str:
    return dumps(value).decode()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent view of the database that does not wait for writers."""
    options: dict[str, Any] = {"ro": True}
    if engine.dialect.name == "postgresql":
        options["isolation_level"] = "REPEATABLE READ"
    with engine.connect().execution_options(**options) as connection:
        yield connection


def check(engine: Engine, seconds: float) -> None:
    """Look for damaged pages of SQLite for a while; all of them are found at once only where the file is small.

    Raises:
        DamagedError: there is one.
    """
    if engine.dialect.name != "sqlite":
        return
    deadline = time.monotonic() + seconds
    with reading(engine) as connection:
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: time.monotonic() > deadline, CHECK_STEP)
        try:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        except OperationalError:  # interrupted
            return
        finally:
            driver.set_progress_handler(None, 0)
    if found != "ok":
        raise DamagedError(engine.url.database, str(found).splitlines()[-1])


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not open transactions by itself
    deadline = time.monotonic() + 30
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:  # the switch to WAL does not honour the busy timeout
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")
    # Some systems overwrite what is deleted: that takes as much room in the log as the data, and a full disk has none.
    connection.execute("PRAGMA secure_delete=OFF")


def _begin(connection: Connection) -> None:
    # A deferred transaction that reads first cannot wait for the write lock: it fails instead.
    read_only = connection.get_execution_options().get("ro")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def refuse_network(folder: Path, mountinfo: str | None = None) -> None:
    """WAL needs shared memory between processes, which network file systems do not give.

    Raises:
        SchemaError: `folder` lies on a network file system.
    """
    if mountinfo is None:
        table = Path("/proc/self/mountinfo")
        mountinfo = table.read_text() if table.exists() else ""
    best, kind = "", ""
    path = str(folder.resolve())
    for line in mountinfo.splitlines():
        fields, _, tail = line.partition(" - ")
        mount = fields.split()[4].replace("\\040", " ")
        inside = path == mount or path.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, tail.split()[0]
    if kind in NETWORK:
        raise SchemaError(
            f"the data folder {path} is on a network file system ({kind}), where SQLite loses data; "
            "choose a local folder with --data-dir, or set SPINSCOPE_DB to a PostgreSQL address"
        )


def _version(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("select version_num from alembic_version")).scalar()


def migrate(engine: Engine) -> None:
    """Bring the schema to this version, under a lock; nothing to do costs one read.

    Raises:
        SchemaError: the database was written by a newer version.
    """
    with reading(engine) as connection:
        if _version(connection) == SCHEMA_VERSION:
            return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("select pg_advisory_xact_lock(727472)"))
        present = _version(connection)
        if present is not None and present not in known:
            raise SchemaError(
                f"the database has schema {present}, this version knows up to {SCHEMA_VERSION}; update spinscope"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
