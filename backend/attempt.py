"""One attempt to its end, whatever the run does: the last word, and what is said when it fails."""

from __future__ import annotations

import logging
import re

from backend.jobs import dmrg, exact, vmc
from backend.jobs.base import Lost, Steps, Task
from backend.jobs.measure import Again
from backend.spool import HeldError
from nqs_core.errors import NQSError

LOG = logging.getLogger("spinscope.attempt")
MEMORY = re.compile(r"RESOURCE_EXHAUSTED|out of memory", re.IGNORECASE)  # GPU, CPU


def work(task: Task, drive: vmc.Drive | None = None) -> bool:
    """Continue the run to its end or until it shall stop; whether the database has the last word.

    Args:
        task: what is to be done.
        drive: what runs in a VMC run; default: the core's driver.
    """
    sink, step = task.sink, None
    try:
        for step, last_word in _steps(task, drive):
            if last_word is not None:
                state, about = last_word
                return sink.finish(state, step=step, **about)
        raise RuntimeError("the run ended without a result")
    except HeldError:
        return sink.finish(sink.stop_requested() or "stopped", step=step, reason="the disk is full")
    except Lost as error:
        LOG.error("%s", error)
        return sink.finish("lost", reason=str(error))
    except Exception as error:
        if not isinstance(error, NQSError):
            LOG.exception("the run failed")
        return sink.finish("failed", step=step, reason=explain(error))


def _steps(task: Task, drive: vmc.Drive | None) -> Steps:
    if task.kind == "dmrg":
        return dmrg.steps(task)
    if task.kind == "exact":
        return exact.steps(task)
    if task.kind == "measure":
        return vmc.steps(task, Again(task))
    return vmc.steps(task, drive or vmc.Core(task.settings.start_file(task.run_id)))


def explain(error: Exception) -> str:
    """What a user should read about a failure."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, NQSError):
        return text[:2000]
    if isinstance(error, MemoryError) or MEMORY.search(text):
        return f"out of memory; fewer samples, a smaller network or a smaller lattice need less ({text[:500]})"
    return f"{type(error).__name__}: {text[:1500]} (the run's log has more)"
