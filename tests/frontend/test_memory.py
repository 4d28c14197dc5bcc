"""What visits leave behind goes back to the system when they are over."""

import ctypes
import os
import sys
import weakref
from pathlib import Path

import pytest

from frontend.memory import Memory

PIECES, SIZE = 60_000, 1000


class Visit:
    """Garbage as a session leaves it: it refers to itself."""

    def __init__(self) -> None:
        self.own = self


def resident() -> float:
    """MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_garbage_goes_when_a_session_has_ended_and_not_before() -> None:
    counts = iter([2, 2, 3, 1, 1])
    memory = Memory(lambda: next(counts))
    gone = weakref.ref(Visit())
    assert [memory.look() for _ in range(3)] == [False] * 3
    assert memory.look()
    assert gone() is None
    assert not memory.look()


@pytest.mark.skipif(sys.platform != "linux", reason="another C library")
def test_pages_that_only_the_heap_holds_are_returned() -> None:
    c = ctypes.CDLL(None)
    if not hasattr(c, "malloc_trim"):
        pytest.skip("another C library than glibc")
    c.malloc.restype = ctypes.c_void_p
    pieces = [ctypes.c_void_p(c.malloc(SIZE)) for _ in range(PIECES)]
    for piece in pieces:
        ctypes.memset(piece, 1, SIZE)
    last = pieces.pop()  # what lies above keeps the heap from shrinking
    for piece in pieces:
        c.free(piece)
    held = resident()
    counts = iter([1, 0])
    memory = Memory(lambda: next(counts))
    assert not memory.look()
    assert resident() > held - 10
    assert memory.look()
    assert resident() < held - 40
    c.free(last)
