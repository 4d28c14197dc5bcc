"""Who may talk to the server: Host, token, Origin and the size of a body, for HTTP and websockets alike."""

import asyncio
import hmac
import ipaddress
from collections.abc import Iterable
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 1_000_000  # bytes
DRAIN = 32_000_000  # bytes read and thrown away, so that the sender of too large a body can read the answer
BODY_SECONDS = 30.0
COOKIE_SECONDS = 30 * 24 * 3600
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
SAFE = ("GET", "HEAD", "OPTIONS")
JSON_TYPES = ("application/json", "application/merge-patch+json")

# Panel compiles templates and injects styles, hence 'unsafe-*'; nothing may come from another host.
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:; "
        "frame-ancestors 'self'; form-action 'self'; base-uri 'self'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Refused(Exception):
    """The answer to a request that is not let in."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def hostname(netloc: str) -> str:
    """The host of a `Host` header, lower case, without its port; IPv6 keeps its brackets."""
    netloc = netloc.strip().lower()
    if netloc.startswith("["):
        return netloc[: netloc.find("]") + 1]
    return netloc.rsplit(":", 1)[0] if ":" in netloc else netloc


def cookie_name(port: int) -> str:
    """The name of the cookie that holds the token."""
    return f"spinscope_token_{port}"


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


class Guard:
    """ASGI middleware around the whole application, the proxied pages included.

    Args:
        app: what it guards.
        allowed_hosts: names under which the server may be addressed besides the loopback ones (DNS rebinding).
        any_address: also accept every literal IP address as Host; a rebinding page can only use a name.
        token: what every request must carry: a cookie, `Authorization: Bearer`, or `?token=` (which sets the cookie).
        port: part of the cookie's name, since cookies do not tell ports apart.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_hosts: Iterable[str] = (),
        any_address: bool = False,
        token: str | None = None,
        port: int = 0,
    ) -> None:
        self.app = app
        self.hosts = {*LOOPBACK, *(hostname(name) for name in allowed_hosts)}
        self.any_address = any_address
        self.token = token
        self.cookie = cookie_name(port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scope, tokens = _without_token(scope)
        try:
            self._check_host(headers)
            entry = self._check_token(scope, headers, tokens)
            if scope["type"] == "websocket" or scope["method"] not in SAFE:
                self._check_origin(headers)
                if scope["type"] == "http":
                    receive = await _read_body(scope, headers, receive)
        except Refused as refusal:
            await _refuse(scope, receive, send, refusal)
            return
        if entry is not None:
            await entry(scope, receive, send)
            return
        await self.app(scope, receive, _with_security_headers(send) if scope["type"] == "http" else send)

    def _check_host(self, headers: Headers) -> None:
        host = hostname(headers.get("host", ""))
        if host in self.hosts or (self.any_address and _is_address(host)):
            return
        name = ascii(host[:60])
        raise Refused(421, f"host {name} is not served here; start the server with --allowed-host and this name")

    def _check_token(self, scope: Scope, headers: Headers, tokens: list[str]) -> Response | None:
        """Nothing, or the redirect that turns the token of a printed address into a cookie."""
        if self.token is None:
            return None
        # A plus sign means itself in an address that was put together by hand, a space in one that a form made.
        named = any(self._matches(unquote(token)) or self._matches(unquote_plus(token)) for token in tokens)
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        known = scheme.lower() == "bearer" and self._matches(bearer.strip())
        if not (named or known or self._matches(self._cookie_value(headers))):
            raise Refused(401, "this server needs its token; open the address that it printed when it started")
        if not tokens or scope["type"] == "websocket" or scope["method"] != "GET" or scope["path"].startswith("/api/"):
            return None
        # A leading double slash would send the browser to another host.
        path = "/" + scope.get("raw_path", b"/").decode("latin-1").split("?")[0].lstrip("/\\")
        rest = scope["query_string"].decode("latin-1")
        answer = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
        if named:
            secure, age = scope["scheme"] == "https", COOKIE_SECONDS
            value = quote(self.token, safe="")
            answer.set_cookie(self.cookie, value, max_age=age, httponly=True, samesite="lax", secure=secure)
        return answer

    def _matches(self, given: str) -> bool:
        return bool(given) and hmac.compare_digest(given.encode("utf-8", "replace"), (self.token or "").encode())

    def _cookie_value(self, headers: Headers) -> str:
        found = (cookie_parser(line).get(self.cookie) for line in headers.getlist("cookie"))
        return unquote(next(filter(None, found), ""))

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != headers.get("host", "").lower():
            raise Refused(403, "a request that another web site sends (Origin) is refused")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise Refused(403, "a request that another web site sends (Sec-Fetch-Site) is refused")


def _without_token(scope: Scope) -> tuple[Scope, list[str]]:
    """The request with no token in its query, which others log and pass on, and the tokens as they stood there."""
    parts = scope["query_string"].decode("latin-1").split("&")
    tokens = [part.partition("=")[2] for part in parts if unquote_plus(part.partition("=")[0]) == "token"]
    if not tokens:
        return scope, tokens
    rest = "&".join(part for part in parts if unquote_plus(part.partition("=")[0]) != "token")
    return {**scope, "query_string": rest.encode("latin-1")}, tokens


async def _read_body(scope: Scope, headers: Headers, receive: Receive) -> Receive:
    """The body in memory, checked, as a new `receive`.

    Raises:
        Refused: larger than 1 MB, not JSON where the API wants it, or not there in time.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "the connection was closed before the request was complete")
                part = message.get("body", b"")
                size += len(part)
                if size <= MAX_BODY:
                    parts.append(part)
                more = message.get("more_body", False) and size <= DRAIN
    except TimeoutError:
        raise Refused(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None
    if size > MAX_BODY:
        raise Refused(413, f"the request body is larger than {MAX_BODY} bytes")
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if size and scope["path"].startswith("/api/") and kind not in JSON_TYPES:
        raise Refused(415, "send the body as JSON, with Content-Type: application/json")
    body: Message | None = {"type": "http.request", "body": b"".join(parts), "more_body": False}

    async def replay() -> Message:
        nonlocal body
        if body is None:
            return await receive()
        message, body = body, None
        return message

    return replay


async def _refuse(scope: Scope, receive: Receive, send: Send, refusal: Refused) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4403, "reason": refusal.detail[:120]})
        return
    headers = {"Connection": "close"}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if scope["path"].startswith("/api/"):
        answer: Response = JSONResponse({"detail": refusal.detail}, refusal.status, headers)
    else:
        answer = PlainTextResponse(refusal.detail, refusal.status, headers)
    await answer(scope, receive, send)


def _with_security_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return wrapped
