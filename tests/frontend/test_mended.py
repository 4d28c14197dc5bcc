"""What is mended in Panel, on Panel's own functions with a socket that writes when it is told to."""

import asyncio
import gc
import weakref
from functools import partial
from typing import Any

import panel_material_ui as pmui
import pytest
from bokeh.document import Document
from panel.io import document
from panel.io.state import state
from panel_material_ui.notifications import NotificationArea

from frontend.mended import mend_busy, mend_notifications, mend_writes
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


class Context:
    """As much of Bokeh's session context as Panel asks for when a session has ended."""

    id = "ended"

    def __init__(self, doc: Document) -> None:
        self._document = doc


def entries_after_a_session() -> int:
    """How many roots the process still holds after a session with a notification area, ended as Bokeh ends it."""

    async def session() -> int:
        before = len(state._views)
        doc, area = Document(), NotificationArea()
        state._notifications[doc] = area
        doc.destroy = partial(document._destroy_document, doc)  # type: ignore[method-assign]
        doc.on_session_destroyed(state._destroy_session)
        doc.add_root(area.get_root(doc))
        callbacks = doc.session_destroyed_callbacks
        document._destroy_document(doc, None)
        for callback in callbacks:
            callback(Context(doc))  # type: ignore[arg-type]
        return len(state._views) - before

    return finish(session())


def test_a_session_takes_its_notification_area_with_it() -> None:
    mend_notifications()
    assert entries_after_a_session() == 0


def test_panel_still_keeps_notification_areas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when Panel lets them go: then `mend_notifications` can go."""
    unmended = getattr(NotificationArea.get_root, "__wrapped__", NotificationArea.get_root)
    monkeypatch.setattr(NotificationArea, "get_root", unmended)
    assert entries_after_a_session() == 1


def test_a_page_is_garbage_once_nobody_shows_it() -> None:
    mended, as_it_comes = pmui.Page(), pmui.Page()
    mend_busy(mended)
    alive, kept = weakref.ref(mended), weakref.ref(as_it_comes)
    del mended, as_it_comes
    gc.collect()
    assert alive() is None
    assert kept() is not None  # if it is None, Panel lets pages go itself: then `mend_busy` can go
