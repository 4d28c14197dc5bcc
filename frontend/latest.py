"""Questions of which only the last one matters."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class Latest:
    """Calls `ask` once nobody has called for `pause` seconds; a newer call ends the one before, also half-way."""

    def __init__(self, ask: Callable[..., Awaitable[None]], pause: float = 0.0) -> None:
        self._ask, self._pause = ask, pause
        self._task: asyncio.Task[None] | None = None

    def __call__(self, *args: Any) -> None:
        self.cancel()
        self._task = asyncio.get_running_loop().create_task(self._run(*args))

    async def _run(self, *args: Any) -> None:
        if self._pause:
            await asyncio.sleep(self._pause)
        await self._ask(*args)

    def cancel(self) -> bool:
        """Ask no more; True where an answer was still to come."""
        if self._task is None or self._task.done():
            return False
        return self._task.cancel()
