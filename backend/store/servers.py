"""Which long-lived processes are alive, for people to see; liveness of runs never depends on it."""

from __future__ import annotations

import os
import socket
import time
from importlib.metadata import version
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from backend.models import servers
from backend.store.connect import reading

STALE_SECONDS = 10.0


def beat(
    engine: Engine, server_id: str, role: str, *, slots: int = 0, free: int = 0, device: str | None = None
) -> None:
    """Say that this process is alive."""
    now = time.time()
    values = {"slots": slots, "free": free, "device": device, "seen": now}
    with engine.begin() as connection:
        mine = sa.update(servers).where(servers.c.id == server_id).values(hb=servers.c.hb + 1, **values)
        if connection.execute(mine).rowcount == 0:
            me = {"id": server_id, "role": role, "host": socket.gethostname(), "pid": os.getpid(), "started": now}
            connection.execute(sa.delete(servers).where(servers.c.role == role, servers.c.seen < now - 86400))
            connection.execute(servers.insert(), {**me, **values, "version": version("spinscope")})


def leave(engine: Engine, server_id: str) -> None:
    """Say that this process ends."""
    with engine.begin() as connection:
        connection.execute(sa.delete(servers).where(servers.c.id == server_id))


def agent_status(engine: Engine) -> dict[str, Any]:
    """{"alive", "slots", "free", "device"} over all agents that were seen lately."""
    query = sa.select(servers).where(servers.c.role == "agent", servers.c.seen > time.time() - STALE_SECONDS)
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    return {
        "alive": bool(rows),
        "slots": sum(row.slots for row in rows),
        "free": sum(row.free for row in rows),
        "device": next((row.device for row in rows if row.device), None),
    }
