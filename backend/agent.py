"""The dispatcher: gives queued runs to an engine that has room, and notices processes that are gone.

Liveness is a counter that the owner of a run moves, watched on this process's own monotonic clock: no two clocks are
ever compared. Several agents may work on one database; a run is claimed by one of them.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import time
import uuid
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from backend import private, store
from backend.disk import Room
from backend.engine import FENCED, Key, Local
from backend.engine.local import find_slots
from backend.serve import open_database
from backend.settings import Settings
from backend.store.control import Active
from nqs_core.errors import NQSError

LOG = logging.getLogger("spinscope.agent")
TICK_SECONDS = 0.2
BLIND_SECONDS = 5.0  # a longer pause between two looks makes every patience start anew
BEAT_SECONDS = 2.0
RETRY_SECONDS = 5.0  # between two tries of a run to write, at most


@dataclass
class Watch:
    """What was last seen of an attempt, and since when on this clock."""

    hb: int
    since: float
    stopping: float | None = None


@dataclass
class Agent:
    """One tick: reap, watch, launch."""

    settings: Settings
    engine: sa.Engine
    local: Local
    device: str | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    _seen: dict[Key, Watch] = field(default_factory=dict)
    _looked: float = field(default_factory=time.monotonic)
    _beaten: float = -BEAT_SECONDS
    _ended: list[tuple[Key, int]] = field(default_factory=list)  # not in the database yet

    def __post_init__(self) -> None:
        self.room = Room(self.settings.data_dir)

    def tick(self) -> None:
        """Everything that is due now."""
        self._ended += self.local.reap()
        while self._ended:
            key, status = self._ended[0]
            if status != FENCED:
                self._lost(key, _describe(status), graceful=self.room.full())
            self._ended.pop(0)
        work = store.work(self.engine)
        self._adopt(work.active)
        self._watch(work.active)
        if work.queued and not self.room.full():
            self._launch()
        self.local.keep_spares()
        if time.monotonic() - self._beaten >= BEAT_SECONDS:
            free = self.local.nfree()
            store.beat(self.engine, self.id, "agent", slots=self.local.slots, free=free, device=self.device)
            self._beaten = time.monotonic()
            self.room.keep()

    def _adopt(self, active: list[Active]) -> None:
        here, live = socket.gethostname(), self.local.live()
        for run in active:
            key = (run.id, run.attempt)
            if key not in live and run.slot and run.pid and run.host == here:
                self.local.adopt(key, run.slot, run.pid)

    def _launch(self) -> None:
        while self.local.nfree() > 0 and (claimed := store.claim_next(self.engine)) is not None:
            LOG.info("run %s: attempt %d", *claimed)
            try:
                self.local.launch(*claimed)
            except OSError as error:
                self._lost(claimed, f"its process could not be started: {error}")
                return

    def _watch(self, active: list[Active]) -> None:
        now = time.monotonic()
        if now - self._looked > BLIND_SECONDS:
            self._seen = {}  # the database or this machine was away, and so may have been the owners' heartbeats
        held = bool(active) and self._held()
        seen: dict[Key, Watch] = {}
        for run in active:
            key = (run.id, run.attempt)
            watch = self._seen.get(key)
            if watch is None or watch.hb != run.hb:
                watch = Watch(run.hb, now, watch.stopping if watch else None)
            seen[key] = watch
            patience = self.settings.lost_seconds if run.state == "running" else self.settings.start_seconds
            late = now - watch.since > patience
            if late:
                self.room.notice()  # what was seen a moment ago does not condemn
            if held or (late and self._held()):
                watch.since = now + RETRY_SECONDS
            elif late:
                self.local.kill(run.id, 0.0)
                self._lost(key, f"no sign of life for {patience:g} s")
            elif run.desired == "stop":
                watch.stopping = watch.stopping or now
                # The process ends itself after its grace; one that cannot even do that is ended from here.
                if now - watch.stopping > self.settings.grace_seconds + BLIND_SECONDS:
                    self.local.kill(run.id, 1.0)
        self._seen, self._looked = seen, time.monotonic()

    def _held(self) -> bool:
        """Whether silence means nothing: nobody can write a sign of life, this process neither."""
        return self.room.full() or time.monotonic() - self._beaten > BLIND_SECONDS

    def _lost(self, key: Key, why: str, *, graceful: bool = False) -> None:
        state = store.lost(self.engine, *key, why, graceful=graceful)
        if state is not None:
            LOG.warning("run %s, attempt %d: %s; now %s", *key, why, state)

    def close(self) -> None:
        """Drain: every run writes a checkpoint and is queued; it goes on at the next start."""
        for key, status in self.local.close(self.settings.grace_seconds):
            if status != FENCED:
                self._lost(key, _describe(status), graceful=True)
        store.leave(self.engine, self.id)


def _describe(status: int) -> str:
    return f"its process was ended by signal {-status}" if status < 0 else f"its process ended with status {status}"


def listen() -> list[int]:
    """The signals to end that come from now on."""
    told: list[int] = []  # an Event has a lock, on which a second signal during the first would wait for ever
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: told.append(number))
    return told


def main() -> int:
    """Until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    told = listen()
    settings = Settings.from_env()
    private.tighten(settings)
    try:
        engine = open_database(settings.db_url)
    except NQSError as error:
        raise SystemExit(f"spinscope: {error}") from None
    slots, device = find_slots(settings.slots)
    agent = Agent(settings, engine, Local(settings, slots), device)
    LOG.info("%s: %s", device, ", ".join(slots))
    said = ""
    while not told:
        time.sleep(TICK_SECONDS)
        try:
            agent.tick()
            said = ""
        except NQSError as error:
            if str(error) != said:
                LOG.error("%s; trying again until it works", error)
            said = str(error)
            time.sleep(1.0)
        except Exception:
            LOG.exception("will try again")
            time.sleep(1.0)
    with contextlib.suppress(SQLAlchemyError):  # without the database the next agent finds the runs lost
        agent.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
