"""What a server writes is for its owner alone: folders 0700, files 0600, those of an earlier version too."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from backend.settings import Settings

UMASK = 0o077
FOLDERS = ("logs", "runs", "jax-cache")
DATABASE = "spinscope.db"
FILES = ("serve.lock", "reserve")
SUFFIXES = ("", "-wal", "-shm", "-journal")  # of a database of SQLite


def tighten(settings: Settings) -> None:
    """Let nobody else in: not into what this process creates from now on, nor into what is in the data folder.

    The data folder itself is closed where it holds nothing but a server's own things: it may be a folder that its
    owner shares for other reasons.
    """
    os.umask(UMASK)
    folder = settings.data_dir
    folder.mkdir(parents=True, exist_ok=True)
    own = [folder / name for name in (*FOLDERS, *FILES)]
    own += [path.with_name(path.name + suffix) for path in _databases(settings) for suffix in SUFFIXES]
    for path in own:
        for inner in _loose(path):
            _close(inner)
    if {path.name for path in folder.iterdir()} <= {path.name for path in own}:
        _close(folder)


def _databases(settings: Settings) -> Iterator[Path]:
    yield settings.data_dir / DATABASE
    address = sa.make_url(settings.db_url)
    if address.get_backend_name() == "sqlite" and address.database:
        yield Path(address.database)


def _loose(path: Path) -> Iterator[Path]:
    """What is in a folder, and last the folder: once it is closed, what is in it is."""
    if path.is_dir() and not path.is_symlink() and path.stat().st_mode & UMASK:
        for folder, names, files in os.walk(path, topdown=False):
            yield from (Path(folder, name) for name in (*files, *names))
    yield path


def _close(path: Path) -> None:
    with contextlib.suppress(OSError):  # it went away, or it is not ours to change
        mode = path.lstat().st_mode
        if mode & UMASK and not stat.S_ISLNK(mode):
            path.chmod(stat.S_IMODE(mode) & ~UMASK)
