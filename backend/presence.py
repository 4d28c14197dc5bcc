"""Which runs there are: all that are asked for at once are one query, so that thousands of unknown ones cost little."""

import asyncio

from sqlalchemy import Engine

from backend import store


class Presence:
    """Answers whether runs exist, for the tasks of one event loop.

    Args:
        engine: the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked: dict[str, asyncio.Future[bool]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def of(self, run: str) -> bool:
        """Whether there is a run with this identifier."""
        if not self._asked:
            self._asking = asyncio.create_task(self._ask())
        answer = self._asked.setdefault(run, asyncio.get_running_loop().create_future())
        return await asyncio.shield(answer)  # others wait for it, too

    async def _ask(self) -> None:
        await asyncio.sleep(0)  # everybody who asks in this turn of the loop
        asked, self._asked = self._asked, {}
        try:
            found = await asyncio.to_thread(store.existing, self._engine, list(asked))
        except Exception as error:
            for answer in asked.values():
                answer.set_exception(error)
            return
        for run, answer in asked.items():
            answer.set_result(run in found)
