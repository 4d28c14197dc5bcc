"""The live feed on a real socket: no point twice, none missing, whatever breaks."""

import asyncio
import contextlib
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
import websockets
import websockets.sync.client
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from backend import runner, store
from backend.feed import CREDIT, Hub
from backend.routes import live
from backend.series import MAX_ROWS, Curve, current_rows
from backend.settings import Settings
from tests.backend.feeding import Browser, Feeder
from tests.backend.serving import serving


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = store.open_engine(f"sqlite:///{tmp_path}/test.db")
    yield engine
    engine.dispose()


@pytest.fixture
def app(engine: Engine) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.hub = Hub(engine, "boot")
        tailer = asyncio.create_task(app.state.hub.run())
        yield
        tailer.cancel()
        await asyncio.gather(tailer, return_exceptions=True)

    app = FastAPI(lifespan=lifespan)
    app.include_router(live.router)
    return app


@pytest.fixture
def address(app: FastAPI) -> Iterator[str]:
    with serving(app) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
def feeder(engine: Engine) -> Feeder:
    return Feeder(engine)


def last_seq(feeder: Feeder) -> int:
    return store.read_events(feeder.engine, feeder.run, limit=0)[1]


def truth(feeder: Feeder) -> dict[int, float]:
    events, after = [], 0
    while page := store.read_events(feeder.engine, feeder.run, after, 5000)[0]:
        events += page
        after = page[-1]["seq"]
    return {step: row["energy"] for step, row in current_rows(events).items()}


def same(browser: Browser, feeder: Feeder) -> bool:
    rows, expected = browser.rows[feeder.run], truth(feeder)
    return [row["step"] for row in rows] == list(expected) and [row["energy"] for row in rows] == [*expected.values()]


def test_history_first_then_news(address: str, feeder: Feeder) -> None:
    feeder.train(10)
    browser = Browser(address)
    browser.want(feeder.run)
    header = browser.receive()
    run = header["runs"][0]
    assert (header["boot"], header["sub"], header["frame"], header["spins"]) == ("boot", 1, 1, None)
    assert (run["from"], run["n"], run["state"], run["name"], run["n_sites"]) == (0, 10, "running", "fed", 6)
    assert dict(run["columns"]) == {
        "step": "f8", "time": "f8", "energy": "f8", "samples": "f8", "energy_error": "f4", "step_seconds": "f4",
        "n_samples": "f4",
    }  # fmt: skip
    feeder.train(5, jsd=0.25)
    browser.until(feeder.run, last_seq(feeder))
    assert same(browser, feeder)
    assert browser.rows[feeder.run][-1] | {"energy": 0} == {
        "step": 15, "time": 7.5, "samples": 960, "energy": 0, "energy_error": np.float32(0.1), "step_seconds": 0.5,
        "n_samples": 64, "jsd": 0.25,
    }  # fmt: skip
    assert "jsd" not in browser.rows[feeder.run][0]


