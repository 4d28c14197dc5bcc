"""The one module that knows SQL: submit, control and read runs. The database is the queue and the truth."""

from backend.store.connect import Engine, SchemaError, check, migrate, open_engine, reading
from backend.store.control import claim_attempt, claim_next, finish, lost, request_resume, request_stop, work
from backend.store.failures import DamagedError, DiskFullError
from backend.store.judging import judge_all, unjudged
from backend.store.leading import lead_all
from backend.store.reads import checkpoint_hashes, read_events
from backend.store.related import (
    children,
    delete_files,
    delete_run,
    same_system,
    set_reference,
    set_system,
    started_from,
    systems,
    without_system,
)
from backend.store.runs import (
    StateError,
    UnknownRunError,
    counts,
    existing,
    get_run,
    list_runs,
    names,
    results,
    submit,
    update_run,
)
from backend.store.servers import agent_status, beat, leave

__all__ = [
    "DamagedError",
    "DiskFullError",
    "Engine",
    "SchemaError",
    "StateError",
    "UnknownRunError",
    "agent_status",
    "beat",
    "check",
    "checkpoint_hashes",
    "children",
    "claim_attempt",
    "claim_next",
    "counts",
    "delete_files",
    "delete_run",
    "existing",
    "finish",
    "get_run",
    "judge_all",
    "lead_all",
    "leave",
    "list_runs",
    "lost",
    "migrate",
    "names",
    "open_engine",
    "read_events",
    "reading",
    "request_resume",
    "request_stop",
    "results",
    "same_system",
    "set_reference",
    "set_system",
    "started_from",
    "submit",
    "systems",
    "unjudged",
    "update_run",
    "without_system",
    "work",
]
