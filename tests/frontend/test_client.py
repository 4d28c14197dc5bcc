"""The typed client: what it sends, and what it makes of refusals."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from frontend.client import ApiError, Client, Unreachable, export_url
from tests.asynchronous import finish

Answer = Callable[[httpx.Request], httpx.Response]


def ask(answer: Answer, call: Callable[[Client], Coroutine[Any, Any, Any]], token: str | None = None) -> Any:
    async def story() -> Any:
        client = Client("http://api", token, transport=httpx.MockTransport(answer))
        try:
            return await call(client)
        finally:
            await client.close()

    return finish(story())


SENT: list[tuple[Callable[[Client], Coroutine[Any, Any, Any]], str, str, Any]] = [
    (lambda c: c.submit({"n_steps": 3}), "POST", "/api/runs", {"n_steps": 3}),
    (lambda c: c.update("x", name="a", tags=["b"]), "PATCH", "/api/runs/x", {"name": "a", "tags": ["b"]}),
    (lambda c: c.stop("x"), "POST", "/api/runs/x/stop", None),
    (lambda c: c.resume("x"), "POST", "/api/runs/x/resume", None),
    (lambda c: c.clone("x", {"seed": 1}), "POST", "/api/runs/x/clone", {"seed": 1}),
    (lambda c: c.clone("x"), "POST", "/api/runs/x/clone", {}),
    (lambda c: c.delete("x"), "DELETE", "/api/runs/x", None),
    (lambda c: c.validate({"seed": 2}), "POST", "/api/validate", {"seed": 2}),
    (lambda c: c.get_run("x"), "GET", "/api/runs/x", None),
    (lambda c: c.measure("x", 64), "POST", "/api/runs/x/measure", {"samples": 64, "observables": None}),
    (lambda c: c.measure("x", 64, ["a"]), "POST", "/api/runs/x/measure", {"samples": 64, "observables": ["a"]}),
    (lambda c: c.extrapolation("x"), "GET", "/api/runs/x/extrapolation", None),
]


@pytest.mark.parametrize(("call", "method", "path", "body"), SENT)
def test_calls_are_what_the_api_promises(
    call: Callable[[Client], Coroutine[Any, Any, Any]], method: str, path: str, body: Any
) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"id": "x"})

    ask(answer, call, token="secret")
    (request,) = seen
    assert (request.method, request.url.path) == (method, path)
    assert (json.loads(request.content) if request.content else None) == body
    assert request.headers["Authorization"] == "Bearer secret"


def test_without_a_token_nothing_is_claimed() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert "Authorization" not in request.headers
        return httpx.Response(200, json={"ok": True})

    assert ask(answer, Client.health) == {"ok": True}


@pytest.mark.parametrize(("momentum", "words"), [([1, 0], "1,0"), ("M", "M"), (None, None)])
def test_a_lattice_is_asked_for_with_a_momentum(momentum: Any, words: str | None) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params.get("momentum") == words
        assert json.loads(request.content) == {"name": "chain"}
        return httpx.Response(200, json={"n_sites": 16})

    assert ask(answer, lambda c: c.lattice({"name": "chain"}, momentum)) == {"n_sites": 16}


def test_lists_and_events_come_apart() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            assert request.url.params["after"] == "7"
            return httpx.Response(200, json={"events": [{"seq": 8}], "last_seq": 8})
        assert request.url.params["archived"] == "any"
        return httpx.Response(200, json={"runs": [{"id": "a"}], "total": 12})

    assert ask(answer, Client.list_runs) == ([{"id": "a"}], 12)
    assert ask(answer, lambda c: c.events("a", 7)) == ([{"seq": 8}], 8)


def test_warnings_come_from_the_newest_records() -> None:
    events = [
        {"seq": 3001, "kind": "metrics"},
        {"seq": 3002, "kind": "warning", "code": "r_hat", "message": "chains disagree"},
        {"seq": 3003, "kind": "warning", "code": "r_hat", "message": "chains disagree"},
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params["after"] == "1003"
        return httpx.Response(200, json={"events": events, "last_seq": 3003})

    assert ask(answer, lambda c: c.warnings({"id": "a", "last_seq": 3003})) == ["chains disagree"]


def test_a_refusal_keeps_its_sentence_and_its_fields() -> None:
    body = {"detail": "seed: too small", "errors": [{"where": "seed", "problem": "too small"}]}
    with pytest.raises(ApiError) as caught:
        ask(lambda request: httpx.Response(422, json=body), lambda c: c.validate({}))
    assert caught.value.status == 422
    assert caught.value.detail == "seed: too small"
    assert caught.value.problems == (("seed", "too small"),)


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"detail": [1]}', b""])
def test_a_refusal_without_a_sentence_gets_one(content: bytes) -> None:
    with pytest.raises(ApiError, match="500") as caught:
        ask(lambda request: httpx.Response(500, content=content), Client.health)
    assert not isinstance(caught.value, Unreachable)


def test_no_answer_is_told_from_a_refusal() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Unreachable):
        ask(refuse, Client.health)
    with pytest.raises(Unreachable):
        ask(lambda request: httpx.Response(503), Client.health)


def test_export_is_an_address_for_the_browser() -> None:
    assert export_url("x", "csv") == "/api/runs/x/export?format=csv"
