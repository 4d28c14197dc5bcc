"""The progress of a run on standard error: a bar in a terminal, lines elsewhere, such as in the log of a batch job."""

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

LINE_SECONDS = 30.0  # between two lines about steps


class Progress:
    """Of `n_steps` steps; a context manager, so that an error is written below the bar."""

    def __init__(self, n_steps: int) -> None:
        self._bar = tqdm(total=n_steps, unit="step", desc="compiling", disable=None, dynamic_ncols=True)
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()

    def phase(self, word: str) -> None:
        """What the run does from now on."""
        self._bar.set_description(word)
        self._say(word)

    def step(self, step: int, text: str) -> None:
        """Where it is, and what it has found so far."""
        self._bar.update(step - self._bar.n)
        self._bar.set_postfix_str(text, refresh=False)
        if time.monotonic() - self._last >= LINE_SECONDS:
            self._say(f"step {step} of {self._bar.total}: {text}")

    def _say(self, text: str) -> None:
        if self._bar.disable:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
            self._last = time.monotonic()
