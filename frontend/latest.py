"""Questions of which only the last one matters, asked until the server answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from frontend.client import ApiError, Unreachable

AGAIN_SECONDS = 2.0  # while the server does not answer


class Latest:
    """Calls `ask` once nobody has called for `pause` seconds; a newer call ends the one before, also half-way.

    Where `ask` lets Unreachable pass it is called again, until it gets an answer; a refusal it has told itself.
    """

    def __init__(self, ask: Callable[..., Awaitable[None]], pause: float = 0.0) -> None:
        self._ask, self._pause = ask, pause
        self._task: asyncio.Task[None] | None = None

    def __call__(self, *args: Any) -> None:
        self.cancel()
        self._task = asyncio.get_running_loop().create_task(self._run(*args))

    async def _run(self, *args: Any) -> None:
        if self._pause:
            await asyncio.sleep(self._pause)
        while True:
            try:
                return await self._ask(*args)
            except Unreachable:
                await asyncio.sleep(AGAIN_SECONDS)
            except ApiError:
                return

    def cancel(self) -> bool:
        """Ask no more; True where an answer was still to come."""
        if self._task is None or self._task.done():
            return False
        return self._task.cancel()
