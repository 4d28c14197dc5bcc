"""`spinscope serve`: claims the port and the data folder, then supervises API, UI and agent."""

import asyncio
import contextlib
import errno
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from backend import private
from backend.disk import Room
from backend.settings import Settings
from backend.supervisor import ServeError, Supervisor
from nqs_core.errors import NQSError

if TYPE_CHECKING:
    from sqlalchemy import Engine

CHECK_SECONDS = 1.0  # for a look at the database's pages


def serve(settings: Settings, *, browser: bool) -> int:
    """Serve until Ctrl-C or SIGTERM; 0 after a clean end.

    Raises:
        NQSError: the port or the data folder is taken, the database is damaged, or a process does not start.
    """
    with _claim(settings), _listen(settings.host, settings.port) as listener:
        _check_database(settings)  # one process brings the tables up to date, and says what is wrong
        port = listener.getsockname()[1]
        secret = settings.ui_secret or secrets.token_urlsafe(32)
        settings = replace(settings, port=port, ui_port=settings.ui_port or _free_port(), ui_secret=secret)
        return asyncio.run(Supervisor(settings, listener, browser).run())


def open_database(url: str) -> "Engine":
    """The store.

    Raises:
        NQSError: the database cannot be used, in one sentence.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from backend import store

    try:
        return store.open_engine(url)
    except store.SchemaError as error:
        raise ServeError(str(error)) from None
    except NQSError:
        raise
    except (SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise ServeError(f"the database cannot be opened: {reason}") from None


def _check_database(settings: Settings) -> None:
    from backend import store

    room = Room(settings.data_dir)
    try:
        engine = open_database(settings.db_url)
    except store.DiskFullError:
        room.give_up()  # whoever wants to make room by deleting runs needs a server
        engine = open_database(settings.db_url)
    store.check(engine, CHECK_SECONDS)
    engine.dispose()
    room.keep()


@contextlib.contextmanager
def _claim(settings: Settings) -> Iterator[None]:
    """Hold the data folder for this server alone, and let nobody else in."""
    folder = settings.data_dir
    try:
        private.tighten(settings)
        (folder / "logs").mkdir(exist_ok=True)
        lock = (folder / "serve.lock").open("a+")
    except OSError as error:
        raise ServeError(f"cannot use the data folder {folder}: {error.strerror or error}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            raise ServeError(f"the data folder {folder} is served already by {owner}") from None
        with contextlib.suppress(OSError):  # a full disk; the lock holds without its owner's name
            lock.truncate(0)
            os.write(lock.fileno(), f"process {os.getpid()}".encode())
        yield


@contextlib.contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    """The listening socket: it stays open while the API process is restarted, so that connections wait."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError):
        raise ServeError(f"the host {host[:60]!r} is unknown here") from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ServeError(f"port {port} of {host} is in use; choose another with --port (0: any)") from None
            raise ServeError(f"cannot listen on port {port} of {host}: {error.strerror}") from None
        listener.listen(1024)
        listener.set_inheritable(True)
        yield listener


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
