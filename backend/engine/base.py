"""The contract of an engine. One that loses its memory loses nothing: the database knows every run."""

from typing import Protocol

Key = tuple[str, int]  # run, attempt

FENCED = 75  # exit status of a process whose attempt belongs to another one


class Engine(Protocol):
    """Starts one process per attempt, `python -m backend.runner --run ID --attempt N`, wherever it has room."""

    @property
    def slots(self) -> int:
        """How many attempts can run at the same time."""
        ...

    def nfree(self) -> int:
        """How many more attempts can be launched now."""
        ...

    def adopt(self, key: Key, slot: str, pid: int) -> None:
        """Take over the process of an attempt that an earlier agent launched."""
        ...

    def launch(self, run_id: str, attempt: int) -> None:
        """Start the process of an attempt."""
        ...

    def live(self) -> set[Key]:
        """The attempts that were launched or adopted here and not reaped yet."""
        ...

    def reap(self) -> list[tuple[Key, int]]:
        """Attempts whose process has ended since the last call, with exit statuses (negative: the signal)."""
        ...

    def kill(self, run_id: str, grace: float) -> None:
        """Ask the process of a run to end, after `grace` seconds end it hard; returns at once, `reap` tells."""
        ...

    def close(self, grace: float) -> list[tuple[Key, int]]:
        """End everything within `grace` seconds and a little; the processes that ended, as `reap` tells them."""
        ...
