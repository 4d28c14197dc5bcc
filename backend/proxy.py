"""One public port: what the API does not serve itself is passed through, HTTP and websocket, to the UI process."""

import asyncio
import contextlib
import gzip
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import websockets
from starlette.background import BackgroundTask
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

HANDSHAKE_SECONDS = 120.0  # the UI builds the pages of a whole class one after the other before it answers
HOP_BY_HOP = {
    "connection", "host", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers",
    "transfer-encoding", "upgrade",
}  # fmt: skip
# The guard has checked these; what the UI process hears of a visitor, Bokeh writes into the page.
CHECKED_HERE = {"origin", "sec-fetch-site", "authorization", "referer"}
SECRET_HEADER = "x-spinscope-secret"
SET_HERE = {"date", "server"}
PATIENCE = 60.0  # seconds a first page waits for a UI process that still starts
CACHE_BYTES = 64_000_000
COMPRESSIBLE = ("text/", "application/javascript", "application/json", "image/svg")
WAITING = (
    "<!doctype html><meta charset=utf-8><meta http-equiv=refresh content=2><title>Spinscope</title>"
    "<p style='font-family:sans-serif'>The page is starting again; it opens by itself in a moment.</p>"
)


class Proxy:
    """ASGI application in front of the UI process.

    Static files are kept compressed in memory: a first visit loads 10 MB of scripts, which is 2.5 MB through a tunnel.

    Args:
        address: host and port of the UI process.
        secret: what the UI process asks for.
        kept_cookie: a cookie that is not passed on.
    """

    def __init__(self, address: str, *, secret: str = "", kept_cookie: str = "") -> None:
        self.address = address
        self.secret = secret
        self.kept_cookie = kept_cookie
        self.patience = PATIENCE
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
        self.client = httpx.AsyncClient(base_url=f"http://{address}", timeout=60, limits=limits, trust_env=False)
        self._compressed: dict[str, tuple[bytes, dict[str, str]]] = {}
        self._size = 0

    async def close(self) -> None:
        """Close the connections to the UI process."""
        await self.client.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(WebSocket(scope, receive, send))
        elif scope["type"] == "http":
            request = Request(scope, receive)
            await (await self._http(request))(scope, receive, send)

    async def _http(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("method not allowed", 405, {"Allow": "GET, HEAD, POST"})
        target = _target(request.scope)
        gzipped = request.method == "GET" and "gzip" in request.headers.get("accept-encoding", "")
        static = gzipped and request.url.path.startswith("/static/")
        if static and target in self._compressed and "if-none-match" not in request.headers:
            body, headers = self._compressed[target]
            return Response(body, headers=headers)
        try:
            upstream = await self._send(request, target)
        except (httpx.TransportError, httpx.InvalidURL):
            return HTMLResponse(WAITING, 503, {"Retry-After": "2"})
        headers = {k: v for k, v in upstream.headers.items() if k not in HOP_BY_HOP | SET_HERE}
        if static and upstream.status_code == 200 and _compressible(headers):
            return await self._compress(target, upstream, headers)
        return StreamingResponse(
            _body(upstream), upstream.status_code, headers, background=BackgroundTask(upstream.aclose)
        )

    async def _send(self, request: Request, target: str) -> httpx.Response:
        """The UI's answer; a page that comes before the UI process is up waits for it."""
        headers = self._headers(request)
        content = await request.body() if request.method == "POST" else None
        deadline = time.monotonic() + self.patience
        while True:
            outgoing = self.client.build_request(request.method, target, headers=headers, content=content)
            try:
                return await self.client.send(outgoing, stream=True)
            except httpx.ConnectError:
                if time.monotonic() > deadline or await request.is_disconnected():
                    raise
                await asyncio.sleep(0.2)

    def _headers(self, request: HTTPConnection) -> list[tuple[str, str]]:
        """What the UI process hears of the browser's headers, and the secret."""
        dropped = HOP_BY_HOP | CHECKED_HERE | {SECRET_HEADER, "cookie"}
        headers = [(k, v) for k, v in request.headers.items() if k not in dropped]
        cookies = [part.strip() for line in request.headers.getlist("cookie") for part in line.split(";")]
        passed = "; ".join(part for part in cookies if part.partition("=")[0].strip() != self.kept_cookie)
        return headers + ([("cookie", passed)] if passed else []) + [(SECRET_HEADER, self.secret)]

    async def _compress(self, target: str, upstream: httpx.Response, headers: dict[str, str]) -> Response:
        raw = await upstream.aread()
        await upstream.aclose()
        body = await asyncio.to_thread(gzip.compress, raw, 6)
        drop = ("content-length", "content-encoding", "accept-ranges")
        headers = {k: v for k, v in headers.items() if k not in drop}
        headers |= {"content-encoding": "gzip", "vary": "Accept-Encoding"}
        if target not in self._compressed and self._size + len(body) <= CACHE_BYTES:
            self._compressed[target] = (body, headers)
            self._size += len(body)
        return Response(body, headers=headers)

    async def _websocket(self, browser: WebSocket) -> None:
        headers = [(k, v) for k, v in self._headers(browser) if not k.startswith("sec-websocket")]
        try:
            upstream = await websockets.connect(
                f"ws://{self.address}{_target(browser.scope)}",
                additional_headers=headers,
                subprotocols=browser.scope["subprotocols"] or None,
                max_size=None,
                compression=None,
                open_timeout=HANDSHAKE_SECONDS,
                user_agent_header=None,
                proxy=None,
            )
        except (OSError, TimeoutError, websockets.WebSocketException):
            await browser.close(1013)
            return
        async with upstream:
            await browser.accept(subprotocol=upstream.subprotocol)
            await _relay(browser, upstream)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await browser.close(_sendable(upstream.close_code))


def _target(scope: Scope) -> str:
    """Path and query exactly as the browser sent them."""
    raw = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    path = "/" + raw.split(b"?")[0].decode("latin-1").lstrip("/")
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _compressible(headers: dict[str, str]) -> bool:
    kind = headers.get("content-type", "")
    return "content-encoding" not in headers and any(kind.startswith(start) for start in COMPRESSIBLE)


async def _body(upstream: httpx.Response) -> AsyncIterator[bytes]:
    # A UI process that dies in the middle ends the body early; the browser sees that by its length.
    with contextlib.suppress(httpx.TransportError):
        async for part in upstream.aiter_raw():
            yield part


async def _relay(browser: WebSocket, upstream: Any) -> None:
    """Pass messages both ways until one side ends."""

    async def down() -> None:
        async for message in upstream:
            await (browser.send_text(message) if isinstance(message, str) else browser.send_bytes(message))

    async def up() -> None:
        while (message := await browser.receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            await upstream.send(text if text is not None else message["bytes"])

    tasks = [asyncio.create_task(down()), asyncio.create_task(up())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _sendable(code: int | None) -> int:
    """A close code that may be put on the wire: 1005 and 1006 only ever mean that there was none."""
    return code if code is not None and (code in (1000, 1001, 1008, 1009, 1011) or code >= 3000) else 1001
