"""What a run was computed with: versions of packages, and the commit of the source tree where there is one."""

from __future__ import annotations

import functools
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COMMIT = "commit"
PACKAGES = ("jax", "jaxlib", "numpy")  # they decide whether the same state gives the same bits
_SECONDS = 10.0


def versions(*packages: str) -> dict[str, str]:
    """Of this program, of `packages` and of Python."""
    return {name: version(name) for name in ("spinscope", *packages)} | {"python": platform.python_version()}


def as_fields(recorded: Mapping[str, str] | None) -> dict[str, Any]:
    """`versions`, and `commit` where it is known: as a file tells what was recorded with a run."""
    known = dict(recorded or {})
    found = known.pop(COMMIT, None)
    return {"versions": known} | ({COMMIT: found} if found else {})


def provenance(*packages: str) -> dict[str, str]:
    """`versions`, and the commit; what is recorded with a run."""
    found = commit()
    return versions(*packages) | ({COMMIT: found} if found else {})


@functools.cache
def commit(root: Path = ROOT) -> str | None:
    """The commit of the source tree in `root`, with "-dirty" where files differ from it; None where there is none."""
    if not (root / ".git").exists():  # an installed package may lie inside somebody else's repository
        return None
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), *describe],
            capture_output=True, text=True, timeout=_SECONDS, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
