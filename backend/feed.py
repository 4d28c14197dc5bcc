"""The live feed: one tailer of the database, one curve per run shared by all browsers, one cursor per browser and run.

Protocol: the client says what it wants in JSON (`sub`, `runs`, `spins`, `paused`) and acknowledges each frame (`ack`);
the server sends binary frames, u32 header length | JSON header | blocks, about ten times a second while there is news.
"""

import asyncio
import contextlib
import logging
import struct
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from backend import store
from backend.presence import Presence
from backend.series import Curve, brief
from backend.spins import lattice_shape, unpack
from backend.strict import dumps
from nqs_core import words
from nqs_core.errors import NQSError

POLL = 0.05  # seconds between two looks at the database's version
PERIOD = 0.1  # seconds between two frames of a client, and between two looks at a run
REFRESH = 2.0  # seconds after which everything is read again, whatever the version says
PAGE = 2000  # events of one read
CREDIT = 4  # frames on their way to a client
IDLE_CURVES = 16  # curves that are kept though nobody watches them
STATUS = (
    "id", "name", "kind", "parent", "state", "phase", "step", "n_steps", "n_sites", "n_samples", "attempt",
    "reference", "result", "error",
)  # fmt: skip
UNKNOWN: dict[str, Any] = dict.fromkeys((*STATUS, "label")) | {"state": "deleted"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One run's part of a frame, encoded once for all clients with the same cursor."""

    to: int
    header: bytes
    blocks: list[bytes]


@dataclass
class Topic:
    """One run that somebody watches."""

    id: str
    curve: Curve = field(default_factory=Curve)
    status: dict[str, Any] = field(default_factory=dict)
    shape: dict[str, Any] = field(default_factory=dict)
    version: int = 0  # rises with every change; 0: nothing is known yet
    watchers: set["Client"] = field(default_factory=set)
    dirty: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    _entries: dict[int, Entry] = field(default_factory=dict)
    _spins: tuple[int, bytes, bytes] | None = None

    def publish(self) -> None:
        """Tell the watchers that there is something new."""
        self.version += 1
        self._entries.clear()
        for client in self.watchers:
            client.wake.set()

    def entry(self, after: int) -> Entry:
        """What a client with everything up to `after` gets next."""
        if after not in self._entries:
            part = self.curve.slice(after)
            fields = {"from": part.after, "to": part.to, "n": part.n, "columns": part.columns}
            fields |= {"undefined": part.undefined, "rewinds": part.rewinds, "messages": part.messages}
            self._entries[after] = Entry(part.to, dumps({**self.status, **fields}), part.blocks)
        return self._entries[after]

    def spins(self) -> tuple[int, bytes, bytes] | None:
        """Sequence number, header and int8 block of the newest configurations."""
        snapshot = self.curve.snapshot
        if snapshot is not None and (self._spins is None or self._spins[0] != snapshot["seq"]):
            shape = (snapshot["n_chains"], snapshot["n_sites"])
            header = {"id": self.id, "step": snapshot["step"], "n_chains": shape[0], "n_sites": shape[1], **self.shape}
            self._spins = (snapshot["seq"], dumps(header), unpack(snapshot["spins"], *shape))
        return self._spins


def _surprising(error: Exception) -> bool:
    return not isinstance(error, NQSError)  # whose sentence says everything


class Client:
    """What one browser wants and how far it is."""

    def __init__(self, hub: "Hub") -> None:
        self.hub = hub
        self.wake = asyncio.Event()
        self.sub = 0
        self.spins: str | None = None
        self.paused = False
        self.frame = 0
        self.flying: deque[int] = deque()
        self._cursors: dict[str, tuple[int, int]] = {}  # run -> sequence number and version that it has
        self._spins_sent: tuple[str, int] | None = None

    def wish(self, sub: int, runs: list[str], spins: str | None, paused: bool) -> None:
        """Take over what the browser asks for; a new `sub` starts every run from its first event."""
        if sub != self.sub:
            self._cursors = {}
            self._spins_sent = None
            self.flying.clear()  # a browser may drop frames of an older wish unseen
        self.sub, self.spins, self.paused = sub, spins, paused
        wanted = list(dict.fromkeys(runs))
        self._cursors = {run: self._cursors.get(run, (0, 0)) for run in wanted}
        self.hub.watch(self, {*wanted, *([spins] if spins else [])})
        self.wake.set()

    def acknowledge(self, frame: int) -> None:
        """The browser has processed everything up to `frame`."""
        while self.flying and self.flying[0] <= frame:
            self.flying.popleft()
        self.wake.set()

    def next_frame(self) -> bytes | None:
        """Everything new since the last frame, or None if there is nothing or the browser is behind."""
        if self.paused or len(self.flying) >= CREDIT:
            return None
        entries = []
        for run, (after, version) in self._cursors.items():
            topic = self.hub.topics[run]
            if topic.version == 0 or (version == topic.version and after >= topic.curve.last):
                continue
            entry = topic.entry(after)
            self._cursors[run] = (entry.to, topic.version)
            entries.append(entry)
        spins = self._new_spins()
        if not entries and spins is None:
            return None
        self.frame += 1
        self.flying.append(self.frame)
        return self._encode(entries, spins)

    def behind(self) -> bool:
        """Whether another frame is ready already, as while the history is sent."""
        return any(after < self.hub.topics[run].curve.last for run, (after, _) in self._cursors.items())

    def _new_spins(self) -> tuple[bytes, bytes] | None:
        topic = self.hub.topics.get(self.spins or "")
        newest = topic.spins() if topic else None
        if topic is None or newest is None or self._spins_sent == (topic.id, newest[0]):
            return None
        self._spins_sent = (topic.id, newest[0])
        return newest[1:]

    def _encode(self, entries: list[Entry], spins: tuple[bytes, bytes] | None) -> bytes:
        head = {"t": int(time.time() * 1000), "boot": self.hub.boot, "sub": self.sub, "frame": self.frame}
        runs = b",".join(entry.header for entry in entries)
        header = dumps(head)[:-1] + b',"runs":[' + runs + b'],"spins":' + (spins[0] if spins else b"null") + b"}"
        header += b" " * (-(4 + len(header)) % 8)
        blocks = [block for entry in entries for block in entry.blocks]
        return b"".join([struct.pack("<I", len(header)), header, *blocks, spins[1] if spins else b""])


class Hub:
    """Watches the database for all clients.

    Args:
        engine: the store.
        boot: identifier of this server process; a browser reloads when it changes.
    """

    def __init__(self, engine: Engine, boot: str) -> None:
        self.engine = engine
        self.boot = boot
        self.topics: dict[str, Topic] = {}
        self.clients: set[Client] = set()
        self._pragma: Any = None
        self._presence = Presence(engine)

    def join(self) -> Client:
        """A new browser."""
        client = Client(self)
        self.clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """Forget a browser."""
        self.clients.discard(client)
        self.watch(client, set())

    def watch(self, client: Client, runs: set[str]) -> None:
        """Make `runs` the ones that `client` is told about."""
        for topic in self.topics.values():
            if topic.id not in runs:
                topic.watchers.discard(client)
        for run in runs:
            topic = self.topics.pop(run, None) or Topic(run)
            self.topics[run] = topic  # last in the order: most recently wanted
            topic.watchers.add(client)
            topic.dirty.set()
            if topic.task is None:
                topic.task = asyncio.create_task(self._follow(topic))
        idle = [topic for topic in self.topics.values() if not topic.watchers]
        for topic in idle[:-IDLE_CURVES]:
            self.topics.pop(topic.id)
            if topic.task:
                topic.task.cancel()

    async def run(self) -> None:
        """Look for commits of other processes until cancelled."""
        version, fresh = None, 0.0
        try:
            while True:
                await asyncio.sleep(POLL)
                if not any(topic.watchers for topic in self.topics.values()):
                    continue
                seen, now = self._data_version(), time.monotonic()
                if seen is None or seen != version or now - fresh > REFRESH:
                    version, fresh = seen, now
                    for topic in self.topics.values():
                        if topic.watchers:
                            topic.dirty.set()
        finally:
            self._forget_connection()
            for topic in self.topics.values():
                if topic.task:
                    topic.task.cancel()

    def _data_version(self) -> int | None:
        """SQLite's counter of other connections' commits; None where every look must be a query."""
        if self.engine.dialect.name != "sqlite":
            return None
        try:
            if self._pragma is None:
                self._pragma = self.engine.raw_connection()
            return self._pragma.cursor().execute("PRAGMA data_version").fetchone()[0]
        except Exception as error:
            log.warning("cannot look at the database: %s; trying again", error, exc_info=_surprising(error))
            self._forget_connection()
            return None

    def _forget_connection(self) -> None:
        if self._pragma is not None:
            with contextlib.suppress(Exception):
                self._pragma.close()
            self._pragma = None

    async def _follow(self, topic: Topic) -> None:
        """Keep one topic up to date, unless there is no such run; any failure is tried again."""
        known = False
        while True:
            await topic.dirty.wait()
            topic.dirty.clear()
            try:
                if not known and not (known := await self._presence.of(topic.id)):
                    topic.status = UNKNOWN | {"id": topic.id}
                    topic.publish()
                    return
                while await asyncio.to_thread(self._read, topic):
                    topic.publish()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.warning("cannot read run %s: %s; trying again", topic.id, error, exc_info=_surprising(error))
                topic.curve = Curve()  # cursors are sequence numbers: they stay valid
                topic.dirty.set()
                await asyncio.sleep(0.5)
            await asyncio.sleep(PERIOD)

    def _read(self, topic: Topic) -> bool:
        """Read the run's status and one page of events; whether anything was new."""
        run = store.get_run(self.engine, topic.id)
        if run is None:
            status = UNKNOWN | {"id": topic.id}
        else:
            status = {name: run[name] for name in STATUS} | {"result": brief(run["result"])}
            status["label"] = words.system(run["config"])
            topic.shape = topic.shape or lattice_shape(run)
        after = topic.curve.last
        news = status != topic.status or topic.version == 0
        topic.status = status
        if run is not None and run["last_seq"] > after:
            events, last = store.read_events(self.engine, topic.id, after, PAGE)
            topic.curve.extend(events, min(last, after + PAGE))
            news = True
        return news
