"""Child processes for what a request can make as heavy as it likes: building and checking configurations.

The event loop, the threads and the locks of the server never wait for such work. A child has limits of time and memory,
and is killed with its request. What takes long goes on alone, so that short requests do not queue behind it.
"""

import asyncio
import math
import multiprocessing
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from backend.problems import BusyError, GoneError
from backend.sandbox_child import serve
from backend.settings import Settings
from nqs_core.errors import NQSError, TooLargeError

QUICK_SECONDS = 1.0  # of CPU time for a request among the short ones; one that takes longer is a long one
LOOK_SECONDS = 0.05  # between two looks at that time
QUEUE = 200  # requests that wait or are worked on
SLOWDOWN = 4  # of a machine that does other things; times the limit of CPU seconds
REQUESTS = 500  # of one child, whose caches grow
# Children are forked from a process of one thread that has imported everything; it is started with the first of them.
CONTEXT = multiprocessing.get_context("forkserver")
# It imports what `backend.main` does, but not that: multiprocessing runs it in each child once more, by another name.
ROUTES = [f"backend.routes.{name}" for name in ("info", "live", "references", "runs")]
PRELOADED = ["backend.feed", "backend.guard", "backend.judging", "backend.patience", "backend.proxy", "backend.serve"]
CONTEXT.set_forkserver_preload([__name__, "fastapi.openapi.utils", "uvicorn", *PRELOADED, *ROUTES])


class Worker:
    """One child process. `ask` blocks; `kill` may be called from another thread meanwhile."""

    def __init__(self, settings: Settings) -> None:
        self.n_requests = 0
        self._settings = settings
        self._lock = threading.Lock()
        self._killed = False
        self._begun = math.inf  # CPU seconds of the process when it got its request
        self._pipe: Connection | None = None
        self._process: BaseProcess | None = None

    def fit(self) -> bool:
        """Whether it can take another request."""
        return self._process is not None and self._process.is_alive() and self.n_requests < REQUESTS

    def spent(self) -> float:
        """CPU seconds on the present request; 0 until the process is there."""
        return max(0.0, self._clock() - self._begun)

    def ask(self, name: str, *arguments: Any) -> Any:
        """The answer of a task of `sandbox_child`.

        Raises:
            NQSError: the task's own error, or a limit was passed, which ends the process.
        """
        self.n_requests += 1
        try:
            pipe = self._pipe or self._start()
            self._begun = self._clock()
            pipe.send((name, arguments))
            if not pipe.poll(SLOWDOWN * self._settings.check_seconds):
                self.kill()
                raise TooLargeError(self._too_long())
            good, answer = pipe.recv()
        except (EOFError, OSError):
            raise self._end() from None
        finally:
            self._begun = math.inf
        if good:
            return answer
        kind, words, more = answer
        error = kind.__new__(kind)
        error.args = words
        error.__dict__.update(more)
        raise error

    def kill(self) -> None:
        """End it, whatever it does."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End it and give back what it held."""
        self.kill()
        if self._process is not None and self._pipe is not None:
            self._process.join()
            self._process.close()
            self._pipe.close()
            self._process = self._pipe = None

    def _start(self) -> Connection:
        here, there = CONTEXT.Pipe()
        with there, self._lock:
            if self._killed:
                here.close()
                raise EOFError
            self._process = CONTEXT.Process(target=serve, args=(there, self._settings), daemon=True)
            self._process.start()
            self._pipe = here
        here.recv()  # it is ready; what it has done so far is not the request's
        return here

    def _clock(self) -> float:
        """CPU seconds of the process; where other processes have no clock, those of the world."""
        pid = self._process.pid if self._process else None
        try:
            return time.clock_gettime((~(pid or 0) << 3) | 2)  # what clock_getcpuclockid(3) makes of it on Linux
        except OSError:
            return time.monotonic()

    def _end(self) -> NQSError:
        if self._process is not None:
            self._process.join()
            if self._process.exitcode == -signal.SIGXCPU:
                return TooLargeError(self._too_long())
        gigabytes = self._settings.check_memory_bytes / 1e9
        return TooLargeError(f"to check this request takes more than {gigabytes:.3g} GB of memory, the limit here")

    def _too_long(self) -> str:
        return f"to check this request takes more than {self._settings.check_seconds:g} s, the limit here"


class Job(NamedTuple):
    """A request and the child that works on it."""

    worker: Worker
    answer: asyncio.Future[Any]


class Sandbox:
    """The children of a server: one for short requests, one for long ones.

    Args:
        settings: of this deployment, with the limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._quick, self._heavy = asyncio.Lock(), asyncio.Lock()
        self._threads = ThreadPoolExecutor(4, "sandbox")  # nothing else waits for them
        self._idle: Worker | None = None
        self._workers: set[Worker] = set()
        self._n_requests = 0
        self._n_heavy = 0

    async def ask(self, gone: asyncio.Future[Any], name: str, *arguments: Any) -> Any:
        """The answer of a task of `sandbox_child`.

        Args:
            gone: done when nobody wants the answer any more.
            name: of the task.
            arguments: of the task.

        Raises:
            NQSError: the task's own error, or it passed a limit.
            BusyError: too many requests wait.
            GoneError: nobody wants the answer; a long task is killed then.
        """
        if self._n_requests >= QUEUE:
            raise BusyError("the server is checking too many requests; try again in a moment")
        self._n_requests += 1
        try:
            return await self._ask(gone, name, arguments)
        finally:
            self._n_requests -= 1

    async def _ask(self, gone: asyncio.Future[Any], name: str, arguments: tuple[Any, ...]) -> Any:
        async with self._quick:
            job = self._begin(name, arguments)
            while not job.answer.done() and job.worker.spent() < QUICK_SECONDS:
                await asyncio.wait([job.answer], timeout=LOOK_SECONDS)
            if job.answer.done():
                return self._take(job)
            alone, self._n_heavy = self._n_heavy == 0, self._n_heavy + 1
            if not alone:
                await self._stop(job)  # it begins anew when the other one is through
        try:
            async with self._heavy:
                return await self._go_on(gone, job if alone else self._begin(name, arguments))
        finally:
            self._n_heavy -= 1

    async def _go_on(self, gone: asyncio.Future[Any], job: Job) -> Any:
        try:
            await asyncio.wait([job.answer, gone], return_when=asyncio.FIRST_COMPLETED)
            if job.answer.done():
                return job.answer.result()
            raise GoneError
        finally:
            await self._stop(job)

    def _begin(self, name: str, arguments: tuple[Any, ...]) -> Job:
        worker, self._idle = self._idle or Worker(self._settings), None
        self._workers.add(worker)
        return Job(worker, asyncio.get_running_loop().run_in_executor(self._threads, worker.ask, name, *arguments))

    def _take(self, job: Job) -> Any:
        """The answer; the child waits for the next request, unless it has had enough."""
        if self._idle is None and job.worker.fit():
            self._idle = job.worker
        else:
            self._discard(job.worker)
        return job.answer.result()

    async def _stop(self, job: Job) -> None:
        job.worker.kill()
        await asyncio.wait([job.answer])
        job.answer.exception()  # somebody has looked at it
        self._discard(job.worker)

    def _discard(self, worker: Worker) -> None:
        self._workers.discard(worker)
        self._threads.submit(worker.close)

    async def close(self) -> None:
        """End every child."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            await asyncio.to_thread(worker.close)
        self._threads.shutdown(wait=False)
