"""Engines start and end processes and know nothing else: queue, order, control and data are in the database."""

from backend.engine.base import FENCED, Engine, Key
from backend.engine.local import Local

__all__ = ["FENCED", "Engine", "Key", "Local"]
