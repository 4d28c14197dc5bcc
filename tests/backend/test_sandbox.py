"""Requests that are as heavy as somebody can make them, beside short ones."""

import asyncio
import json
import multiprocessing
import socket
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend import store
from backend.main import create_app
from backend.problems import BusyError, GoneError
from backend.sandbox import QUEUE, Sandbox
from backend.settings import Settings
from backend.strict import Invalid, dumps
from nqs_core.errors import TooLargeError
from tests.asynchronous import finish
from tests.backend.helpers import wait
from tests.backend.serving import serving

# The symmetry group alone has 160 000 elements of 10 000 sites: about 40 CPU seconds and 15 GB.
HEAVY: dict[str, Any] = {
    "lattice": {"name": "square", "params": {"extent": [100, 100]}},
    "hamiltonian": {"name": "heisenberg"},
    "sector": {"sz": 0.0, "momentum": [0, 0], "point_group": "A1", "spin_flip": 1},
}
SMALL: dict[str, Any] = {"lattice": {"name": "chain", "params": {"length": 6}}, "hamiltonian": {"name": "tfim"}}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    chosen = Settings(data_dir=tmp_path, check_seconds=3.0)
    store.open_engine(chosen.db_url).dispose()
    return chosen


def test_short_requests_pass_long_ones_which_end_at_their_limit(settings: Settings) -> None:
    order: list[str] = []

    async def story() -> float:
        children, never = Sandbox(settings), asyncio.get_running_loop().create_future()
        await children.ask(never, "validate", dumps(SMALL))

        async def ask(name: str, body: Any) -> None:
            expected = (
                nullcontext()
                if name == "short"
                else pytest.raises(TooLargeError, match="takes more than 3 s, the limit")
            )
            with expected:
                await children.ask(never, "validate", dumps(body))
            order.append(name)

        used = time.process_time()
        asked = [asyncio.create_task(ask(f"long {k}", HEAVY | {"seed": k})) for k in range(2)]
        await asyncio.sleep(0.1)
        await ask("short", SMALL | {"seed": 5})
        await asyncio.gather(*asked)
        used = time.process_time() - used
        await children.close()
        return used

    assert finish(story()) < 0.7  # CPU seconds of this process while each of its children used three
    assert sorted(order) == ["long 0", "long 1", "short"]
    assert order[-1] == "long 1"
    assert multiprocessing.active_children() == []


def test_a_request_that_needs_too_much_memory_ends_its_child_and_nothing_else(settings: Settings) -> None:
    limited = Settings(data_dir=settings.data_dir, check_seconds=60.0, check_memory_bytes=400_000_000)

    async def story() -> None:
        children, never = Sandbox(limited), asyncio.get_running_loop().create_future()
        with pytest.raises(TooLargeError, match=r"more than 0\.4 GB of memory"):
            await children.ask(never, "validate", dumps(HEAVY))
        assert b'"n_sites":6' in await children.ask(never, "validate", dumps(SMALL))
        with pytest.raises(Invalid, match="unknown ansatz"):  # an error of its own keeps its class and words
            await children.ask(never, "validate", dumps(SMALL | {"ansatz": {"name": "none"}}))
        await children.close()

    finish(story())
    assert multiprocessing.active_children() == []


def test_more_requests_than_the_queue_holds_are_turned_away(settings: Settings) -> None:
    async def story() -> None:
        children = Sandbox(settings)
        gone = asyncio.get_running_loop().create_future()
        gone.set_result(None)
        asked = [asyncio.create_task(children.ask(gone, "validate", dumps(SMALL))) for _ in range(QUEUE)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await children.ask(gone, "validate", dumps(SMALL))
        assert set(await asyncio.gather(*asked)) == {await children.ask(gone, "validate", dumps(SMALL))}
        with pytest.raises(GoneError):
            await children.ask(gone, "validate", dumps(HEAVY))
        await children.close()

    finish(story())


def test_a_long_request_is_killed_when_its_client_goes(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, check_seconds=60.0)
    with serving(create_app(settings)) as port:
        body = json.dumps(HEAVY).encode()
        head = f"POST /api/validate HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            wait(lambda: len(multiprocessing.active_children()) == 1)
            (heavy,) = multiprocessing.active_children()
        wait(lambda: heavy not in multiprocessing.active_children())
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as api:
            assert api.post("/api/validate", json=SMALL).status_code == 200
    assert multiprocessing.active_children() == []
