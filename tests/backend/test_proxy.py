"""What is not the API's goes to the UI process, HTTP and websocket, and comes back unchanged."""

import contextlib
import gzip
import threading
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import websockets.sync.client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from backend import proxy
from backend.proxy import Proxy
from frontend import guard
from tests.backend.serving import free_port, serving

SECRETS = {"secret": "s3cret", "kept_cookie": "spinscope_token_1"}
SCRIPT = b"let x = 1;\n" * 1000


async def _page(request: Request) -> Response:
    text = f"{request.method} {request.url.path}?{request.url.query} {(await request.body()).decode()}"
    return PlainTextResponse(text, headers={"X-Seen-Origin": request.headers.get("origin", "none")})


async def _headers(request: Request) -> Response:
    return JSONResponse(dict(request.headers))


async def _script(_: Request) -> Response:
    return Response(SCRIPT, media_type="application/javascript", headers={"ETag": '"1"'})


async def _missing(_: Request) -> Response:
    return PlainTextResponse("no", 404)


async def _echo(socket: WebSocket) -> None:
    await socket.accept(subprotocol="bokeh" if "bokeh" in socket.scope["subprotocols"] else None)
    while (message := await socket.receive())["type"] == "websocket.receive":
        if message.get("text") == "bye":
            await socket.close(1000)
            return
        text = message.get("text")
        await (socket.send_text(text) if text is not None else socket.send_bytes(message["bytes"]))


def _ui() -> Starlette:
    routes = [
        Route("/headers", _headers),
        Route("/static/app.js", _script),
        Route("/static/missing.js", _missing),
        WebSocketRoute("/ws", _echo),
        Route("/{path:path}", _page, methods=["GET", "POST"]),
    ]
    return Starlette(routes=routes)


def _front(proxy: Proxy) -> Starlette:
    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await proxy.close()

    app = Starlette(lifespan=lifespan)
    app.router.default = proxy
    return app


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(_ui()) as ui, serving(_front(Proxy(f"127.0.0.1:{ui}", **SECRETS))) as port:
        yield f"127.0.0.1:{port}"


def test_pages_pass_with_path_query_and_body(address: str) -> None:
    with httpx.Client(base_url=f"http://{address}") as client:
        assert client.get("/ising?runs=a%2Cb").text == "GET /ising?runs=a%2Cb "
        assert client.get("/a%20b//c").text.startswith("GET /a b//c?")
        answer = client.post("/upload", content=b"data", headers={"Origin": "http://elsewhere"})
        assert answer.text == "POST /upload? data"
        assert answer.headers["x-seen-origin"] == "none"
        assert client.head("/").status_code == 200
        assert client.put("/").status_code == 405


def test_the_ui_gets_its_secret_and_none_of_the_visitors(address: str) -> None:
    sent = {
        "Authorization": "Bearer token",
        "Cookie": 'spinscope_token_1=token; theme=dark;other="a;b"',
        "Referer": "http://here/?token=token",
        "X-Spinscope-Secret": "guessed",
        "X-Mine": "kept",
    }
    seen = httpx.get(f"http://{address}/headers", headers=sent).json()
    assert (seen["x-spinscope-secret"], seen["x-mine"]) == ("s3cret", "kept")
    assert seen["cookie"] == 'theme=dark; other="a; b"'
    assert "token" not in str(seen)
    assert guard.SECRET_HEADER.lower() == proxy.SECRET_HEADER


def test_static_files_are_compressed_once_and_stay_the_same(address: str) -> None:
    with httpx.Client(base_url=f"http://{address}") as client:
        for _ in range(2):
            answer = client.get("/static/app.js")
            assert answer.content == SCRIPT
            assert answer.headers["content-encoding"] == "gzip"
            assert answer.headers["etag"] == '"1"'
            assert int(answer.headers["content-length"]) == len(gzip.compress(SCRIPT, 6))
        plain = client.get("/static/app.js", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == SCRIPT
        assert client.get("/static/missing.js").status_code == 404


def test_websockets_pass_both_ways(address: str) -> None:
    with websockets.sync.client.connect(f"ws://{address}/ws", subprotocols=["bokeh"], proxy=None) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "bokeh"
        for message in ("text", b"\x00\xff", "x" * 300_000):
            socket.send(message)
            assert socket.recv() == message
        socket.send("bye")
        with pytest.raises(websockets.ConnectionClosedOK):
            socket.recv()
        assert socket.close_code == 1000


def test_a_websocket_that_the_ui_refuses_is_refused(address: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as refusal:
        websockets.sync.client.connect(f"ws://{address}/nowhere", proxy=None)
    assert refusal.value.response.status_code == 403


def test_a_page_waits_for_a_ui_that_still_starts() -> None:
    port = free_port()
    with serving(_front(Proxy(f"127.0.0.1:{port}"))) as front:
        answers: list[str] = []
        asking = threading.Thread(target=lambda: answers.append(httpx.get(f"http://127.0.0.1:{front}/x").text))
        asking.start()
        time.sleep(0.3)
        assert answers == []
        with serving(_ui(), port=port):
            asking.join(20)
    assert answers == ["GET /x? "]


def test_a_page_says_so_when_there_is_no_ui() -> None:
    nowhere = Proxy(f"127.0.0.1:{free_port()}")
    nowhere.patience = 0.0
    with serving(_front(nowhere)) as front:
        answer = httpx.get(f"http://127.0.0.1:{front}/")
        assert answer.status_code == 503
        assert "starting" in answer.text
        with pytest.raises(websockets.InvalidStatus):
            websockets.sync.client.connect(f"ws://127.0.0.1:{front}/ws", proxy=None)
