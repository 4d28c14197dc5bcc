"""Runs in the database: submitted once, claimed once, changed by whoever may."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from backend import models, store
from backend.store.connect import MIGRATIONS, refuse_network

CONFIG = {"name": "chain", "n_steps": 10, "seed": 1}
EXACT = {"energy": -10.0, "bound": "exact", "method": "analytic"}


@pytest.fixture
def engine(tmp_path: Path):
    engine = store.open_engine(f"sqlite:///{tmp_path / 'data' / 'runs.db'}")
    yield engine
    engine.dispose()


def start(engine: sa.Engine, run_id: str, attempt: int = 1) -> None:
    assert store.claim_next(engine) == (run_id, attempt)
    claim = store.claim_attempt(engine, run_id, attempt, f"token{attempt}", pid=7, host="here", slot="cpu:0")
    assert claim is not None


def state(engine: sa.Engine, run_id: str) -> str:
    run = store.get_run(engine, run_id)
    assert run is not None
    return run["state"]


# ---- schema


def test_migrations_give_exactly_the_tables_of_the_models(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, models.metadata) == []
        assert context.get_current_revision() == models.SCHEMA_VERSION


def test_an_older_database_keeps_its_runs_and_all_that_hangs_on_them(tmp_path: Path) -> None:
    engine = store.open_engine(f"sqlite:///{tmp_path / 'old.db'}", upgrade=False)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            sa.text(
                "insert into runs (id, name, tags, config, n_steps, state, created) "
                "values ('a', 'old', '[]', '{}', 5, 'done', 1.0)"
            )
        )
        connection.execute(sa.text("update runs set notes = 'ÜBER', tags = '[\"Δτ\"]'"))
        connection.execute(
            sa.text("insert into metrics (run_id, seq, attempt, step, phase, t) values ('a', 1, 1, 1, 'train', 2.0)")
        )
    store.migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(sa.text("select name, kind from runs")).all() == [("old", "vmc")]
        assert connection.execute(sa.text("select count(*) from metrics")).scalar() == 1
    assert [run["id"] for run in store.list_runs(engine, search="über δτ old")[0]] == ["a"]
    engine.dispose()


def test_a_newer_schema_is_refused(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    with pytest.raises(store.SchemaError, match="schema 9999, this version knows up to"):
        store.migrate(engine)


def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    code = f"from backend import store; store.open_engine('sqlite:///{tmp_path}/new.db')"
    children = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(3)]
    assert [child.communicate()[1].decode()[-300:] for child in children] == [""] * 3


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    table = "1 2 0:1 / / rw - ext4 /dev/a rw\n3 1 0:2 / {} rw,x shared:1 - nfs4 host:/export rw\n"
    refuse_network(tmp_path, table.format("/elsewhere"))
    with pytest.raises(store.SchemaError, match=r"network file system \(nfs4\).*PostgreSQL"):
        refuse_network(tmp_path, table.format(tmp_path.parent))


def test_readers_do_not_wait_for_a_writer(engine: sa.Engine) -> None:
    run_id = store.submit(engine, CONFIG)
    with engine.begin() as writer:
        writer.execute(sa.update(models.runs).values(name="unseen"))
        run = store.get_run(engine, run_id)
        assert run is not None
        assert run["name"] == "chain"


# ---- runs


def test_a_submitted_run_shows_everything(engine: sa.Engine) -> None:
    run_id = store.submit(engine, CONFIG, tags=["a"], cloned_from="other", reference=EXACT, n_sites=16)
    run = store.get_run(engine, run_id)
    assert run is not None
    expected = {
        "id": run_id, "name": "chain", "state": "queued", "desired": "run", "phase": None, "step": 0, "n_steps": 10,
        "energy": None, "relative_error": None, "absolute_error": None, "attempt": 0, "pid": None,
        "tags": ["a"], "archived": False,
        "config": CONFIG, "reference": EXACT, "result": None, "error": None, "warnings": 0, "last_seq": 1,
        "cloned_from": "other", "n_sites": 16, "eta_seconds": None, "notes": "",
    }  # fmt: skip
    assert {name: run[name] for name in expected} == expected
    assert store.get_run(engine, "nobody") is None


def test_one_key_is_one_run(engine: sa.Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: store.submit(engine, CONFIG, idem_key="once"), range(16)))
    assert len(set(ids)) == 1
    assert store.list_runs(engine)[1] == 1
    assert store.submit(engine, CONFIG) != store.submit(engine, CONFIG)


def test_search_filter_sort_and_page(engine: sa.Engine) -> None:
    names = ["alpha", "beta", "gamma 100%", "delta_x"]
    ids = {name: store.submit(engine, CONFIG, name=name, tags=[name[0].upper(), "é"]) for name in names}
    store.update_run(engine, ids["beta"], archived=True, notes="keep this")

    def found(**query) -> list[str]:
        return [run["name"] for run in store.list_runs(engine, sort="name", **query)[0]]

    assert found() == ["alpha", "delta_x", "gamma 100%"]
    assert found(archived="any") == sorted(names)
    assert found(archived="true") == found(archived=True) == ["beta"]
    assert found(search="100%") == ["gamma 100%"]
    assert found(search="a_x") == ["delta_x"]
    assert found(search="a_l") == []
    assert found(search="THIS", archived="any") == ["beta"]
    assert found(search="é alp") == ["alpha"]
    assert found(tag="G") == ["gamma 100%"]
    assert found(tag="g") == []
    assert found(state="done") == []
    assert found(state="queued,running", limit=1, offset=1) == ["delta_x"]
    assert store.list_runs(engine, limit=1)[1] == 3
    with pytest.raises(ValueError, match="cannot sort by 'drop table'"):
        store.list_runs(engine, sort="drop table")


@pytest.mark.parametrize(
    "search", ["über", "ÜBER δΤ", 'say "so"', '"so"', "4x4", "4×4", "J1-J2", "j1j2", "été", "sz=0", "k=m", "RBM"]
)
def test_what_people_type_is_found(engine: sa.Engine, search: str) -> None:
    config = CONFIG | {
        "lattice": {"name": "square", "params": {"extent": [4, 4]}},
        "hamiltonian": {"name": "j1j2", "params": {"J1": 1.0, "J2": 0.5}},
        "sector": {"sz": 0, "momentum": "M"},
        "ansatz": {"name": "rbm"},
    }
    wanted = store.submit(engine, config, name="first", tags=['say "so"'])
    store.submit(engine, CONFIG, name="uber 4 4")
    store.update_run(engine, wanted, name="ÜBER Δτ", notes="un ÉTÉ")
    assert [run["id"] for run in store.list_runs(engine, search=search)[0]] == [wanted]


@pytest.mark.parametrize("bound", ["exact", "estimate", "upper"])
def test_relative_error_needs_a_reference_that_may_be_compared(engine: sa.Engine, bound: str) -> None:
    run_id = store.submit(engine, CONFIG, reference={"energy": -10.0, "bound": bound})
    start(engine, run_id)
    assert store.finish(engine, run_id, 1, "token1", "done", result={"energy": -9.0, "energy_error": 0.5})
    run = store.get_run(engine, run_id)
    assert run is not None
    assert (run["energy"], run["energy_error"], run["result"]["energy"]) == (-9.0, 0.5, -9.0)
    assert run["relative_error"] == (None if bound == "upper" else pytest.approx(0.1))


@pytest.mark.parametrize("known", [{"energy": 0.0}, {"energy": -3e-16, "uncertainty": 1e-14}])
def test_an_energy_of_zero_has_an_absolute_error(engine: sa.Engine, known: dict[str, float]) -> None:
    run_id = store.submit(engine, CONFIG, reference={**known, "bound": "exact"})
    start(engine, run_id)
    assert store.finish(engine, run_id, 1, "token1", "done", result={"energy": 0.25})
    run = store.get_run(engine, run_id)
    assert run is not None
    assert (run["relative_error"], run["absolute_error"]) == (None, pytest.approx(0.25))


def test_sorting_by_relative_error_puts_unknown_last(engine: sa.Engine) -> None:
    for energy, reference in ((-9.9, -10.0), (-9.0, -10.0), (-5.0, None)):
        run_id = store.submit(
            engine, CONFIG, name=str(energy), reference={"energy": reference, "bound": "exact"} if reference else None
        )
        start(engine, run_id)
        store.finish(engine, run_id, 1, "token1", "done", result={"energy": energy})
    for sort, names in (("relative_error", ["-9.9", "-9.0", "-5.0"]), ("-relative_error", ["-9.0", "-9.9", "-5.0"])):
        assert [run["name"] for run in store.list_runs(engine, sort=sort)[0]] == names


def test_delete_takes_data_and_folder(engine: sa.Engine, tmp_path: Path) -> None:
    run_id = store.submit(engine, CONFIG)
    folder = tmp_path / run_id
    folder.mkdir()
    start(engine, run_id)
    with pytest.raises(store.StateError, match="the run is running; stop it"):
        store.delete_run(engine, run_id, folder)
    store.finish(engine, run_id, 1, "token1", "stopped")
    store.delete_run(engine, run_id, folder)
    assert store.get_run(engine, run_id) is None
    assert not folder.exists()
    with engine.connect() as connection:
        left = [
            connection.execute(sa.select(sa.func.count()).select_from(t)).scalar()
            for t in models.metadata.tables.values()
        ]
    assert set(left) == {0}


def test_unknown_ids_are_named(engine: sa.Engine) -> None:
    for action in (
        lambda: store.request_stop(engine, "nobody"),
        lambda: store.request_resume(engine, "nobody"),
        lambda: store.update_run(engine, "nobody", name="x"),
        lambda: store.delete_run(engine, "nobody", None),
        lambda: store.read_events(engine, "nobody"),
    ):
        with pytest.raises(store.UnknownRunError, match="there is no run 'nobody'"):
            action()


# ---- control


def test_stop_and_resume_follow_the_states(engine: sa.Engine) -> None:
    run_id = store.submit(engine, CONFIG)
    store.request_stop(engine, run_id)
    assert state(engine, run_id) == "stopped"
    assert store.claim_next(engine) is None
    with pytest.raises(store.StateError, match="the run is stopped"):
        store.request_stop(engine, run_id)
    store.request_resume(engine, run_id)
    with pytest.raises(store.StateError, match="the run is queued"):
        store.request_resume(engine, run_id)
    start(engine, run_id)
    store.request_stop(engine, run_id)
    store.request_stop(engine, run_id)  # asking twice is no mistake
    run = store.get_run(engine, run_id)
    assert run is not None
    assert (run["state"], run["desired"], run["pid"], run["phase"]) == ("running", "stop", 7, "compiling")
    assert store.finish(engine, run_id, 1, "token1", "stopped", step=4)
    store.request_resume(engine, run_id)
    start(engine, run_id, attempt=2)
    assert store.finish(engine, run_id, 2, "token2", "failed", reason="no")
    run = store.get_run(engine, run_id)
    assert run is not None
    assert (run["error"], run["pid"], run["phase"]) == ("no", None, None)
    store.request_resume(engine, run_id)
    start(engine, run_id, attempt=3)
    assert store.finish(engine, run_id, 3, "token3", "done", result={"energy": 1.0})
    with pytest.raises(store.StateError, match="the run is done"):
        store.request_resume(engine, run_id)
    events, last = store.read_events(engine, run_id)
    assert [event["seq"] for event in events] == list(range(1, last + 1))
    told = [event.get("state") or event["action"] for event in events]
    assert told.count("stop") == 2
    assert told[-3:] == ["starting", "running", "done"]
    assert events[-1]["result"] == {"energy": 1.0}
    assert events[-1]["attempt"] == 3


def test_only_the_owner_has_the_last_word(engine: sa.Engine) -> None:
    run_id = store.submit(engine, CONFIG)
    start(engine, run_id)
    assert store.claim_attempt(engine, run_id, 1, "other", pid=1, host="", slot=None) is None
    assert store.claim_attempt(engine, run_id, 2, "other", pid=1, host="", slot=None) is None
    assert not store.finish(engine, run_id, 1, "other", "done")
    assert not store.finish(engine, run_id, 2, "token1", "done")
    assert store.finish(engine, run_id, 1, "token1", "done")
    assert not store.finish(engine, run_id, 1, "token1", "failed")
    assert state(engine, run_id) == "done"


def test_lost_processes_are_tried_again_three_times(engine: sa.Engine) -> None:
    run_id = store.submit(engine, CONFIG)
    for attempt, expected in ((1, "queued"), (2, "queued"), (3, "failed")):
        start(engine, run_id, attempt)
        assert store.lost(engine, run_id, attempt, "ended by signal 9") == expected
        assert store.lost(engine, run_id, attempt, "ended by signal 9") is None
    run = store.get_run(engine, run_id)
    assert run is not None
    assert "lost 3 times in a row" in run["error"]
    assert "out of memory" in run["error"]
    store.request_resume(engine, run_id)
    start(engine, run_id, 4)
    assert store.lost(engine, run_id, 4, "ended by signal 9") == "queued"


def test_a_lost_process_that_was_to_stop_is_stopped(engine: sa.Engine) -> None:
    run_id = store.submit(engine, CONFIG)
    start(engine, run_id)
    store.request_stop(engine, run_id)
    assert store.lost(engine, run_id, 1, "ended by signal 9") == "stopped"


def test_a_run_that_was_to_stop_does_not_go_back_to_the_queue(engine: sa.Engine) -> None:
    run_id = store.submit(engine, CONFIG)
    start(engine, run_id)
    store.request_stop(engine, run_id)
    assert store.finish(engine, run_id, 1, "token1", "queued")
    assert state(engine, run_id) == "stopped"


def test_going_down_in_an_orderly_way_does_not_count(engine: sa.Engine) -> None:
    run_id = store.submit(engine, CONFIG)
    for attempt in range(1, 6):
        start(engine, run_id, attempt)
        if attempt % 2:
            assert store.finish(engine, run_id, attempt, f"token{attempt}", "queued")
        else:
            assert store.lost(engine, run_id, attempt, "drained", graceful=True) == "queued"
    assert state(engine, run_id) == "queued"


def test_two_claimers_take_each_run_once(engine: sa.Engine) -> None:
    ids = {store.submit(engine, CONFIG) for _ in range(24)}

    def claim_all(_: int) -> list[str]:
        mine = []
        while (claim := store.claim_next(engine)) is not None:
            mine.append(claim[0])
        return mine

    with ThreadPoolExecutor(4) as pool:
        taken = [run_id for part in pool.map(claim_all, range(4)) for run_id in part]
    assert sorted(taken) == sorted(ids)


def test_priority_goes_before_age(engine: sa.Engine) -> None:
    first, second = store.submit(engine, CONFIG), store.submit(engine, CONFIG)
    urgent = store.submit(engine, CONFIG, priority=1)
    assert [store.claim_next(engine) for _ in range(4)] == [(urgent, 1), (first, 1), (second, 1), None]


def test_agents_are_seen_while_they_beat(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = {"alive": False, "slots": 0, "free": 0, "device": None}
    assert store.agent_status(engine) == nobody
    store.beat(engine, "a", "agent", slots=2, free=1, device="cpu")
    store.beat(engine, "a", "agent", slots=2, free=2, device="cpu")
    assert store.agent_status(engine) == {"alive": True, "slots": 2, "free": 2, "device": "cpu"}
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 60)
    assert store.agent_status(engine) == nobody
    monkeypatch.undo()
    store.leave(engine, "a")
    assert store.agent_status(engine) == nobody
