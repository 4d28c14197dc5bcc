"""`python -m frontend.main`: serves the pages on 127.0.0.1:SPINSCOPE_UI_PORT; the API passes visitors through."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import panel as pn

from frontend import guard, memory, theme
from frontend.client import Client
from frontend.state import Hub
from frontend.views import ising, references, runs
from frontend.views.reference_state import Jobs


def _dressed(make: Callable[[], Any]) -> Callable[[], Any]:
    def page() -> Any:
        theme.dress()
        return make()

    return page  # a plain function: Panel shows any other callable as an object


def serve(port: int, secret: str) -> Any:
    """The server, not started; it answers only those who show `secret`."""
    theme.extension()
    hub = Hub(Client.from_environment())
    jobs = Jobs(hub.client)
    pages = {"/": lambda: runs.page(hub), "/references": lambda: references.page(hub, jobs), "/ising": ising.page}
    options: dict[str, Any] = {"title": {url: f"{name} · {theme.NAME}" for name, url, _ in theme.PAGES}}
    server: Any = pn.serve(
        {url: _dressed(make) for url, make in pages.items()},
        port=port, address="127.0.0.1", show=False, start=False, verbose=False,
        check_unused_sessions_milliseconds=5000, unused_session_lifetime_milliseconds=20000,
        include_headers=[], include_cookies=[theme.COOKIE],  # Bokeh writes them into the page
        **options,
    )  # fmt: skip
    guard.close(server, secret)
    server.io_loop.add_callback(hub.run)
    memory.watch(server)
    return server


def main() -> None:
    logging.getLogger("bokeh.server").setLevel(logging.WARNING)
    os.umask(0o077)
    secret = os.environ.get("SPINSCOPE_UI_SECRET", "")
    if not secret:
        sys.exit("spinscope: choose a secret in SPINSCOPE_UI_SECRET, the same for the API and the user interface")
    server = serve(int(os.environ.get("SPINSCOPE_UI_PORT") or "8001"), secret)
    server.start()
    loop = server.io_loop
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *args: loop.add_callback_from_signal(loop.stop))
    loop.start()
    server.stop()


if __name__ == "__main__":
    main()
