"""Connections whose request never comes, on a real socket."""

import socket
import time
from typing import Any

import pytest

from backend.patience import PatientProtocol
from tests.backend.serving import serving


class Quick(PatientProtocol):
    """Half a second of patience."""

    header_seconds = 0.5


async def slow(scope: Any, receive: Any, send: Any) -> None:
    """Answer after the body has come."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def until_closed(client: socket.socket) -> float:
    """Seconds until the server ends the connection."""
    start = time.monotonic()
    client.settimeout(20)
    while client.recv(1000):
        pass
    return time.monotonic() - start


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "])
def test_a_request_that_never_comes_ends_the_connection(begun: bytes) -> None:
    with serving(slow, http=Quick, lifespan="off") as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(begun)
        assert until_closed(client) > 0.3


def test_a_body_may_take_longer_than_the_headers() -> None:
    with serving(slow, http=Quick, lifespan="off") as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
        time.sleep(1)
        client.sendall(b"b")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        client.sendall(b"GET / HTTP/1.1\r\nHost:")  # the next request of a kept connection has its own limit
        until_closed(client)
