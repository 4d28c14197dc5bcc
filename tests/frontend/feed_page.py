"""A page with the live components and a scripted feed behind it: `python -m tests.frontend.feed_page PORT`.

The feed speaks the product's protocol with made-up curves. `/script?do=...` makes it misbehave as real servers do.
"""

import asyncio
import json
import math
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import panel as pn
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from frontend import layout, theme
from frontend.components import LiveChart, SpinView
from frontend.views import ising

COLUMNS = [
    ["step", "f8"], ["time", "f8"], ["samples", "f8"], ["energy", "f8"], ["energy_error", "f4"], ["variance", "f4"],
    ["acceptance", "f4"], ["r_hat", "f4"], ["jsd", "f4"], ["jsd_floor", "f4"],
]  # fmt: skip
E0 = -20.4046
N_SITES = 16
CREDIT = 4


class Run:
    """A made-up history of rows; a rewind drops the end and goes on."""

    def __init__(self, ident: str, seed: int, n: int) -> None:
        self.ident = ident
        self.random = np.random.default_rng(seed)
        self.rate = 0.4 + 0.3 * seed
        self.log: list[dict[str, float] | int] = []  # rows, or the step of a rewind
        self.step = 0
        self.grow(n)

    def grow(self, n: int) -> None:
        for _ in range(n):
            self.step += 1
            noise = self.random.standard_normal()
            gap = 3.0 * math.exp(-self.rate * self.step / 60) + 4e-4
            error = 0.15 * gap
            row = {
                "step": self.step, "time": 0.03 * self.step, "samples": 1024 * self.step,
                "energy": E0 + gap + error * noise, "energy_error": error, "variance": 1024 * error**2,
                "acceptance": 0.5 + 0.02 * noise, "r_hat": 1 + 0.01 * abs(noise),
            }  # fmt: skip
            if self.step % 10 == 0:
                row |= {"jsd": 0.3 * gap + 0.01, "jsd_floor": 0.01}
            self.log.append(row)

    def rewind(self, step: int) -> None:
        self.log.append(step)
        self.step = step

    def frame(self, start: int) -> tuple[dict[str, Any], list[bytes]]:
        part = self.log[start:]
        rows = [item for item in part if isinstance(item, dict)]
        rewinds = [[sum(isinstance(x, dict) for x in part[:i]), x] for i, x in enumerate(part) if isinstance(x, int)]
        head = {
            "id": self.ident, "name": f"RBM {self.ident}", "state": "running", "phase": "train", "step": self.step,
            "n_steps": 9999, "n_sites": N_SITES, "n_samples": 1024, "attempt": 1, "result": None, "error": None,
            "reference": {"energy": E0, "method": "exact", "bound": "exact", "uncertainty": 0.0},
            "from": start, "to": len(self.log), "n": len(rows), "columns": COLUMNS, "rewinds": rewinds, "messages": [],
        }  # fmt: skip
        kinds = {"f8": np.float64, "f4": np.float32}
        blocks = [np.array([r.get(name, math.nan) for r in rows], kinds[kind]).tobytes() for name, kind in COLUMNS]
        return head, blocks


class World:
    runs: dict[str, Run]
    boot = "boot-0"
    silent = False

    @classmethod
    def reset(cls) -> None:
        cls.runs = {"a": Run("a", 0, 300), "b": Run("b", 1, 200), "long": Run("long", 2, 5000), "new": Run("new", 3, 0)}


