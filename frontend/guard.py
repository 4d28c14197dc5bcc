"""Who may talk to the UI process: the API alone, which has asked visitors for their token and origin."""

import hmac
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher, Rule
from tornado.web import RequestHandler

SECRET_HEADER = "X-Spinscope-Secret"


class Stranger(Matcher):
    """Matches every request that does not show the secret, or that a web page of another address sends."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """The arguments of the handler that refuses; None: the request goes on."""
        shown = request.headers.get_list(SECRET_HEADER)
        known = len(shown) == 1 and hmac.compare_digest(shown[0].encode("utf-8", "replace"), self._secret)
        # The API passes no origin on: where there is one, a browser has come past it.
        foreign = "Origin" in request.headers or "Sec-Fetch-Site" in request.headers
        return None if known and self._secret and not foreign else {}


class Refusal(RequestHandler):
    """The answer to a stranger, whatever the method."""

    def prepare(self) -> None:
        """End the request before any method is looked for."""
        self.set_status(403)
        self.finish("open the address that the server printed; this port is for the server itself\n")


def close(server: Any, secret: str) -> None:
    """Refuse everybody on every path of a Bokeh server, websockets and static files too, who does not show `secret`."""
    server._tornado.add_handlers(".*", [Rule(Stranger(secret), Refusal)])
    server._tornado.settings["log_function"] = lambda _: None  # a refused address may hold what is no log's business
