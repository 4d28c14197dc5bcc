"""What a run was computed with is recorded: versions, and the commit of the source tree."""

from __future__ import annotations

import subprocess
from pathlib import Path

from backend.provenance import commit, provenance, versions


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_is_that_of_the_tree_and_says_where_files_differ(tmp_path: Path) -> None:
    root, inside = tmp_path / "tree", tmp_path / "tree" / "site-packages"
    inside.mkdir(parents=True)
    assert commit(tmp_path) is None
    git(root, "init", "-q")
    assert commit(inside) is None  # nothing was committed of what lies there
    (root / "file").write_text("one")
    git(root, "add", "file")
    git(root, "commit", "-qm", "first")
    git(root, "tag", "-a", "v1", "-m", "v1")
    commit.cache_clear()
    assert commit(root) == git(root, "rev-parse", "HEAD")
    (root / "file").write_text("two")
    commit.cache_clear()
    assert commit(root) == git(root, "rev-parse", "HEAD") + "-dirty"


def test_versions_are_those_that_are_installed() -> None:
    assert {"spinscope", "python", "numpy"} == set(versions("numpy"))
    assert versions("numpy").items() <= provenance("numpy").items()
