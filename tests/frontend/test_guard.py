"""What the page says of its server, and whom its own port lets in."""

from typing import Any

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from frontend.client import Client
from frontend.guard import SECRET_HEADER, Stranger
from frontend.state import Hub
from frontend.views.runs import notice, status


def refused(*headers: tuple[str, str], secret: str = "s3cret") -> bool:
    sent = HTTPHeaders({"Host": "127.0.0.1:8001"})
    for name, value in headers:
        sent.add(name, value)
    request: Any = HTTPServerRequest(headers=sent, start_line=RequestStartLine("GET", "/", "HTTP/1.1"))
    return Stranger(secret).match(request) is not None


def test_only_who_shows_the_secret_and_no_origin_is_let_in() -> None:
    secret = (SECRET_HEADER, "s3cret")
    assert not refused(secret)
    assert not refused((SECRET_HEADER.lower(), "s3cret"))
    for wrong in ((SECRET_HEADER, ""), (SECRET_HEADER, "s3cre"), ("Authorization", "Bearer s3cret")):
        assert refused(wrong)
    assert refused()
    assert refused(secret, secret)
    assert refused(secret, ("Origin", "http://127.0.0.1:8001"))
    assert refused(secret, ("Sec-Fetch-Site", "same-origin"))
    assert refused((SECRET_HEADER, ""), secret="")  # none is no secret


@pytest.mark.parametrize("alive", [True, False])
def test_a_full_disk_stands_above_the_page(alive: bool) -> None:
    hub = Hub(Client("http://nowhere"))
    assert notice(hub) == "Connecting to the server. Trying again; what is shown may be out of date."
    hub.online = True
    hub.health = {"agent": {"alive": alive}, "disk": {"free_bytes": 10**9, "problem": None}}
    assert notice(hub) == ""
    assert ("no runner is alive" in status(hub)) is not alive
    hub.health["disk"]["problem"] = "the disk is full: free some space; until then runs wait"
    assert notice(hub) == "The disk is full: free some space; until then runs wait."
    assert "no runner is alive" not in status(hub)  # it cannot write that it lives
