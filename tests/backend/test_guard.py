"""Who is let in: host, origin, token, size and type of a body."""

import http.client
import json
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest
import websockets.sync.client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from backend.guard import MAX_BODY, Guard, hostname, is_loopback
from backend.settings import Settings
from tests.backend.serving import serving

EVIL = "https://evil.example"


async def _echo(request: Request) -> Response:
    return JSONResponse({"size": len(await request.body()), "query": str(request.url.query)})


async def _hello(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


def _app(**options: object) -> Guard:
    methods = ["GET", "POST", "DELETE"]
    routes = [Route("/api/echo", _echo, methods=methods), Route("/page", _echo), WebSocketRoute("/ws/feed", _hello)]
    return Guard(Starlette(routes=routes), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def open_port() -> Iterator[int]:
    with serving(_app(allowed_hosts=["lab.example"])) as port:
        yield port


@pytest.fixture(scope="module")
def token_port() -> Iterator[int]:
    with serving(_app(token="s3cret", any_address=True, port=77)) as port:
        yield port


def call(
    port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def hello(port: int, path: str = "/ws/feed", origin: str | None = None, **headers: str) -> str:
    with websockets.sync.client.connect(
        f"ws://127.0.0.1:{port}{path}",
        origin=origin,  # type: ignore[arg-type]
        additional_headers=headers,
        proxy=None,
    ) as socket:
        return str(socket.recv())


JSON = {"Content-Type": "application/json"}


def test_plain_requests_pass(open_port: int) -> None:
    assert call(open_port, "GET", "/api/echo")[0] == 200
    status, headers, body = call(open_port, "POST", "/api/echo", b'{"a": 1}', JSON)
    assert (status, json.loads(body)["size"]) == (200, 8)
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LAB.example:80"])
def test_own_hosts_pass(open_port: int, host: str) -> None:
    assert call(open_port, "GET", "/api/echo", headers={"Host": host})[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.7", "", "[", "lab.example.evil"])
def test_foreign_hosts_are_refused(open_port: int, host: str) -> None:
    status, _, body = call(open_port, "GET", "/api/echo", headers={"Host": host})
    assert status == 421
    assert "not served here" in json.loads(body)["detail"]


@pytest.mark.parametrize("headers", [{"Origin": EVIL}, {"Origin": "null"}, {"Origin": "http://["}])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_foreign_origins_are_refused(open_port: int, method: str, headers: dict[str, str]) -> None:
    assert call(open_port, method, "/api/echo", b"{}", headers | JSON)[0] == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_cross_site_requests_without_origin_are_refused(open_port: int, site: str) -> None:
    assert call(open_port, "POST", "/api/echo", b"{}", JSON | {"Sec-Fetch-Site": site})[0] == 403


def test_same_origin_passes(open_port: int) -> None:
    origin = {"Origin": f"http://127.0.0.1:{open_port}", "Sec-Fetch-Site": "same-origin"}
    assert call(open_port, "POST", "/api/echo", b"{}", origin | JSON)[0] == 200


def test_websockets_need_own_host_and_origin(open_port: int) -> None:
    assert hello(open_port) == "hello"
    assert hello(open_port, origin=f"http://127.0.0.1:{open_port}") == "hello"
    for origin, headers in ((EVIL, {}), (None, {"Sec-Fetch-Site": "cross-site"})):
        with pytest.raises(websockets.InvalidStatus) as refusal:
            hello(open_port, origin=origin, **headers)
        assert refusal.value.response.status_code == 403


def test_large_bodies_are_refused_and_the_sender_can_read_why(open_port: int) -> None:
    assert call(open_port, "POST", "/api/echo", b"x" * MAX_BODY, JSON)[0] == 200
    for size in (MAX_BODY + 1, 20_000_000):
        status, _, body = call(open_port, "POST", "/api/echo", b"x" * size, JSON)
        assert status == 413
        assert str(MAX_BODY) in json.loads(body)["detail"]


def test_chunked_bodies_are_counted(open_port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", open_port, timeout=20)
    connection.request("POST", "/api/echo", iter([b"x" * 600_000] * 3), JSON, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_bodies_must_be_declared_json(open_port: int) -> None:
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        assert call(open_port, "POST", "/api/echo", b"{}", headers)[0] == 415
    assert call(open_port, "POST", "/api/echo")[0] == 200


def test_without_the_token_nothing_is_served(token_port: int) -> None:
    for path, headers in (
        ("/api/echo", {}),
        ("/page", {}),
        ("/page?token=wrong", {}),
        ("/page?token=", {}),
        ("/page", {"Authorization": "Bearer wrong"}),
        ("/page", {"Authorization": "Basic s3cret"}),
        ("/page", {"Cookie": "spinscope_token_77=wrong"}),
        ("/page", {"Cookie": "spinscope_token_78=s3cret"}),
        ("/page", {"Cookie": "spinscope_token_77=\xff"}),
    ):
        assert call(token_port, "GET", path, headers=headers)[0] == 401
    with pytest.raises(websockets.InvalidStatus):
        hello(token_port)


def test_the_token_is_taken_as_header_cookie_and_query(token_port: int) -> None:
    assert call(token_port, "GET", "/api/echo", headers={"Authorization": "Bearer s3cret"})[0] == 200
    assert call(token_port, "GET", "/page", headers={"Cookie": "a=b; spinscope_token_77=s3cret"})[0] == 200
    assert call(token_port, "GET", "/api/echo?token=s3cret")[0] == 200
    assert hello(token_port, Authorization="Bearer s3cret") == "hello"
    assert hello(token_port, "/ws/feed?token=s3cret") == "hello"


def test_the_printed_address_becomes_a_cookie(token_port: int) -> None:
    status, headers, _ = call(token_port, "GET", "/page?runs=a,b&token=s3cret")
    assert (status, headers["location"]) == (303, "/page?runs=a,b")
    assert "HttpOnly" in headers["set-cookie"]
    cookie = headers["set-cookie"].split(";")[0]
    assert call(token_port, "GET", headers["location"], headers={"Cookie": cookie})[0] == 200


def test_an_address_with_a_token_is_never_passed_on(token_port: int, open_port: int) -> None:
    """What comes behind writes addresses into logs and pages: opened twice, or with a token that is not needed."""
    cookie = {"Cookie": "spinscope_token_77=s3cret"}
    for query in ("token=s3cret", "token=old", "tok%65n=s3cret"):
        status, headers, _ = call(token_port, "GET", f"/page?{query}&x=1", headers=cookie)
        assert (status, headers["location"]) == (303, "/page?x=1")
        assert json.loads(call(token_port, "GET", f"/api/echo?x=1&{query}", headers=cookie)[2])["query"] == "x=1"
        assert json.loads(call(open_port, "GET", f"/page?x=1&{query}")[2])["query"] == "x=1"


@pytest.mark.parametrize("token", ["aB3+/9==", "a%2Bb", "x&y#z?", "\"'\\;,", "!~"])
def test_any_token_works(token: str) -> None:
    address = "/page?" + urlencode({"token": token}, quote_via=quote)
    with serving(_app(token=token, port=77)) as port:
        status, headers, _ = call(port, "GET", address)
        assert (status, headers["location"]) == (303, "/page")
        cookie = headers["set-cookie"].split(";")[0]
        other = 'other={"a": 1}; '  # of another program at this address
        assert call(port, "GET", "/page", headers={"Cookie": other + cookie})[0] == 200
        assert call(port, "GET", "/page", headers={"Authorization": f"Bearer {token}"})[0] == 200
        assert hello(port, Cookie=cookie) == "hello"
        assert call(port, "GET", "/page?token=" + quote(token[:-1], safe=""))[0] == 401
        if token == "aB3+/9==":
            assert call(port, "GET", f"/page?token={token}")[0] == 303  # put together by hand


@pytest.mark.parametrize("token", ["two words", "schl\u00fcssel", "\u2603", "line\n"])
def test_a_token_that_no_header_can_carry_is_refused_at_the_start(token: str) -> None:
    with pytest.raises(ValueError, match="SPINSCOPE_TOKEN may hold visible ASCII characters only"):
        Settings.from_env({"SPINSCOPE_TOKEN": token})


def test_the_cookie_is_for_this_server_alone(token_port: int) -> None:
    cookie = call(token_port, "GET", "/page?token=s3cret")[1]["set-cookie"]
    assert {"HttpOnly", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}
    forwarded = {"X-Forwarded-Proto": "https"}
    assert "Secure" in call(token_port, "GET", "/page?token=s3cret", headers=forwarded)[1]["set-cookie"]


def test_the_redirect_stays_on_this_host(token_port: int) -> None:
    assert call(token_port, "GET", "//evil.example/?token=s3cret")[1]["location"] == "/evil.example/"


def test_a_name_is_refused_and_an_address_taken_where_the_token_protects(token_port: int) -> None:
    bearer = {"Authorization": "Bearer s3cret"}
    assert call(token_port, "GET", "/page", headers=bearer | {"Host": "10.0.0.7:8000"})[0] == 200
    assert call(token_port, "GET", "/page", headers=bearer | {"Host": "evil.example"})[0] == 421


def test_host_names() -> None:
    assert [hostname(h) for h in ("A.b:80", "[::1]:80", "x", "")] == ["a.b", "[::1]", "x", ""]
    assert [is_loopback(h) for h in ("localhost", "127.9.9.9", "::1", "0.0.0.0", "lab")] == [True] * 3 + [False] * 2
