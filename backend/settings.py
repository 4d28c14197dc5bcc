"""Everything that a deployment may choose, from SPINSCOPE_* variables, so that every child process sees the same."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

VARIABLES = {
    "data_dir": "SPINSCOPE_DATA",
    "db_url": "SPINSCOPE_DB",
    "host": "SPINSCOPE_HOST",
    "port": "SPINSCOPE_PORT",
    "ui_port": "SPINSCOPE_UI_PORT",
    "allowed_hosts": "SPINSCOPE_ALLOWED_HOSTS",
    "token": "SPINSCOPE_TOKEN",
    "ui_secret": "SPINSCOPE_UI_SECRET",
    "slots": "SPINSCOPE_SLOTS",
    "memory_bytes": "SPINSCOPE_MEMORY",
    "check_seconds": "SPINSCOPE_CHECK_SECONDS",
    "check_memory_bytes": "SPINSCOPE_CHECK_MEMORY",
    "flush_seconds": "SPINSCOPE_FLUSH_SECONDS",
    "heartbeat_seconds": "SPINSCOPE_HEARTBEAT_SECONDS",
    "lost_seconds": "SPINSCOPE_LOST_SECONDS",
    "start_seconds": "SPINSCOPE_START_SECONDS",
    "grace_seconds": "SPINSCOPE_GRACE_SECONDS",
    "checkpoint_seconds": "SPINSCOPE_CHECKPOINT_SECONDS",
}

VISIBLE = re.compile(r"[\x21-\x7e]*")

# BLAS threads spin while they wait: where cores are shared, a step takes 3 to 8 times the CPU time with two of them.
QUIET_BLAS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Settings:
    """One deployment. It holds secrets: they travel in the environment, which only the owner of a process can read.

    Raises:
        ValueError: a secret that no header can carry.
    """

    data_dir: Path = Path("~/.local/share/spinscope")
    db_url: str = ""  # empty: sqlite in the data folder
    host: str = "127.0.0.1"
    port: int = 8000
    ui_port: int = 0  # 0: the supervisor picks a free one
    allowed_hosts: tuple[str, ...] = ()
    token: str = field(default="", repr=False)
    ui_secret: str = field(default="", repr=False)  # what the API shows to the UI process; empty: the supervisor's
    slots: int = 0  # 0: one per GPU, else half of the cores
    memory_bytes: int = 0  # 0: what the machine has
    check_seconds: float = 20.0  # CPU seconds to build and check what one request describes
    check_memory_bytes: int = 4_000_000_000  # beside those of an idle process
    flush_seconds: float = 0.25
    heartbeat_seconds: float = 0.5  # what a user wants of a run that writes little comes back with each
    lost_seconds: float = 15.0  # without a heartbeat, on the observer's clock
    start_seconds: float = 90.0  # from the claim of a run to the first sign of its process
    grace_seconds: float = 10.0  # from a stop to the hard end of a process that does not react
    checkpoint_seconds: float = 30.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "data_dir", Path(self.data_dir).expanduser().absolute())
        if not self.db_url:
            object.__setattr__(self, "db_url", f"sqlite:///{self.data_dir / 'spinscope.db'}")
        for name in ("token", "ui_secret"):
            if not VISIBLE.fullmatch(getattr(self, name)):
                raise ValueError(f"{VARIABLES[name]} may hold visible ASCII characters only: no space, no accent")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
        """Defaults, overridden by the environment, overridden by `given` (None counts as not given).

        Raises:
            ValueError: a variable is not a number where one is needed, or a secret that no header can carry.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for f in fields(cls):
            text = environ.get(VARIABLES[f.name], "")
            if text:
                values[f.name] = _convert(f.name, text, f.default)
        return cls(**values | {name: value for name, value in given.items() if value is not None})

    def computing(self) -> dict[str, str]:
        """What JAX and BLAS read when they are imported: one cache of compiled steps for everything that computes."""
        cache = {"JAX_COMPILATION_CACHE_DIR": str(self.data_dir / "jax-cache")}
        return {**QUIET_BLAS, **cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}

    def environment(self) -> dict[str, str]:
        """The variables that give a child process these settings."""
        out = {}
        for name, variable in VARIABLES.items():
            value = getattr(self, name)
            out[variable] = ",".join(value) if isinstance(value, tuple) else str(value)
        return out

    def run_folder(self, run_id: str) -> Path:
        """Spool, log and checkpoints of one run."""
        return self.data_dir / "runs" / run_id

    def start_file(self, run_id: str) -> Path:
        """The parameters of another run that a warm start begins with."""
        return self.run_folder(run_id) / "start.ckpt"

    def start_weights(self, run_id: str, file: str) -> Path:
        """The published weights that a run keeps of `file`."""
        return self.start_file(run_id).with_suffix(Path(file).suffix)

    @property
    def weights_folder(self) -> Path:
        """Files of published weights, which the user puts there."""
        return self.data_dir / "weights"


def _convert(name: str, text: str, default: Any) -> Any:
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return type(default)(text) if isinstance(default, int | float) else text
    except ValueError:
        raise ValueError(f"{VARIABLES[name]} is {text!r}; a number is needed") from None
