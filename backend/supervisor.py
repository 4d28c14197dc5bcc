"""Keeps the three processes of a server alive and ends them in order."""

import asyncio
import contextlib
import ctypes
import http.client
import json
import os
import signal
import socket
import sys
import time
import webbrowser
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from backend.engine.local import is_runner
from backend.settings import Settings
from nqs_core.errors import NQSError

START_SECONDS = 120.0
SETTLED = 60.0  # a process that lived longer starts its back-off anew
MAX_DELAY = 30.0
TRIES = 3  # ends of one process before the server was ready for the first time
END_SECONDS = 3.0  # for API and UI, after the agent is gone
LOG_BYTES = 5_000_000
MODULES = {"api": "backend.main", "ui": "frontend.main", "agent": "backend.agent"}


class ServeError(NQSError):
    """The server cannot be started here."""


def _die_with_parent() -> None:
    """In the child: ask for SIGTERM when the supervisor ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


@dataclass
class Child:
    """One of the three processes."""

    name: str
    process: asyncio.subprocess.Process | None = None
    ends: int = 0

    def signal(self, number: int) -> None:
        """Send a signal if it lives."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    async def end(self, seconds: float) -> bool:
        """Ask it to end; after `seconds` end it hard. Whether it went by itself."""
        if self.process is None or self.process.returncode is not None:
            return True
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), seconds)
            return True
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()
            return False


