"""What standard error says of a run: lines for a file, a bar for a terminal."""

import io
import sys

import pytest

from backend import console_progress
from backend.console_progress import Progress


class Terminal(io.StringIO):
    """Standard error of somebody who looks at it."""

    def isatty(self) -> bool:
        return True


def story() -> None:
    with Progress(4) as progress:
        progress.phase("training")
        for step in (1, 2, 3, 4):
            progress.step(step, f"E/N = -{step}")
        progress.phase("measuring")


def test_a_file_gets_a_line_for_each_phase(capsys: pytest.CaptureFixture[str]) -> None:
    story()
    assert capsys.readouterr().err.splitlines() == ["training", "measuring"]


def test_and_a_line_of_a_step_after_each_pause(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_progress, "LINE_SECONDS", 0.0)
    story()
    steps = [f"step {k} of 4: E/N = -{k}" for k in (1, 2, 3, 4)]
    assert capsys.readouterr().err.splitlines() == ["training", *steps, "measuring"]


def test_a_terminal_gets_a_bar_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_progress, "LINE_SECONDS", 0.0)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    story()
    assert "measuring: 100%" in terminal.getvalue()
    assert "E/N = -4" in terminal.getvalue()
    assert "step 4 of 4" not in terminal.getvalue()
