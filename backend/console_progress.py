"""The progress of a run on standard error: a bar in a terminal, lines elsewhere, such as in the log of a batch job."""

import sys
import time

from tqdm import tqdm

LINE_SECONDS = 30.0  # between two lines about steps


class Progress(tqdm):
    """Of `n_steps` steps; a context manager, so that an error is written below the bar."""

    def __init__(self, n_steps: int) -> None:
        super().__init__(total=n_steps, unit="step", desc="compiling", disable=None, dynamic_ncols=True)
        self._said = time.monotonic()

    def phase(self, word: str) -> None:
        """What the run does from now on."""
        self.set_description(word)
        self._say(word)

    def step(self, step: int, text: str) -> None:
        """Where it is, and what it has found so far."""
        self.update(step - self.n)
        self.set_postfix_str(text, refresh=False)
        if time.monotonic() - self._said >= LINE_SECONDS:
            self._say(f"step {step} of {self.total}: {text}")

    def say(self, text: str) -> None:
        """A line of its own, above the bar in a terminal."""
        self._say(text) if self.disable else self.write(text, file=sys.stderr)

    def _say(self, text: str) -> None:
        if self.disable:
            sys.stderr.write(text + "\n")
            self._said = time.monotonic()