def test_long_histories_come_in_parts(address: str, feeder: Feeder) -> None:
    for _ in range(3):
        feeder.train(MAX_ROWS // 2 + 7)
    browser = Browser(address)
    browser.want(feeder.run)
    browser.until(feeder.run, last_seq(feeder))
    assert same(browser, feeder)


def test_superseded_steps_are_rewound(address: str, feeder: Feeder) -> None:
    early = Browser(address)
    early.want(feeder.run)
    feeder.train(20)
    early.until(feeder.run, last_seq(feeder))
    feeder.restart(12)
    early.until(feeder.run, last_seq(feeder))
    assert len(early.rows[feeder.run]) == 12
    feeder.train(9)
    feeder.restart(3)
    feeder.train(2)
    late = Browser(address)
    late.want(feeder.run)
    for browser in (early, late):
        browser.until(feeder.run, last_seq(feeder))
        assert [row["step"] for row in browser.rows[feeder.run]] == [1, 2, 3, 4, 5]
        assert browser.rows[feeder.run][-1]["time"] == 2.5
        assert same(browser, feeder)


def test_nothing_twice_and_nothing_missing_while_connections_die(address: str, engine: Engine) -> None:
    chance, feeders = random.Random(1), [Feeder(engine, name) for name in ("a", "b")]
    done = threading.Event()

    def feed() -> None:
        mine = random.Random(2)
        for _ in range(150):
            feeder = mine.choice(feeders)
            feeder.train(mine.randint(1, 7))
            if mine.random() < 0.08:
                feeder.restart(mine.randint(0, feeder.step))
            if mine.random() < 0.1:
                feeder.put({"kind": "warning", "code": "w", "message": "look"})
            time.sleep(0.01)
        done.set()

    writer = threading.Thread(target=feed)
    writer.start()
    browsers: list[Browser] = []
    steady = Browser(address)
    steady.want(*[feeder.run for feeder in feeders])
    while not done.is_set():
        steady.receive()
        if chance.random() < 0.4:
            browser = Browser(address)
            browser.want(chance.choice(feeders).run)
            browsers.append(browser)
        for browser in browsers[-3:]:
            fate = chance.random()
            if fate < 0.2:
                browser.socket.socket.close()  # without a goodbye
                browsers.remove(browser)
            elif fate < 0.5:
                browser.want(*[f.run for f in chance.sample(feeders, chance.randint(1, 2))], same=chance.random() < 0.3)
    writer.join()
    browsers[-1].want(*[feeder.run for feeder in feeders])
    for browser in (steady, browsers[-1]):
        for feeder in feeders:
            browser.until(feeder.run, last_seq(feeder))
            assert same(browser, feeder)


def test_a_browser_that_does_not_acknowledge_gets_four_frames_and_then_one(address: str, feeder: Feeder) -> None:
    browser = Browser(address)
    browser.want(feeder.run)
    header = {}
    for _ in range(CREDIT):
        feeder.train(3)
        header = browser.receive(ack=False)
    feeder.train(3)
    with pytest.raises(TimeoutError):
        browser.receive(timeout=0.5)
    feeder.train(3)
    browser.socket.send(json.dumps({"ack": header["frame"]}))
    browser.until(feeder.run, last_seq(feeder), frames=2)
    assert same(browser, feeder)


def test_a_hidden_page_is_left_in_peace(address: str, feeder: Feeder) -> None:
    browser = Browser(address)
    browser.want(feeder.run)
    feeder.train(3)
    browser.until(feeder.run, last_seq(feeder))
    browser.want(feeder.run, paused=True, same=True)
    time.sleep(0.3)
    feeder.train(3)
    with pytest.raises(TimeoutError):
        browser.receive(timeout=0.5)
    browser.want(feeder.run, same=True)
    browser.until(feeder.run, last_seq(feeder), frames=1)
    assert same(browser, feeder)


def test_only_the_newest_spins_of_the_wanted_run_are_sent(address: str, feeder: Feeder) -> None:
    chance = np.random.default_rng(0)
    pictures = 2 * chance.integers(0, 2, (3, 5, 6)) - 1
    for picture in pictures:
        feeder.train(1)
        feeder.snapshot(picture)
    browser = Browser(address)
    browser.want(spins=feeder.run)
    browser.receive()
    assert browser.spins is not None
    header, spins = browser.spins
    assert header == {
        "id": feeder.run, "step": 3, "n_chains": 5, "n_sites": 6, "extent": [2, 3], "lattice": "square"
    }  # fmt: skip
    assert np.array_equal(spins, pictures[-1])
    with pytest.raises(TimeoutError):
        browser.receive(timeout=0.4)
    feeder.snapshot(pictures[0])
    browser.receive()
    assert np.array_equal(browser.spins[1], pictures[0])


def test_status_and_messages_come_without_points(address: str, feeder: Feeder) -> None:
    browser = Browser(address)
    browser.want(feeder.run)
    browser.receive()
    store.update_run(feeder.engine, feeder.run, name="renamed")
    while browser.status[feeder.run]["name"] != "renamed":
        assert browser.receive()["runs"][0]["n"] == 0
    feeder.put({"kind": "warning", "code": "r_hat", "message": "chains have not mixed"})
    browser.until(feeder.run, last_seq(feeder))
    warning = {"kind": "warning", "step": None, "code": "r_hat", "message": "chains have not mixed"}
    assert browser.messages[-1] == warning | {"seq": last_seq(feeder)}


def test_a_finished_run_gets_its_reference_while_somebody_looks(address: str, feeder: Feeder) -> None:
    feeder.train(2)
    store.finish(feeder.engine, *feeder.owner, "done", result={"energy": -2.0})
    browser = Browser(address)
    browser.want(feeder.run)
    browser.until(feeder.run, last_seq(feeder))
    assert (browser.status[feeder.run]["reference"], browser.status[feeder.run]["kind"]) == (None, "vmc")
    reference = {"energy": -2.5, "bound": "exact", "method": "exact diagonalisation", "uncertainty": None}
    store.set_reference(feeder.engine, feeder.run, reference)
    browser.until(feeder.run, last_seq(feeder))
    assert browser.status[feeder.run]["reference"] == reference
    assert browser.status[feeder.run]["state"] == "done"
    assert browser.messages[-1]["message"] == "reference: -2.5, exact diagonalisation"
    assert same(browser, feeder)


def test_sweeps_of_dmrg_come_as_they_are_made(address: str, engine: Engine, tmp_path: Path) -> None:
    lattice = {"name": "square", "params": {"extent": [3, 4]}}
    config = {"name": "", "lattice": lattice, "hamiltonian": {"name": "heisenberg"}, "method": "dmrg", "chi": [4, 8]}
    run_id = store.submit(engine, config, kind="dmrg", n_steps=16)
    claimed = store.claim_next(engine)
    assert claimed is not None
    deployment = Settings(data_dir=tmp_path, db_url=str(engine.url))
    browser = Browser(address)
    browser.want(run_id)
    worker = threading.Thread(target=runner.run, args=(deployment, *claimed, None))
    worker.start()
    states = set()
    while browser.status.get(run_id, {}).get("state") != "done":
        browser.receive(60.0)
        states |= {(browser.status[run_id]["state"], len(browser.rows[run_id]))}
    worker.join()
    assert len({rows for state, rows in states if state == "running"}) > 2  # not all at once at the end
    sweeps = [event for event in store.read_events(engine, run_id)[0] if event["kind"] == "metrics"]
    browser.until(run_id, store.read_events(engine, run_id)[1])
    names = {"step", "time", "energy", "energy_per_site", "chi", "sweep", "truncation_error", "max_entropy", "elapsed"}
    assert all(names <= set(shown) for shown in browser.rows[run_id])
    assert [(shown["step"], shown["energy"]) for shown in browser.rows[run_id]] == [
        (sweep["step"], sweep["scalars"]["energy"]) for sweep in sweeps
    ]
    assert {shown["chi"] for shown in browser.rows[run_id]} == {4.0, 8.0}
    assert browser.rows[run_id][-1]["time"] == pytest.approx(sweeps[-1]["scalars"]["elapsed"])


def test_unknown_and_deleted_runs_are_said_to_be_deleted(address: str, engine: Engine) -> None:
    run = store.submit(engine, {"name": "x", "lattice": {"name": "chain"}})
    browser = Browser(address)
    browser.want(run, "nope")
    while set(browser.status) != {run, "nope"}:
        browser.receive()
    assert (browser.status[run]["state"], browser.status["nope"]["state"]) == ("queued", "deleted")
    store.delete_run(engine, run, None)
    while browser.status[run]["state"] != "deleted":
        browser.receive()


@pytest.mark.parametrize("text", ["{", "[]", '{"sub": "x"}', '{"sub": 1, "runs": "x"}', '{"sub": NaN}', "x" * 70_000])
def test_nonsense_closes_the_connection(address: str, text: str) -> None:
    with websockets.sync.client.connect(f"ws://{address}/ws/feed", proxy=None) as socket:
        socket.send(text)
        with pytest.raises(websockets.ConnectionClosed) as end:
            socket.recv(10)
        assert end.value.rcvd is not None
        assert end.value.rcvd.code in (1008, 1009)


def test_a_flood_closes_the_connection(address: str) -> None:
    with websockets.sync.client.connect(f"ws://{address}/ws/feed", proxy=None) as socket:
        with contextlib.suppress(websockets.ConnectionClosed):
            for _ in range(100_000):
                socket.send('{"ack": 1}')
        assert socket.close_code in (1008, 1006)


def test_what_several_browsers_get_is_encoded_once(app: FastAPI, address: str, feeder: Feeder) -> None:
    browsers = [Browser(address) for _ in range(3)]
    for browser in browsers:
        browser.want(feeder.run)
    feeder.train(4)
    for browser in browsers:
        browser.until(feeder.run, last_seq(feeder))
    topic = app.state.hub.topics[feeder.run]
    assert topic.entry(0) is topic.entry(0)
    assert len(topic.watchers) == 3
    for browser in browsers:
        browser.socket.close()
    while topic.watchers:
        time.sleep(0.01)
    assert not app.state.hub.clients


EVENTS = st.lists(st.one_of(st.just("step"), st.integers(0, 12), st.just("other"), st.just("again")), max_size=60)


@settings(max_examples=150, deadline=None)
@given(kinds=EVENTS, cuts=st.lists(st.integers(0, 60), max_size=8))
def test_slices_at_any_cursor_add_up_to_the_current_series(kinds: list[str | int], cuts: list[int]) -> None:
    events, step = [], 0
    for seq, kind in enumerate(kinds, 1):
        if kind == "other":
            events.append({"seq": seq, "kind": "log", "message": "x"})
        elif kind == "step" or (kind == "again" and step == 0):
            step += 1
            events.append({"seq": seq, "kind": "metrics", "phase": "train", "step": step, "scalars": {"energy": seq}})
        elif kind == "again":  # a step that is written twice without a rewind
            events.append({"seq": seq, "kind": "metrics", "phase": "train", "step": step, "scalars": {"energy": seq}})
        else:
            step = min(step, int(kind))
            events.append({"seq": seq, "kind": "rewind", "step": step})
    curve, rows, after = Curve(), [], 0
    for last in sorted({*[cut for cut in cuts if cut < len(events)], len(events)}):
        curve.extend(events[curve.last : last], last)
        part = curve.slice(after)
        assert part.to == last
        columns = {name: np.frombuffer(b, k) for (name, k), b in zip(part.columns, part.blocks, strict=True)}
        for row in range(part.n + 1):
            for at, to in part.rewinds:
                if at == row:
                    rows = [kept for kept in rows if kept[0] <= to]
            if row < part.n:
                rows.append((int(columns["step"][row]), float(columns["energy"][row])))
        after = part.to
    assert rows == [(step, row["energy"]) for step, row in current_rows(events).items()]


def test_thousands_of_unknown_runs_are_one_query_and_are_not_followed(
    app: FastAPI, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    real = store.get_run
    monkeypatch.setattr(store, "get_run", lambda engine, run: (reads.append(run), real(engine, run))[1])
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(websockets.sync.client.connect(f"ws://{address}/ws/feed")) for _ in range(10)]
        for k, socket in enumerate(sockets):
            socket.send(json.dumps({"sub": 1, "runs": [f"no-{k}-{n}" for n in range(100)]}))
        for socket in sockets:
            assert b'"state":"deleted"' in socket.recv(timeout=20, decode=False)
        hub: Hub = app.state.hub
        deadline = time.monotonic() + 20
        while not all(topic.task and topic.task.done() for topic in list(hub.topics.values())):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(hub.topics) == 1000
    assert reads == []
