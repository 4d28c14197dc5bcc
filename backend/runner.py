"""One process, one attempt of one run: `python -m backend.runner --run ID --attempt N`.

`--spare` waits with JAX imported, but no device touched, for "ID N SLOT" on its standard input.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backend import store
from backend.engine.base import FENCED
from backend.engine.local import slot_environment
from backend.jobs.base import Task, patiently
from backend.private import UMASK
from backend.settings import Settings
from backend.sink import Sink, recover
from backend.store.ingest import FencedError, Owner

if TYPE_CHECKING:
    from backend.jobs.vmc import Drive

LOG = logging.getLogger("spinscope.runner")


class Terminator:
    """Hears SIGTERM even while the main thread is inside the compiler, where Python's signal handlers cannot run."""

    def __init__(self) -> None:
        self._sink: Sink | None = None
        # The C part of the handler writes to the pipe at once, in whichever thread the signal arrives. Blocking the
        # signal instead would not reach the threads that NumPy has started before.
        self._pipe, written = os.pipe()
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    def attach(self, sink: Sink) -> None:
        """From now on SIGTERM means: checkpoint and queue the run."""
        self._sink = sink

    def _listen(self) -> None:
        while os.read(self._pipe, 1):
            LOG.info("asked to end")
            if self._sink is None:
                os._exit(0)  # nothing was begun
            self._sink.terminate()


def prepare(settings: Settings) -> None:
    """What JAX reads when it is imported."""
    for name, value in settings.computing().items():
        os.environ.setdefault(name, value)


def run(
    settings: Settings, run_id: str, attempt: int, terminator: Terminator | None, drive: Drive | None = None
) -> int:
    """Work on an attempt; the exit status of the process."""
    from backend import attempt as attempts

    folder = settings.run_folder(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    engine = store.open_engine(settings.db_url, upgrade=False, busy_seconds=5.0)
    owner = Owner(run_id, attempt, str(uuid.uuid4()))
    me = {"pid": os.getpid(), "host": socket.gethostname(), "slot": os.environ.get("SPINSCOPE_SLOT")}
    deadline = time.monotonic() + settings.start_seconds
    claim = patiently(lambda: store.claim_attempt(engine, *owner, **me), deadline)
    if claim is None:
        LOG.warning("attempt %d of run %s is taken or superseded", attempt, run_id)
        return FENCED
    try:
        replayed = patiently(lambda: recover(engine, owner, folder), deadline) if attempt > 1 else 0
    except FencedError:
        return FENCED
    LOG.info("run %s, attempt %d; %d records of earlier attempts replayed", run_id, attempt, replayed)
    sink = Sink(
        engine,
        owner,
        folder,
        flush_seconds=settings.flush_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
        grace_seconds=settings.grace_seconds,
    )
    if terminator is not None:
        terminator.attach(sink)
    task = Task(engine, sink, settings, run_id, attempt, claim.kind, claim.parent, claim.config)
    done = attempts.work(task, drive)
    LOG.info("ended, %s", "everything is in the database" if done else "the database did not take everything")
    engine.dispose()
    return 0 if done else 1


def _redirect(path: Path) -> None:
    """Everything that this process says goes to the run's log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)


def main(argv: Sequence[str] | None = None, drive: Drive | None = None) -> int:
    """Run one attempt, or wait for one."""
    parser = argparse.ArgumentParser(prog="backend.runner", description=__doc__)
    parser.add_argument("--run", help="identifier of the run")
    parser.add_argument("--attempt", type=int, default=1)
    parser.add_argument("--spare", action="store_true", help="wait for 'ID N SLOT' on standard input")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    os.umask(UMASK)
    terminator = Terminator()
    settings = Settings.from_env()
    prepare(settings)
    if options.spare:
        import backend.attempt  # noqa: F401  # the slow part, before anybody waits for it

        order = sys.stdin.readline().split()
        if not order:
            return 0  # the agent is gone
        run_id, attempt = order[0], int(order[1])
        os.environ.update(slot_environment(order[2]) if len(order) > 2 else {})
    elif options.run:
        run_id, attempt = options.run, options.attempt
    else:
        parser.error("--run or --spare is needed")
    _redirect(settings.run_folder(run_id) / f"log-{attempt:04d}.txt")
    return run(settings, run_id, attempt, terminator, drive)


def exit_now(status: int) -> None:
    """End without the tear-down of JAX, which has nothing to save and can hang."""
    logging.shutdown()
    os._exit(status)


if __name__ == "__main__":
    try:
        STATUS = main()
    except Exception:
        LOG.exception("the runner failed")
        STATUS = 1
    exit_now(STATUS)
