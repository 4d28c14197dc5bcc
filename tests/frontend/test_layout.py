"""Boxes, words, the table that is brought up to date, and questions of which only the last one matters."""

import asyncio
from typing import Any

import pytest

from frontend import layout
from frontend.client import ApiError, Unreachable
from frontend.components import DataTable
from frontend.latest import Latest
from tests.asynchronous import finish


def test_what_is_hidden_is_made_once_when_it_is_first_seen() -> None:
    first, second = layout.Words("first"), layout.Words("second")
    box = layout.Box(first, visible=False)
    assert list(box.objects) == []
    box.append(second)
    for visible in (True, False, True):
        box.visible = visible
        assert list(box.objects) == [first, second]


def test_a_grid_lets_itself_be_hidden() -> None:
    """Its own rule of display is stronger than the one that hides."""
    grid = layout.columns(layout.Words("x"), visible=False)
    assert grid.css_classes == ["off"]
    grid.visible = True
    assert grid.css_classes == []
    grid.visible = False
    assert grid.css_classes == ["off"]


def test_words_are_never_markup() -> None:
    said = layout.Words("<b>&", "heading")
    assert said.object == "<h3 class='words'>&lt;b&gt;&amp;</h3>"
    said.text = ""
    assert said.object == ""


class Wire(DataTable):
    """Keeps the messages that would go to the browser."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Any] = []

    def _send_msg(self, data: Any) -> None:
        self.sent.append(data)


def line(ident: str, *cells: str) -> dict[str, Any]:
    return {"id": ident, "cells": list(cells)}


def test_a_table_sends_what_changed_and_everything_to_a_browser_that_draws_anew() -> None:
    table = Wire()
    table.fill([line("a", "1", "x")])
    table.fill([line("a", "2", "x")])
    assert (table.rows, table.sent) == ([line("a", "2", "x")], [])  # nothing is drawn yet
    table._handle_msg({"drawn": True})
    assert table.sent == []
    table.fill([line("a", "3", "x")])
    assert table.sent == [{"cells": [[0, 0, "3"]]}]
    table._handle_msg({"drawn": True})  # after a lost connection, from the rows that were sent whole
    assert table.sent[1:] == [{"cells": [[0, 0, "3"]]}]
    table.fill([line("b", "3", "x")])
    assert table.rows == [line("b", "3", "x")]
    assert len(table.sent) == 2


def test_only_the_last_question_is_answered() -> None:
    answered: list[str] = []
    running = asyncio.Event()

    async def ask(question: str) -> None:
        running.set()
        await asyncio.sleep(0.01)
        answered.append(question)

    async def scene() -> None:
        latest = Latest(ask, 0.001)
        assert not latest.cancel()
        latest("first")
        await running.wait()  # half-way
        latest("second")
        assert latest.cancel()
        latest("third")
        await asyncio.sleep(0.1)
        assert not latest.cancel()

    finish(scene())
    assert answered == ["third"]


def test_a_question_is_asked_until_the_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontend.latest.AGAIN_SECONDS", 0.001)
    failures: list[ApiError] = [Unreachable("away"), Unreachable("still away")]
    asked: list[str] = []

    async def ask(question: str) -> None:
        asked.append(question)
        if failures:
            raise failures.pop(0)

    async def scene() -> None:
        latest = Latest(ask)
        latest("first")
        await asyncio.sleep(0.05)
        assert asked == ["first"] * 3
        assert not latest.cancel()
        failures.append(ApiError(422, "no such thing"))
        latest("refused")
        await asyncio.sleep(0.05)
        assert asked[3:] == ["refused"]
        failures.extend([Unreachable("away")] * 1000)
        latest("old")
        await asyncio.sleep(0.02)
        failures.clear()
        latest("new")
        await asyncio.sleep(0.05)
        assert asked[-1] == "new"
        assert asked.count("new") == 1

    finish(scene())


@pytest.mark.parametrize("kind", layout.WORDS)
def test_every_kind_of_words_can_be_made(kind: str) -> None:
    assert "x" in layout.Words("x", kind).object
