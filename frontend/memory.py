"""Memory of visits that are over, given back to the system: a class that comes together leaves no mark for ever."""

import ctypes
import gc
import sys
from collections.abc import Callable
from typing import Any

from tornado.ioloop import PeriodicCallback

LOOK_SECONDS = 10.0


class Memory:
    """Gives memory back when sessions have ended since the last look.

    What a session held is many small pieces, between which those of later ones lie; the C library keeps their pages
    until somebody asks for them.

    Args:
        count: how many sessions there are.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._most = 0

    def look(self) -> bool:
        """Give back what there is; whether any session had ended."""
        now = self._count()
        ended, self._most = now < self._most, now
        if ended:
            gc.collect()
            _trim()
        return ended


def watch(server: Any) -> PeriodicCallback:
    """Look at the sessions of a Bokeh server now and then; started with its loop."""
    memory = Memory(lambda: len(server.get_sessions()))

    def look() -> None:
        memory.look()

    callback = PeriodicCallback(look, 1000 * LOOK_SECONDS)
    callback.start()
    return callback


def _trim() -> None:
    """Return free pages of the heap; glibc alone keeps them, and alone can be asked."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
