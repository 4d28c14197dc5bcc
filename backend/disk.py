"""Room on the disk, and a reserve by which runs can be stopped and deleted where there is none."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from pathlib import Path

NEEDED = 500_000  # bytes; a batch of records with everything that SQLite writes for it
PLENTY = 1_000_000_000  # bytes free beyond which nobody tries, unless something failed
RESERVE = 4_000_000  # bytes
SECONDS = 2.0  # between two tries
FULL = (errno.ENOSPC, errno.EDQUOT)


class Room:
    """What a data folder can take.

    Args:
        folder: on the disk in question.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._reserve = folder / "reserve"
        self._full, self._noticed, self._next = False, False, 0.0

    def notice(self) -> None:
        """Something could not be written: look at once, however much room the disk says it has (quotas)."""
        self._noticed, self._next = True, 0.0

    def full(self) -> bool:
        """Whether there is no room for a batch of records, as of a moment ago."""
        if time.monotonic() >= self._next:
            self._full = (self._noticed or self.free() < PLENTY) and not takes(self.folder)
            self._noticed = self._full
            self._next = time.monotonic() + SECONDS
        return self._full

    def free(self) -> int:
        """Bytes that this user may still write, quotas aside."""
        try:
            return shutil.disk_usage(self.folder).free
        except OSError:
            return 0

    def keep(self) -> None:
        """Have a reserve where there is room enough for one."""
        if not self._reserve.exists() and self.free() > 10 * RESERVE:
            with contextlib.suppress(OSError):
                _fill(self._reserve, RESERVE)

    def give_up(self) -> None:
        """Let others have the reserve."""
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)
        self.notice()


def takes(folder: Path) -> bool:
    """Whether a folder takes a batch of records now."""
    try:
        with tempfile.TemporaryFile(dir=folder, prefix="room-") as file:
            file.write(os.urandom(NEEDED))
            file.flush()
    except OSError as error:
        return error.errno not in FULL
    return True


def _fill(path: Path, size: int) -> None:
    """A file that takes `size` bytes on a disk that compresses, too."""
    with open(path, "wb") as file:
        try:
            file.write(os.urandom(size))
            file.flush()
        except OSError:
            path.unlink()
            raise
