"""Coroutines in tests that may share a process with those of the page, whose driver keeps a loop running."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def finish(story: Coroutine[Any, Any, Result]) -> Result:
    """What the coroutine returns, from a loop of its own in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, story).result()
