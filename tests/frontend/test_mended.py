"""What is mended in Panel, on Panel's own functions with a socket that writes when it is told to."""

import asyncio
from typing import Any

import pytest
from bokeh.document import Document
from panel.io import document

from frontend.mended import mend_writes
from tests.asynchronous import finish


class Socket:
    """Holds each message back until `free` is set."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.free = asyncio.Event()

    def take(self, message: str) -> list[Any]:
        self.written.append(message)
        return [asyncio.ensure_future(self.free.wait())]


class Connection:
    """As much of Bokeh's connection as Panel asks for: a message is its event."""

    class protocol:
        @staticmethod
        def create(kind: str, events: list[str]) -> str:
            return "+".join(events)

    def __init__(self) -> None:
        self._socket = Socket()


@pytest.fixture(autouse=True)
def sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[Any, Any] = {Socket: lambda connection, msg=None: connection._socket.take(msg)}
    monkeypatch.setattr(document, "extra_socket_handlers", handlers)
    monkeypatch.setattr(document, "_dispatch_msgs", document._dispatch_msgs)  # mended for this test only


async def write_two() -> list[str]:
    """A message that is told while the one before it is being written."""
    doc, connection = Document(), Connection()

    def send(event: str) -> None:
        document.schedule_write_events(doc, [connection], [event])  # type: ignore[arg-type, list-item]

    send("loading")
    await asyncio.sleep(0)
    while not connection._socket.written:
        await asyncio.sleep(0)
    # Written now, and the first task is woken at the loop's next turn, before the second can begin.
    connection._socket.free.set()
    await asyncio.sleep(0)
    send("loaded")
    for _ in range(50):
        await asyncio.sleep(0)
    return connection._socket.written


def test_what_is_told_while_a_message_is_written_is_written_too() -> None:
    mend_writes()
    assert finish(write_two()) == ["loading", "loaded"]


def test_panel_still_needs_it() -> None:
    """Fails when Panel has mended it: then `frontend.mended` can go."""
    unmended = getattr(document._dispatch_msgs, "__wrapped__", document._dispatch_msgs)
    document._dispatch_msgs = unmended
    assert finish(write_two()) == ["loading"]


def test_mending_twice_is_mending_once() -> None:
    mend_writes()
    mended = document._dispatch_msgs
    mend_writes()
    assert document._dispatch_msgs is mended
