"""Runs of the dashboard's data folder for the command line: by the first characters of the id."""

from typing import Any

from sqlalchemy import Engine

from backend import store
from backend.serve import open_database
from backend.settings import Settings
from nqs_core.errors import NQSError


def open_runs(settings: Settings) -> Engine:
    """The store of a data folder that holds runs.

    Raises:
        NQSError: there is none.
    """
    if settings.db_url.startswith("sqlite") and not (settings.data_dir / "spinscope.db").exists():
        raise NQSError(f"there are no runs in {settings.data_dir}; name the folder with --data-dir")
    return open_database(settings.db_url)


def find_run(engine: Engine, settings: Settings, given: str) -> dict[str, Any]:
    """The one run whose id begins with `given`.

    Raises:
        NQSError: there is none, or more than one.
    """
    found, _ = store.list_runs(engine, search=given, archived="any", kind="any", limit=1000)
    found = [run for run in found if given and run["id"].startswith(given.lower())]
    if len(found) != 1:
        how = "there is no run" if not found else f"{len(found)} runs have an id"
        raise NQSError(f"{how} that begins with {given!r} in {settings.data_dir}")
    return store.get_run(engine, found[0]["id"]) or found[0]
