"""Records of an attempt on the local disk, one JSON line each: they outlive the process and an absent database.

The file is cut into segments named by the index of their first record, so that what the database holds can go.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from backend.strict import dumps
from nqs_core.events import decoded

SEGMENT = 20_000  # records; about 8 MB


class HeldError(Exception):
    """The disk is full, and the run was asked to stop while it waited for room."""


def encode(record: dict[str, Any]) -> bytes:
    """One line of JSON."""
    return dumps(record) + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The record of one line."""
    return decoded(orjson.loads(line))


class Spool:
    """Append-only file of one attempt; one `write` per record, so that kill -9 tears at most the last line."""

    def __init__(self, folder: Path, attempt: int, *, segment: int = SEGMENT, pause: float = 0.5) -> None:
        self._folder, self._attempt = folder, attempt
        self._segment, self._pause = segment, pause
        self._count = self._trimmed = 0
        self._file = open(_path(folder, attempt, 0), "ab", buffering=0)  # noqa: SIM115
        self._size = 0

    def append(self, line: bytes, give_up: Callable[[], bool], waiting: Callable[[], None]) -> None:
        """Write one line; on a full disk wait for room, since a record that is dropped is a step that is missing.

        Raises:
            HeldError: `give_up` became true while waiting.
        """
        while not self._write(line):
            waiting()
            if give_up():
                raise HeldError
            time.sleep(self._pause)
        self._count += 1

    def _write(self, line: bytes) -> bool:
        try:
            if self._count and self._count % self._segment == 0 and self._size:
                path = _path(self._folder, self._attempt, self._count)
                self._file.close()
                self._file, self._size = open(path, "ab", buffering=0), 0  # noqa: SIM115
            if self._file.write(line) == len(line):
                self._size += len(line)
                return True
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
        if not self._file.closed:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), self._size)  # no torn line in the middle
        return False

    def trim(self, acked: int) -> None:
        """Remove the segments that hold only records which the database has."""
        full = min(acked, self._count - 1) // self._segment
        if full == self._trimmed:
            return
        self._trimmed = full
        for first, path in segments(self._folder, self._attempt):
            if first < full * self._segment:
                path.unlink(missing_ok=True)

    def close(self, *, remove: bool) -> None:
        """Close the file; with `remove` the database has everything."""
        self._file.close()
        if remove:
            for _, path in segments(self._folder, self._attempt):
                path.unlink(missing_ok=True)


def _path(folder: Path, attempt: int, first: int) -> Path:
    return folder / f"spool-{attempt:04d}-{first:010d}.jsonl"


def segments(folder: Path, attempt: int) -> list[tuple[int, Path]]:
    """(index of the first record, path), in order."""
    paths = sorted(folder.glob(f"spool-{attempt:04d}-*.jsonl"))
    return [(int(path.stem.rsplit("-", 1)[1]), path) for path in paths]


def read(folder: Path, attempt: int, skip: int) -> list[dict[str, Any]]:
    """The records of an attempt from index `skip` on, up to the first that is torn."""
    out: list[dict[str, Any]] = []
    for first, path in segments(folder, attempt):
        lines = path.read_bytes().split(b"\n")[:-1]
        for line in lines[max(0, skip - first) :]:
            try:
                out.append(decode(line))
            except ValueError:  # the machine went down: what follows cannot be trusted
                return out
    return out
