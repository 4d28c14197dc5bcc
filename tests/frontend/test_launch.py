"""The form of a new run, with a server that goes away and comes back."""

import asyncio
from typing import Any

import httpx
import pytest

from frontend.client import Client
from frontend.state import Hub
from frontend.views.launch import LaunchPanel
from nqs_core.catalog import catalog
from tests.asynchronous import finish
from tests.frontend.test_network_card import ANSWER

AWAY = "The server does not answer"


def test_what_a_press_without_connection_left_goes_when_the_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontend.latest.AGAIN_SECONDS", 0.01)
    online = False
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if not online:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json=ANSWER)

    async def launched(run: Any) -> None:
        raise AssertionError("nothing was launched")

    async def scene() -> None:
        nonlocal online
        hub = Hub(Client("http://api", transport=httpx.MockTransport(answer)))
        hub.catalog = catalog()
        panel = LaunchPanel(hub, launched)
        await panel._launch(None)
        assert AWAY in panel.alert.object
        assert panel.alert.visible
        assert not panel.button.disabled
        await asyncio.sleep(0.6)
        assert asked.count("/api/validate") > 1
        assert "your entries stay here" in panel.facts.object
        online = True
        await asyncio.sleep(0.2)
        assert not panel.alert.visible
        assert AWAY not in panel.facts.object
        settled = len(asked)
        await asyncio.sleep(0.1)
        assert len(asked) == settled
        assert asked.count("/api/runs") == 1

    finish(scene())