class Supervisor:
    """Starts the three processes, keeps them alive, and ends them in order."""

    def __init__(self, settings: Settings, listener: socket.socket, browser: bool) -> None:
        self.settings = settings
        self.listener = listener
        self.browser = browser
        self.children = {name: Child(name) for name in MODULES}
        self.ready = False
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.failure: str | None = None

    async def run(self) -> int:
        """Until a signal comes or a process cannot be started.

        Raises:
            ServeError: with the last words of the process.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._interrupt)
        keepers = [asyncio.create_task(self._keep(child)) for child in self.children.values()]
        announcer = asyncio.create_task(self._announce())
        await self.stop.wait()
        announcer.cancel()
        for task in keepers:
            task.cancel()
        await asyncio.gather(announcer, *keepers, return_exceptions=True)
        await self._drain()
        if self.failure:
            raise ServeError(self.failure)
        return 0

    def _interrupt(self) -> None:
        if self.stop.is_set():
            self.hurry.set()
        self.stop.set()

    async def _keep(self, child: Child) -> None:
        delay = 0.5
        while True:
            started = time.monotonic()
            try:
                child.process = await self._start(child.name)
            except OSError as error:
                self._fail(f"the {child.name} process cannot be started: {error.strerror or error}")
                return
            status = await child.process.wait()
            child.ends += 1
            if not self.ready and child.ends >= TRIES:
                self._fail(f"the {child.name} process does not start: {self._last_words(child.name)}")
                return
            if time.monotonic() - started > SETTLED:
                delay = 0.5
            log = self._log(child.name)
            say(f"the {child.name} process ended with status {status}; starting it again in {delay:g} s (see {log})")
            await asyncio.sleep(delay)
            delay = min(2 * delay, MAX_DELAY)

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self.stop.set()

    async def _start(self, name: str) -> asyncio.subprocess.Process:
        log = self._log(name)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".old.log"))
        with log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                MODULES[name],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment(name),
                pass_fds=(self.listener.fileno(),) if name == "api" else (),
                start_new_session=True,  # Ctrl-C reaches the supervisor only, which ends them in order
                preexec_fn=_die_with_parent,
            )

    def _environment(self, name: str) -> dict[str, str]:
        host = self.settings.host
        if host in ("0.0.0.0", "::", ""):
            host = "127.0.0.1"
        host = f"[{host}]" if ":" in host else host
        env = {**os.environ, **self.settings.environment(), "SPINSCOPE_API": f"http://{host}:{self.settings.port}"}
        if name == "agent":
            env |= replace(self.settings, token="", ui_secret="").environment()  # nor do runs need them
        if name == "api":
            env |= {"SPINSCOPE_LISTEN_FD": str(self.listener.fileno()), "JAX_PLATFORMS": "cpu"}
        return env

    def _log(self, name: str) -> Path:
        return self.settings.data_dir / "logs" / f"{name}.log"

    def _last_words(self, name: str) -> str:
        lines = self._log(name).read_text("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else f"it says nothing in {self._log(name)}"

    async def _announce(self) -> None:
        """Print the address once everything answers; then open a browser where there is one."""
        deadline = time.monotonic() + START_SECONDS
        while not await asyncio.to_thread(self._healthy):
            if time.monotonic() > deadline:
                self._fail(
                    f"the server did not get ready in {START_SECONDS:g} s; see {self.settings.data_dir / 'logs'}"
                )
                return
            await asyncio.sleep(0.2)
        self.ready = True
        sys.stdout.write(f"Spinscope is at {self.address()}\nData: {self.settings.data_dir}. Ctrl-C stops it.\n")
        sys.stdout.flush()
        screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        # A browser is started with the address on its command line, which everybody on this machine can read.
        if self.browser and screen and not self.settings.token:
            with contextlib.suppress(webbrowser.Error):
                await asyncio.to_thread(webbrowser.open, self.address())

    def address(self) -> str:
        """What to open in a browser."""
        host = socket.gethostname() if self.settings.host in ("0.0.0.0", "::", "") else self.settings.host
        host = f"[{host}]" if ":" in host else host
        token = f"?token={quote(self.settings.token, safe='')}" if self.settings.token else ""
        return f"http://{host}:{self.settings.port}/{token}"

    def _healthy(self) -> bool:
        """Whether the API answers, the agent is alive, and the UI takes connections."""
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            socket.create_connection(("127.0.0.1", self.settings.ui_port), 1).close()
            host = "127.0.0.1" if self.settings.host in ("0.0.0.0", "::", "") else self.settings.host
            connection = http.client.HTTPConnection(host, self.settings.port, timeout=5)
            try:
                bearer = {"Authorization": f"Bearer {self.settings.token}"} if self.settings.token else {}
                connection.request("GET", "/api/health", headers=bearer)
                health: dict[str, Any] = json.loads(connection.getresponse().read())
            finally:
                connection.close()
            # On a full disk the agent cannot say that it lives; the page is needed to make room.
            return bool(health.get("ok") and (health["agent"]["alive"] or health["disk"]["problem"]))
        return False

    async def _drain(self) -> None:
        """The agent first, whose runs write a checkpoint and are queued again; then what shows them."""
        say("stopping; runs write a checkpoint and go on at the next start")
        gentle = asyncio.create_task(self._end_runs())
        hurry = asyncio.create_task(self.hurry.wait())
        await asyncio.wait([gentle, hurry], return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not gentle.done():
            gentle.cancel()
            self.children["agent"].signal(signal.SIGKILL)
            await self._end_runners(signal.SIGKILL, 1.0)
        await asyncio.gather(
            gentle, *(self.children[name].end(END_SECONDS) for name in MODULES), return_exceptions=True
        )

    async def _end_runs(self) -> None:
        patience = self.settings.grace_seconds + 2
        await self.children["agent"].end(patience)
        # An agent does not end what an earlier one had started.
        if not await self._end_runners(signal.SIGTERM, patience):
            await self._end_runners(signal.SIGKILL, END_SECONDS)

    async def _end_runners(self, number: int, seconds: float) -> bool:
        """Send a signal to every process of a run on this machine; whether all have gone in time."""
        try:
            left = await asyncio.to_thread(runners, self.settings.db_url)
        except Exception as error:
            say(f"cannot look for processes of runs: {error}")
            return True
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while any(map(is_runner, left)) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        return not any(map(is_runner, left))


def runners(db_url: str) -> list[int]:
    """The processes of runs on this machine that the database knows of and that are there."""
    from backend import store

    engine = store.open_engine(db_url, upgrade=False)
    runs, _ = store.list_runs(engine, state=("starting", "running"), archived="any", kind="any", limit=1000)
    engine.dispose()
    here = socket.gethostname()
    return [run["pid"] for run in runs if run["pid"] and run["host"] == here and is_runner(run["pid"])]


def say(text: str) -> None:
    """One line for whoever started the server."""
    with contextlib.suppress(OSError):  # a closed terminal must not keep it from stopping
        sys.stderr.write(f"spinscope: {text}\n")
        sys.stderr.flush()
