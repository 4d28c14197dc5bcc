"""What a configuration would run, cost and compare with, before anything is started."""

from __future__ import annotations

import dataclasses
import functools
import threading
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Engine

from backend import references, store
from backend.formula import formula
from backend.pace import Pace
from backend.settings import Settings
from nqs_core import problem
from nqs_core.budget import Work
from nqs_core.card import card
from nqs_core.config import RunConfig

REMEMBERED = 256  # configurations


class Plan(NamedTuple):
    """The API's answer, the operations of a step, and which system it is (`references.system_of`)."""

    answer: dict[str, Any]
    work: Work
    system: tuple[str, str]


class Planner:
    """Builds configurations and remembers what it found: a form asks with every key press."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self._pace = Pace(engine)
        self._built = functools.lru_cache(REMEMBERED)(self._build)
        self._lock = threading.Lock()

    def plan(self, config: RunConfig) -> Plan:
        """The configuration with every default, its card with the time on the agent's device, and its reference.

        Raises:
            NQSError: why it cannot run.
        """
        # The name changes nothing; without it more of what a form sends while somebody types is remembered.
        known, work, n_samples = self._built(
            orjson.dumps(config.model_copy(update={"name": ""}).model_dump(mode="json"))
        )
        full = RunConfig.model_validate(known["config"] | {"name": config.name})
        time = self._pace.expect(full, work, n_samples, store.agent_status(self._engine)["device"])
        answer = {
            **known,
            "config": full.model_dump(mode="json"),
            "card": known["card"] | {"time": time},
            "reference": references.match(self._engine, full),
        }
        return Plan(answer, work, references.system_of(full))

    def _build(self, raw: bytes) -> tuple[dict[str, Any], Work, int]:
        config = RunConfig.model_validate(orjson.loads(raw))
        limit = self._settings.memory_bytes or None
        with self._lock:  # tracing in several threads at once only makes each of them slower
            built = problem.build(config, limit)
            warnings, told, work = problem.warnings(built), card(built, limit), problem.work(built)
        full = built.config or config
        answer = {
            "ok": True,
            "config": full.model_dump(mode="json"),
            "n_sites": told.n_sites,
            "n_params": told.n_params,
            "memory_bytes": sum(told.memory.values()),
            "formula": formula(full.hamiltonian),
            "warnings": warnings,
            "card": dataclasses.asdict(told),
        }
        return answer, work, built.sampler.n_samples
