"""Spin configurations as the feed sends them: packed bits unpacked, and how the sites of a lattice lie."""

import base64
from typing import Any

import numpy as np


def unpack(spins: str, n_chains: int, n_sites: int) -> bytes:
    """The int8 block (+1 / -1, row-major) of a snapshot's base64 of packed bits."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(spins), np.uint8), count=n_chains * n_sites)
    return (2 * bits.astype(np.int8) - 1).tobytes()


def lattice_shape(run: dict[str, Any]) -> dict[str, Any]:
    """How the spins of a run lie: the lattice's name and its extent (unit cells along each axis)."""
    lattice = run["config"]["lattice"]
    params = lattice.get("params", {})
    extent = params.get("extent") or [params.get("length") or run["n_sites"]]
    return {"extent": extent, "lattice": lattice["name"]}
