"""Signals that come while the handler of another one is at work."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backend import agent

ENOUGH = 3.0  # seconds for what takes none


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ends(handler: Callable[[int, Any], Any]) -> bool:
    """Whether a handler ends though at each of its calls and returns another signal comes once."""

    def story() -> None:
        busy = False

        def again(*_: Any) -> None:
            nonlocal busy
            if not busy:
                busy = True
                handler(signal.SIGTERM, None)
                busy = False

        sys.setprofile(again)
        try:
            handler(signal.SIGINT, None)
        finally:
            sys.setprofile(None)

    thread = threading.Thread(target=story, daemon=True)
    thread.start()
    thread.join(ENOUGH)
    return not thread.is_alive()


def test_a_signal_within_the_handler_of_another_is_noted_and_locks_nothing_up() -> None:
    told = agent.listen()
    handler: Any = signal.getsignal(signal.SIGTERM)
    assert handler is not signal.SIG_DFL
    assert ends(handler)
    assert signal.SIGINT in told
    assert signal.SIGTERM in told


def test_a_handler_that_sets_an_event_would_wait_for_itself() -> None:
    """The broken twin."""
    event = threading.Event()
    assert not ends(lambda *_: event.set())
