"""The inside of a child process of `backend.sandbox`: one request after the other, each within its limits."""

import contextlib
import logging
import math
import resource
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import jax

from backend import references, store
from backend.service import Service
from backend.settings import Settings
from backend.strict import dumps, loads
from nqs_core.config import RunConfig
from nqs_core.errors import NQSError

log = logging.getLogger(__name__)


def serve(pipe: Connection, settings: Settings) -> None:
    """Answer until the other end is closed: (True, answer), or (False, the error in parts)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    jax.config.update("jax_platforms", "cpu")
    jax.devices()  # its threads and their stacks are not the request's
    _limit_memory(settings.check_memory_bytes)
    tasks: dict[str, Callable[..., Any]] = {}
    with contextlib.suppress(EOFError, OSError, MemoryError):  # the server has gone, or says what this end means
        pipe.send(True)
        while True:
            name, arguments = pipe.recv()
            _limit_time(settings.check_seconds)
            pipe.send(_answer(tasks, settings, name, arguments))


def _answer(tasks: dict[str, Callable[..., Any]], settings: Settings, name: str, arguments: Any) -> tuple[bool, Any]:
    """Raises:
    MemoryError: which ends this process; what it holds is not known any more.
    """
    try:
        if not tasks:
            tasks |= _tasks(Service(settings, store.open_engine(settings.db_url, upgrade=False), ""))
        return True, tasks[name](*arguments)
    except Exception as error:
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise MemoryError from None
        if not isinstance(error, NQSError):
            log.exception("%s failed", name)
        return False, (type(error), error.args, error.__dict__)


def _tasks(service: Service) -> dict[str, Callable[..., Any]]:
    """What a request can ask for; answers that only travel are encoded here."""
    known = service.references
    return {
        "validate": lambda raw: dumps(service.validate(loads(raw))),
        "plan": lambda body: service.plan(loads(body) if isinstance(body, bytes) else body),
        "lattice": lambda raw, momentum: dumps(service.lattice(loads(raw), momentum)),
        "match": lambda raw: dumps(known.match(loads(raw))),
        "estimate": lambda raw: dumps(known.estimate(loads(raw))),
        "plan_reference": lambda raw: known.plan(loads(raw)),
        "check_own": lambda raw: known.check_own(loads(raw)),
        "refresh": lambda key: references.refresh(service.engine, key),
        "refresh_run": lambda run, config, reference: references.refresh_run(
            service.engine, run, RunConfig.model_validate(config), reference
        ),
    }


def _limit_time(seconds: float) -> None:
    """End this process, by SIGXCPU, when it has computed for so long from now on."""
    limit = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_memory(n_bytes: int) -> None:
    """Give this process so much memory beyond what it has; only Linux can."""
    if sys.platform == "linux":
        kilobytes = Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0]
        limit = 1024 * int(kilobytes) + n_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
