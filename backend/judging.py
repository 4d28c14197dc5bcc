"""Runs of earlier versions, which no judgement came with, are judged when the server starts."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from typing import Any

import orjson
from sqlalchemy import Engine

from backend import store
from nqs_core.config import System, parse_as
from nqs_core.errors import NQSError
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.lattices import LATTICES
from nqs_core.operators import spectrum

LOG = logging.getLogger("spinscope.judging")
AT_ONCE = 100  # runs of one transaction


def start(engine: Engine) -> None:
    """Judge every run that has an energy and no judgement."""
    left = store.unjudged(engine)
    for low in range(0, len(left), AT_ONCE):
        store.judge_all(engine, list(_spectra(left[low : low + AT_ONCE])))


def _spectra(found: list[dict[str, Any]]) -> Iterator[tuple[str, tuple[float, float] | None]]:
    for run in found:
        if run["spectrum"] is not None:
            yield run["id"], None
            continue
        try:
            parts = {name: run["config"][name] for name in ("lattice", "hamiltonian")}
            yield run["id"], _bounds(orjson.dumps(parts))
        except (NQSError, KeyError, ValueError) as error:  # a component that has left the registry, or never was one
            LOG.info("run %s has no bounds: %.200s", run["id"], error)
            yield run["id"], None


@functools.lru_cache(256)
def _bounds(raw: bytes) -> tuple[float, float]:
    system = parse_as(System, orjson.loads(raw))
    return spectrum(HAMILTONIANS.build(system.hamiltonian, lattice=LATTICES.build(system.lattice)).terms())
