"""The websocket of the live feed."""

import asyncio
import contextlib
import time

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.feed import PERIOD, Client, Hub
from backend.strict import loads
from nqs_core.errors import NQSError

MAX_CLIENTS = 200
MAX_MESSAGE = 64_000  # characters
MAX_RATE = 100.0  # messages a second, and as many at once

router = APIRouter()


class Wish(BaseModel):
    """What a browser sends: what it wants, or the number of the frame it has processed."""

    model_config = ConfigDict(strict=True, extra="forbid")

    sub: int | None = Field(None, ge=0, le=2**53)
    runs: list[str] = Field(default_factory=list, max_length=100)
    spins: str | None = Field(None, max_length=64)
    paused: bool = False
    ack: int | None = Field(None, ge=0)


@router.websocket("/ws/feed")
async def feed(socket: WebSocket) -> None:
    """Serve one browser until it goes or breaks the rules."""
    hub: Hub = socket.app.state.hub
    if len(hub.clients) >= MAX_CLIENTS:
        await socket.close(1013, "too many browsers are connected")
        return
    await socket.accept()
    client = hub.join()
    tasks = [asyncio.create_task(_listen(socket, client)), asyncio.create_task(_speak(socket, client))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hub.leave(client)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        code, reason = tasks[0].result() if not tasks[0].cancelled() and not tasks[0].exception() else (1011, "")
        await socket.close(code, reason)


async def _listen(socket: WebSocket, client: Client) -> tuple[int, str]:
    """Take wishes and acknowledgements; returns why the connection ends."""
    budget, last = MAX_RATE, time.monotonic()
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        now = time.monotonic()
        budget, last = min(MAX_RATE, budget + MAX_RATE * (now - last)) - 1, now
        text = message.get("text")
        if budget < 0:
            return 1008, "too many messages"
        if text is None or len(text) > MAX_MESSAGE:
            return 1009, "messages are JSON text of at most 64 kB"
        try:
            wish = Wish.model_validate(loads(text.encode("utf-8", "replace")))
        except (ValidationError, NQSError):
            return 1008, 'send {"sub", "runs", "spins", "paused"} or {"ack"}'
        if wish.ack is not None:
            client.acknowledge(wish.ack)
        if wish.sub is not None:
            client.wish(wish.sub, [run[:64] for run in wish.runs], wish.spins, wish.paused)
    return 1000, ""


async def _speak(socket: WebSocket, client: Client) -> None:
    """Send what is new, at most ten frames a second once the history is through."""
    while True:
        await client.wake.wait()
        client.wake.clear()
        while (frame := client.next_frame()) is not None:
            await socket.send_bytes(frame)
            if not client.behind():
                await asyncio.sleep(PERIOD)
