"""A damaged database is said in one sentence, with the file and what to do, wherever it is read."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend import cli, main, store
from backend.main import create_app
from backend.serve import serve
from backend.settings import Settings
from backend.store import connect, ingest
from tests.backend.helpers import begin, metrics
from tests.backend.serving import free_port, serving

WAY_OUT = r"the database .*/spinscope\.db is damaged \(.+\): stop the server and put a copy of the file in its place"


def broken_page(path: Path) -> None:
    """Overwrite a page that holds metrics, but neither the schema nor the list of runs."""
    connection = sqlite3.connect(path)
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    pages = "SELECT pageno FROM dbstat WHERE name = 'metrics' AND pagetype = 'leaf'"
    try:
        page = connection.execute(pages).fetchall()[3][0]
    except sqlite3.OperationalError:  # SQLite without this table: the last pages are the newest rows
        page = connection.execute("PRAGMA page_count").fetchone()[0] - 3
    connection.close()
    with path.open("r+b") as file:
        file.seek(size * (page - 1))
        file.write(b"\xa5" * size)


def broken_value(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE runs SET config = '{\"lat'")
    connection.execute("UPDATE metrics SET extra = '[1,' WHERE seq = 50")
    connection.commit()
    connection.close()


def broken_text(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE runs SET name = CAST(x'ff' AS TEXT)")
    connection.execute("UPDATE metrics SET phase = CAST(x'ff' AS TEXT) WHERE seq = 50")
    connection.commit()
    connection.close()


@pytest.fixture(autouse=True)
def _cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server traces its first configuration in a thread, which these short lives would not see the end of."""
    monkeypatch.setattr(main, "_warm_up", lambda _: None)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Settings, str]:
    """A database with a run of 400 steps; the folder and the run."""
    settings = Settings(data_dir=tmp_path, ui_port=free_port())
    engine = store.open_engine(settings.db_url)
    owner = begin(engine)
    records = [{"t": 1.0, **metrics(step).model_dump()} for step in range(1, 401)]
    ingest.flush(engine, owner, 0, records, {})
    with engine.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
    engine.dispose()
    return settings, owner.run_id


Breakage = Callable[[Path], None]


@pytest.mark.parametrize("breakage", [broken_page, broken_value, broken_text])
def test_the_api_says_so(written: tuple[Settings, str], breakage: Breakage) -> None:
    settings, run = written
    breakage(settings.data_dir / "spinscope.db")
    with serving(create_app(settings)) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/api/runs/{run}/export", timeout=60)
    assert answer.status_code == 500
    assert answer.json().keys() == {"detail"}
    check(answer.json()["detail"])


@pytest.mark.parametrize("breakage", [broken_page, broken_value, broken_text])
def test_the_command_line_says_so(
    written: tuple[Settings, str], breakage: Breakage, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, run = written
    breakage(settings.data_dir / "spinscope.db")
    assert cli.main(["export", run, "--data-dir", str(settings.data_dir)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("spinscope: ")
    check(said.err)


def check(sentence: str) -> None:
    assert len(sentence.strip().splitlines()) == 1
    assert re.search(WAY_OUT, sentence), sentence


def test_the_server_looks_for_damage_before_it_starts(written: tuple[Settings, str]) -> None:
    settings, _ = written
    engine = store.open_engine(settings.db_url)
    store.check(engine, 5.0)
    engine.dispose()
    broken_page(settings.data_dir / "spinscope.db")
    with pytest.raises(store.DamagedError, match=WAY_OUT):
        serve(Settings(data_dir=settings.data_dir, port=0), browser=False)


def test_the_look_for_damage_ends_in_time(written: tuple[Settings, str], monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = written
    broken_page(settings.data_dir / "spinscope.db")
    engine = store.open_engine(settings.db_url)
    monkeypatch.setattr(connect, "CHECK_STEP", 1)
    store.check(engine, -1.0)  # no time at all: nothing is found, nothing is wrong
    assert store.counts(engine) == {"running": 1}
    engine.dispose()


def test_what_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "spinscope.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(store.DamagedError, match="file is not a database"):
        store.open_engine(f"sqlite:///{tmp_path}/spinscope.db")


def test_other_failures_keep_their_own_words(tmp_path: Path) -> None:
    engine: Any = store.open_engine(f"sqlite:///{tmp_path}/spinscope.db")
    with pytest.raises(Exception, match="no such table") as failure, engine.connect() as connection:
        connection.exec_driver_sql("select * from nowhere")
    assert not isinstance(failure.value, store.DamagedError | store.DiskFullError)
    engine.dispose()
