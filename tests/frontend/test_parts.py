"""Buttons that work: one press at a time, and no spinning for a moment only."""

import asyncio
from typing import Any

import panel_material_ui as pmui
import pytest

from frontend.views import parts
from tests.asynchronous import finish


class Button(pmui.Button):
    """Tells what its `loading` became, and is pressed without a browser."""

    def __init__(self) -> None:
        super().__init__(label="Go")
        self.told: list[bool] = []
        self.param.watch(lambda event: self.told.append(event.new), "loading")

    def on_click(self, callback: Any) -> Any:
        self.press = callback


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SPIN_AFTER_SECONDS", 0.05)
    monkeypatch.setattr(parts, "SPIN_SECONDS", 0.05)


def test_what_is_quick_does_not_spin() -> None:
    async def scene() -> None:
        button, done = Button(), []

        async def act(event: str) -> None:
            done.append(event)

        parts.on_press(button, act)
        await button.press("first")
        await button.press("second")
        await asyncio.sleep(0.1)
        assert done == ["first", "second"]
        assert button.told == []

    finish(scene())


def test_what_takes_long_spins_and_is_not_begun_twice() -> None:
    async def scene() -> None:
        button, done, ended = Button(), [], asyncio.Event()

        async def act(event: str) -> None:
            await ended.wait()
            done.append(event)

        parts.on_press(button, act)
        first = asyncio.ensure_future(button.press("first"))
        await asyncio.sleep(0.1)
        assert button.told == [True]
        await button.press("second")
        ended.set()
        await first
        assert done == ["first"]
        assert button.told == [True, False]
        await button.press("third")
        assert done == ["first", "third"]

    finish(scene())


def test_an_error_frees_the_button() -> None:
    async def scene() -> None:
        button, n = Button(), 0

        async def act(event: str) -> None:
            nonlocal n
            n += 1
            raise ValueError(event)

        parts.on_press(button, act)
        for _ in range(2):
            with pytest.raises(ValueError, match="x"):
                await button.press("x")
        assert n == 2

    finish(scene())
