"""Visitors without a browser: each opens a page of the server as a browser does, over HTTP and Bokeh's websocket."""

import asyncio
import html
import json
import re
import time
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

PATIENCE = 300.0
TOKEN = re.compile(r'"token":"([^"]+)"')
READY = {
    "kind": "MessageSent",
    "msg_type": "bokeh_event",
    "msg_data": {"type": "event", "name": "document_ready", "values": {"type": "map", "entries": []}},
}


async def visit(address: str, said: str) -> float:
    """Seconds until the page's document is here and `said` has come after `onload`; then the visitor leaves."""
    start = time.monotonic()
    async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
        answer = (await client.get(address)).raise_for_status()
    found = TOKEN.search(html.unescape(answer.text))
    assert found is not None, "the page names no session"
    socket = address.replace("http", "ws", 1).rstrip("/") + "/ws"
    origin: Any = address.rstrip("/")
    protocols: Any = ["bokeh", found[1]]
    options: dict[str, Any] = {"max_size": None, "proxy": None, "open_timeout": PATIENCE}
    async with connect(socket, subprotocols=protocols, origin=origin, **options) as connection:
        async with asyncio.timeout(PATIENCE):
            assert (await _receive(connection))[0] == "ACK"
            await _send(connection, 1, "PULL-DOC-REQ", {})
            while (await _receive(connection))[0] != "PULL-DOC-REPLY":
                pass
            await _send(connection, 2, "PATCH-DOC", {"events": [READY]})
            while said not in (await _receive(connection))[1]:
                pass
        return time.monotonic() - start


async def _send(connection: ClientConnection, number: int, kind: str, content: dict[str, Any]) -> None:
    for part in ({"msgid": str(number), "msgtype": kind}, {}, content):
        await connection.send(json.dumps(part))


async def _receive(connection: ClientConnection) -> tuple[str, str]:
    """Kind and content of a message."""
    header = json.loads(await connection.recv())
    await connection.recv()
    content = await connection.recv()
    for _ in range(2 * header.get("num_buffers", 0)):
        await connection.recv()
    return header["msgtype"], str(content)


async def visit_together(address: str, count: int, said: str) -> list[float]:
    """Seconds of each of `count` visitors who come at once."""
    return list(await asyncio.gather(*(visit(address, said) for _ in range(count))))


async def visit_in_turn(address: str, count: int, said: str) -> None:
    """`count` visitors, one after the other."""
    for _ in range(count):
        await visit(address, said)
