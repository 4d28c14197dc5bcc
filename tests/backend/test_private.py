"""Nobody but the owner can read what a server writes, whatever an earlier version left open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend import private, store
from backend.settings import Settings


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def fill(folder: Path) -> list[Path]:
    """What an earlier version wrote; the folders and files, all open to everybody."""
    names = ("logs/api.log", "runs/a/checkpoints/step-1.ckpt", "runs/a/log-0001.txt", "jax-cache/x", "spinscope.db")
    for name in (*names, "spinscope.db-wal", "serve.lock"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("private")
    for path in folder.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    folder.chmod(0o755)
    return sorted(folder.rglob("*"))


def test_what_is_there_and_what_comes_is_closed(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    settings = Settings(data_dir=parent / "data")
    found = fill(settings.data_dir)
    parent.chmod(0o755)
    private.tighten(settings)
    assert {mode(path) for path in found if path.is_dir()} == {0o700}
    assert {mode(path) for path in found if path.is_file()} == {0o600}
    assert (mode(settings.data_dir), mode(parent)) == (0o700, 0o755)
    (settings.data_dir / "runs" / "b").mkdir()
    (settings.data_dir / "runs" / "b" / "log").write_text("x")
    assert (mode(settings.data_dir / "runs" / "b"), mode(settings.data_dir / "runs" / "b" / "log")) == (0o700, 0o600)


def test_a_folder_that_holds_other_things_stays_as_its_owner_has_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "home")
    found = fill(settings.data_dir)
    thesis, target, link = tmp_path / "home" / "thesis.tex", tmp_path / "elsewhere", tmp_path / "home" / "runs" / "link"
    for path in (thesis, target):
        path.write_text("public")
        path.chmod(0o644)
    link.symlink_to(target)
    private.tighten(settings)
    assert (mode(settings.data_dir), mode(thesis), mode(target)) == (0o755, 0o644, 0o644)
    assert all(mode(path) in (0o700, 0o600) for path in found)


def test_a_database_is_closed_wherever_it_is(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", db_url=f"sqlite:///{tmp_path}/elsewhere/runs.db")
    engine = store.open_engine(settings.db_url)
    assert mode(tmp_path / "elsewhere") == 0o700
    store.submit(engine, {"n_steps": 1})
    private.tighten(settings)
    assert {mode(path) for path in (tmp_path / "elsewhere").iterdir()} == {0o600}
    engine.dispose()
