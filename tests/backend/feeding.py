"""A run whose events a test writes itself, and a browser's side of the feed."""

import base64
import json
import struct
import uuid
from typing import Any

import numpy as np
import websockets.sync.client
from sqlalchemy import Engine

from backend import store
from backend.store.ingest import Owner, flush

CONFIG = {
    "name": "fed",
    "lattice": {"name": "square", "params": {"extent": [2, 3]}},
    "hamiltonian": {"name": "tfim", "params": {}},
    "n_steps": 100_000,
}


class Feeder:
    """The owner of a running attempt: what the runner's sink writes, written by hand."""

    def __init__(self, engine: Engine, name: str = "fed") -> None:
        self.engine = engine
        self.run = store.submit(engine, CONFIG | {"name": name}, n_sites=6)
        self.step = 0
        self.claim()

    def claim(self) -> None:
        """Start the next attempt."""
        claimed = store.claim_next(self.engine)
        assert claimed is not None
        assert claimed[0] == self.run
        self.owner = Owner(self.run, claimed[1], str(uuid.uuid4()))
        store.claim_attempt(self.engine, *self.owner, pid=1, host="here", slot=None)
        self.acked = 0

    def put(self, *records: dict[str, Any]) -> None:
        """Write records in one transaction."""
        stamped = [{"t": 0.0, "step": None, **record} for record in records]
        self.acked += flush(self.engine, self.owner, self.acked, stamped, {}).done

    def train(self, n: int, **scalars: float) -> None:
        """Write the next n steps."""
        rows = []
        for _ in range(n):
            self.step += 1
            values = {"energy": -self.step - 1e-12 * self.owner.attempt, "step_seconds": 0.5, "n_samples": 64.0}
            values |= {"energy_error": 0.1, **scalars}
            rows.append({"kind": "metrics", "phase": "train", "step": self.step, "scalars": values})
        self.put(*rows)

    def snapshot(self, spins: np.ndarray) -> None:
        """Write configurations, shape (n_chains, n_sites), +1 / -1."""
        packed = base64.b64encode(np.packbits(spins > 0).tobytes()).decode()
        shape = {"n_chains": spins.shape[0], "n_sites": spins.shape[1]}
        self.put({"kind": "snapshot", "step": self.step, "spins": packed, "energies": [], **shape})

    def restart(self, step: int) -> None:
        """Lose the process; the next attempt continues after `step`."""
        store.lost(self.engine, self.run, self.owner.attempt, "lost in a test", graceful=True)
        self.claim()
        self.put({"kind": "rewind", "step": step})
        self.step = step


def decode(frame: bytes) -> tuple[dict[str, Any], dict[str, dict[str, np.ndarray]], np.ndarray]:
    """Header, columns by run, and spins of a binary frame; every byte must be accounted for."""
    (length,) = struct.unpack_from("<I", frame)
    assert (4 + length) % 8 == 0
    header = json.loads(frame[4 : 4 + length])
    offset, columns = 4 + length, {}
    for run in header["runs"]:
        columns[run["id"]] = {}
        for name, kind in run["columns"]:
            values = np.frombuffer(frame, "<" + kind, run["n"], offset)
            columns[run["id"]][name] = values
            offset += values.nbytes
    n = header["spins"]["n_chains"] * header["spins"]["n_sites"] if header["spins"] else 0
    spins = np.frombuffer(frame, np.int8, n, offset)
    assert offset + n == len(frame)
    return header, columns, spins


class Browser:
    """Keeps the rows of each run as the page does: clears at `from` 0, drops rewound steps, appends."""

    def __init__(self, address: str) -> None:
        # Open for as long as the browser is: a test closes it or the server's end does.
        self.socket = websockets.sync.client.connect(f"ws://{address}/ws/feed", max_size=None, proxy=None).__enter__()
        self.rows: dict[str, list[dict[str, float]]] = {}
        self.seen: dict[str, int] = {}
        self.status: dict[str, dict[str, Any]] = {}
        self.messages: list[dict[str, Any]] = []
        self.spins: tuple[dict[str, Any], np.ndarray] | None = None
        self.sub = 0

    def want(self, *runs: str, spins: str | None = None, paused: bool = False, same: bool = False) -> None:
        """Say what to watch."""
        self.sub += not same
        self.socket.send(json.dumps({"sub": self.sub, "runs": runs, "spins": spins, "paused": paused}))

    def receive(self, timeout: float = 20.0, ack: bool = True) -> dict[str, Any]:
        """Process one frame."""
        frame = self.socket.recv(timeout)
        assert isinstance(frame, bytes)
        header, columns, spins = decode(frame)
        if ack:
            self.socket.send(json.dumps({"ack": header["frame"]}))
        if header["sub"] != self.sub:
            return header
        for run in header["runs"]:
            self._take(run, columns[run["id"]])
        if header["spins"]:
            self.spins = header["spins"], spins.reshape(header["spins"]["n_chains"], -1)
        return header

    def _take(self, run: dict[str, Any], columns: dict[str, np.ndarray]) -> None:
        key = run["id"]
        assert run["from"] in (0, self.seen.get(key))
        if run["from"] == 0:
            self.rows[key] = []
        self.seen[key] = run["to"]
        self.status[key] = run
        self.messages += run["messages"]
        rewinds = list(run["rewinds"])
        for row in range(run["n"] + 1):
            while rewinds and rewinds[0][0] == row:
                step = rewinds.pop(0)[1]
                self.rows[key] = [kept for kept in self.rows[key] if kept["step"] <= step]
            if row < run["n"]:
                self.rows[key].append({name: float(values[row]) for name, values in columns.items()})
        assert not rewinds

    def until(self, run: str, last: int, frames: int = 10_000) -> None:
        """Receive until everything up to the sequence number `last` is here."""
        while self.seen.get(run, 0) < last and frames:
            self.receive()
            frames -= 1
        assert self.seen[run] == last