class Feed(WebSocketHandler):
    """One client of the scripted feed, with the product's credit window."""

    clients: set["Feed"] = set()  # noqa: RUF012

    def open(self, *args: str, **kwargs: str) -> None:
        self.wish: dict[str, Any] = {"sub": 0, "runs": [], "spins": None, "paused": True}
        self.cursor: dict[str, int] = {}
        self.sent = self.acked = 0
        Feed.clients.add(self)

    def on_message(self, message: str | bytes) -> None:
        data = json.loads(message)
        if "ack" in data:
            self.acked = data["ack"]
            return
        if data["sub"] != self.wish["sub"]:
            self.cursor.clear()
        self.wish = data

    def on_close(self) -> None:
        Feed.clients.discard(self)

    async def tick(self) -> None:
        if self.wish["paused"] or self.sent - self.acked >= CREDIT:
            return
        runs = [World.runs[i] for i in self.wish["runs"] if i in World.runs]
        fresh = [r for r in runs if self.cursor.get(r.ident) != len(r.log)]
        spins = World.runs.get(self.wish["spins"] or "")
        if not fresh and spins is None:
            return
        self.sent += 1
        parts = [r.frame(self.cursor.get(r.ident, 0)) for r in fresh]
        self.cursor |= {r.ident: len(r.log) for r in fresh}
        head = {"t": int(time.time() * 1000), "boot": World.boot, "sub": self.wish["sub"], "frame": self.sent}
        head |= {"runs": [p[0] for p in parts], "spins": None}
        blocks = [block for p in parts for block in p[1]]
        if spins is not None:
            square = spins.ident != "b"
            extent, lattice = ([4, 4], "square") if square else ([16], "chain")
            sigma = np.where(spins.random.random((24, N_SITES)) < 0.6, 1, -1).astype(np.int8)
            head["spins"] = {
                "id": spins.ident, "step": spins.step, "n_chains": 24, "n_sites": N_SITES,
                "extent": extent, "lattice": lattice,
            }  # fmt: skip
            blocks.append(sigma.tobytes())
        text = json.dumps(head).encode()
        text += b" " * (-(4 + len(text)) % 8)
        await self.write_message(struct.pack("<I", len(text)) + text + b"".join(blocks), binary=True)


class Script(RequestHandler):
    """Commands from the tests."""

    def get(self) -> None:
        action = self.get_argument("do")
        if action == "grow":
            World.runs[self.get_argument("run", "a")].grow(int(self.get_argument("n", "10")))
        elif action == "rewind":
            World.runs["a"].rewind(int(self.get_argument("step")))
            World.runs["a"].grow(int(self.get_argument("n", "5")))
        elif action == "restart":
            World.boot += "x"
            for client in list(Feed.clients):
                client.close(1001)
        elif action == "reset":
            World.reset()
        self.write({"n": World.runs["a"].step})


def button(name: str, act: Callable[[], object]) -> Any:
    def clicked(event: Any) -> None:
        act()

    made = pn.widgets.Button(name=name)
    made.on_click(clicked)
    return made


def page() -> Any:
    asked = (pn.state.session_args.get("runs") or [b"a,b"])[0].decode()
    runs = [r for r in asked.split(",") if r]
    options = {"runs": runs, "colours": {"a": 0, "b": 1, "long": 2}, "height": 300, "sizing_mode": "stretch_width"}
    metrics = ("energy", "error", "jsd", "r_hat")
    charts = [LiveChart(metric=m, name=m, **options) for m in metrics]
    spins = SpinView(run=runs[0] if runs else "", sizing_mode="stretch_width")
    chain = SpinView(run="", sizing_mode="stretch_width")
    actions = {
        "smooth": lambda: [c.param.update(smoothing=0.9) for c in charts],
        "only b": lambda: [spins.param.update(run="b"), *[c.param.update(runs=["b"]) for c in charts]],
        "total": lambda: [c.param.update(per_site=False, x_mode="samples") for c in charts],
        "export": lambda: charts[0].export("svg"),
    }
    buttons = pn.Row(*[button(name, act) for name, act in actions.items()])
    dark = "dark" in pn.state.session_args
    cards = [layout.card(shown) for shown in [*charts, spins, chain]]
    main = [buttons, *cards]
    return theme.page("/", main, dark_theme=dark, sidebar_variant="temporary")


async def ticking() -> None:
    while True:
        await asyncio.gather(*(client.tick() for client in list(Feed.clients)), return_exceptions=True)
        await asyncio.sleep(0.1)


def main() -> None:
    theme.extension()
    World.reset()
    server: Any = pn.serve(
        {"/": page, "/ising": ising.page}, port=int(sys.argv[1]), address="127.0.0.1",
        show=False, start=False, verbose=False, extra_patterns=[(r"/ws/feed", Feed), (r"/script", Script)],
    )  # fmt: skip
    server.io_loop.add_callback(ticking)
    server.start()
    server.io_loop.start()


if __name__ == "__main__":
    main()
