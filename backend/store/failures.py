"""A full disk and a damaged file, as the database tells of them: one sentence each, with the file and the way out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import orjson
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import SQLAlchemyError

from nqs_core.errors import NQSError

FULL_POSTGRES = "53100"  # SQLSTATE disk_full
MEANING = {sqlite3.SQLITE_FULL: "full", sqlite3.SQLITE_CORRUPT: "damaged", sqlite3.SQLITE_NOTADB: "damaged"}
# Where there is no room for its shared memory or a first page, SQLite speaks of input and output, or cannot open.
UNCLEAR = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


class DiskFullError(NQSError, SQLAlchemyError):
    """There is no room for what was to be written; what is there is untouched, and may work again at any time."""

    def __init__(self, where: object) -> None:
        super().__init__(
            f"the disk is full: nothing can be written to {where}; free some space, for example by deleting runs"
        )


class DamagedError(NQSError, SQLAlchemyError):
    """The file of the database does not hold what was once written."""

    def __init__(self, where: object, reason: object) -> None:
        super().__init__(
            f"the database {where} is damaged ({reason}): stop the server and put a copy of the file in its place, "
            "or save what can be read with the sqlite3 command .recover; --data-dir with another folder starts anew"
        )


def translate(engine: Engine, where: str, full: Callable[[], bool]) -> None:
    """Let `engine` raise these errors instead of the driver's own.

    Args:
        engine: of the database.
        where: the file, or whatever names the database without its password.
        full: whether there is no room, for errors that leave it open.
    """

    @event.listens_for(engine, "handle_error")
    def _(context: ExceptionContext) -> None:
        error = context.original_exception
        meaning = _meaning(error)
        if meaning == "full" or (meaning == "unclear" and full()):
            raise DiskFullError(where) from error
        if meaning == "damaged":
            raise DamagedError(where, str(error).splitlines()[0]) from error


def _meaning(error: BaseException) -> str | None:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:
            return "damaged" if str(error).startswith("Could not decode to UTF-8") else None
        return "unclear" if code & 0xFF in UNCLEAR else MEANING.get(code & 0xFF)
    return "full" if getattr(error, "sqlstate", None) == FULL_POSTGRES else None


def loader(where: str) -> Callable[[str], Any]:
    """What reads the JSON of a column."""

    def load(text: str) -> Any:
        try:
            return orjson.loads(text)
        except ValueError as error:
            raise DamagedError(where, f"a value is no JSON: {error}") from None

    return load
