"""`python -m frontend.main`: serves the pages on 127.0.0.1:SPINSCOPE_UI_PORT; the API passes visitors through."""

import logging
import os
import signal
from collections.abc import Callable
from typing import Any

import panel as pn

from frontend import theme
from frontend.client import Client
from frontend.state import Hub
from frontend.views import ising, references, runs
from frontend.views.reference_state import Jobs


def _dressed(make: Callable[[], Any]) -> Callable[[], Any]:
    def page() -> Any:
        theme.dress()
        return make()

    return page  # a plain function: Panel shows any other callable as an object


def serve(port: int) -> Any:
    """The server, not started."""
    theme.extension()
    hub = Hub(Client.from_environment())
    jobs = Jobs(hub.client)
    pages = {"/": lambda: runs.page(hub), "/references": lambda: references.page(hub, jobs), "/ising": ising.page}
    options: dict[str, Any] = {"title": {url: f"{name} · {theme.NAME}" for name, url, _ in theme.PAGES}}
    server: Any = pn.serve(
        {url: _dressed(make) for url, make in pages.items()},
        port=port, address="127.0.0.1", show=False, start=False, verbose=False,
        check_unused_sessions_milliseconds=5000, unused_session_lifetime_milliseconds=20000, **options,
    )  # fmt: skip
    server.io_loop.add_callback(hub.run)
    return server


def main() -> None:
    logging.getLogger("bokeh.server").setLevel(logging.WARNING)
    server = serve(int(os.environ.get("SPINSCOPE_UI_PORT", "8001")))
    server.start()
    loop = server.io_loop
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *args: loop.add_callback_from_signal(loop.stop))
    loop.start()
    server.stop()


if __name__ == "__main__":
    main()
