"""The HTTP interface on a real socket: every call of the table, and every kind of nonsense."""

import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from backend import models, store
from backend.main import create_app
from backend.patching import kept, merge
from backend.settings import Settings
from backend.strict import loads
from nqs_core.errors import NQSError
from tests.backend.feeding import Browser, Feeder
from tests.backend.serving import free_port, serving

GOOD: dict[str, Any] = {
    "name": "ring",
    "lattice": {"name": "chain", "params": {"length": 8}},
    "hamiltonian": {"name": "tfim", "params": {"J": 1.0, "h": -0.5}},
    "n_steps": 3,
}


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Settings]]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), ui_port=free_port())
    with serving(create_app(settings)) as port:
        yield f"127.0.0.1:{port}", settings


@pytest.fixture
def api(where: tuple[str, Settings]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{where[0]}", timeout=60) as client:
        yield client


@pytest.fixture
def engine(where: tuple[str, Settings]) -> Iterator[Engine]:
    engine = store.open_engine(where[1].db_url)
    yield engine
    engine.dispose()


def submit(api: httpx.Client, **change: Any) -> str:
    answer = api.post("/api/runs", json=GOOD | change)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def changed(path: str, value: Any) -> dict[str, Any]:
    config = json.loads(json.dumps(GOOD))
    *parents, last = path.split(".")
    place = config
    for key in parents:
        place = place.setdefault(key, {})
    place[last] = value
    return config


def test_health_says_what_is_alive(api: httpx.Client) -> None:
    health = api.get("/api/health").json()
    assert health["ok"] is True
    assert set(health) == {"ok", "version", "boot", "device", "agent", "disk", "runs"}
    assert health["disk"].keys() == {"free_bytes", "problem"}
    assert health["agent"]["alive"] is False


def test_the_catalog_has_every_family_and_the_presets_are_valid(api: httpx.Client) -> None:
    catalog = api.get("/api/catalog").json()
    for family in ("lattice", "hamiltonian", "ansatz", "sampler", "optimizer", "observable"):
        for entry in catalog[family].values():
            assert entry["schema"]["type"] == "object"
            assert entry["summary"]
    assert set(catalog["formulas"]) == set(catalog["hamiltonian"])
    for preset in catalog["presets"]:
        answer = api.post("/api/validate", json=preset["config"])
        assert answer.status_code == 200, answer.text
        assert answer.json()["reference"]["bound"] == "exact"


def test_the_limits_of_a_check_are_in_the_schema(api: httpx.Client, where: tuple[str, Settings]) -> None:
    schemas, settings = api.get("/api/openapi.json").json()["components"]["schemas"], where[1]
    limits = {"cpuSeconds": settings.check_seconds, "memoryBytes": settings.check_memory_bytes}
    assert schemas["RunConfig"]["x-limits"] == schemas["ReferenceJob"]["x-limits"] == limits


def test_validation_fills_defaults_and_states_the_cost(api: httpx.Client) -> None:
    answer = api.post("/api/validate", json=GOOD)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["ok"] is True
    assert told["config"]["name"] == "ring"
    assert told["config"]["sampler"]["name"] == "metropolis"
    assert told["config"]["sampler"]["params"]["n_samples"] > 0
    assert told["n_sites"] == 8
    assert told["n_params"] > 8
    assert told["memory_bytes"] > 0
    assert "(-0.5)" in told["formula"]
    again = api.post("/api/validate", json=told["config"] | {"name": "other"}).json()
    assert again == told | {"config": told["config"] | {"name": "other"}}


@pytest.mark.parametrize(
    ("lattice", "n_sites"),
    [
        ({"name": "square", "params": {"extent": [100, 100]}}, 10_000),
        ({"name": "chain", "params": {"length": 1100}}, 1100),
    ],
)
def test_more_than_1023_sites_are_estimated_and_launched(api: httpx.Client, lattice: Any, n_sites: int) -> None:
    answer = api.post("/api/validate", json=GOOD | {"lattice": lattice}).json()
    assert answer["n_sites"] == n_sites
    assert answer["card"]["time"] is not None
    assert api.get(f"/api/runs/{submit(api, lattice=lattice)}").json()["state"] == "queued"
    too_large = api.post("/api/runs", json=GOOD | {"lattice": lattice, "sampler": {"name": "exact"}})
    assert too_large.status_code == 422
    assert "GB" in too_large.json()["detail"]


def test_a_frustrated_sign_is_warned_of(api: httpx.Client) -> None:
    config = GOOD | {"hamiltonian": {"name": "heisenberg", "params": {"marshall": False}}, "sector": {"sz": 0}}
    assert "positive" in api.post("/api/validate", json=config).json()["warnings"][0]


BAD = {
    "unknown ansatz": (changed("ansatz.name", "nope"), "ansatz.name", "rbm"),
    "unknown lattice": (changed("lattice.name", "nope"), "lattice.name", "chain"),
    "negative size": (changed("lattice.params.length", -3), "lattice.params.length", "greater"),
    "text for a number": (changed("n_steps", "many"), "n_steps", "integer"),
    "true for a number": (changed("n_steps", True), "n_steps", "integer"),
    "true for a coupling": (changed("hamiltonian.params.h", True), "hamiltonian.params.h", "number"),
    "unknown key": (changed("colour", 1), "colour", "not permitted"),
    "unknown parameter": (changed("hamiltonian.params.zz", 1), "hamiltonian.params.zz", "not permitted"),
    "too many samples": (changed("sampler", {"name": "metropolis", "params": {"n_samples": 10**10}}),
                         "sampler.params.n_samples", "less"),
    "control character": (changed("name", "a\0b"), "name", "control"),
    "half a pair": (changed("name", "\ud800"), "name", ""),
    "strange key": (changed("\ud800", 1), "", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("call", ["/api/runs", "/api/validate"])
def test_bad_configurations_are_refused_with_place_and_reason(api: httpx.Client, call: str, case: str) -> None:
    config, where, why = BAD[case]
    answer = api.post(call, content=json.dumps(config).encode(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    body = answer.json()
    assert where in [error["where"] for error in body["errors"]] or not where
    assert why in body["errors"][0]["problem"]
    assert body["detail"]


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (changed("lattice.params.length", 10**6), "1000000 sites; runs are offered for up to 131072"),
        (changed("lattice.params.length", 10**5), "GB"),
        (GOOD | {"sector": {"sz": 0}}, "does not conserve"),
        (GOOD | {"sampler": {"name": "autoregressive"}}, "needs an autoregressive ansatz"),
        (GOOD | {"n_states": 2, "observables": ["renyi2"]}, "not available for several states"),
        (GOOD | {"observables": ["nope"]}, "nope"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_reason(
    api: httpx.Client, config: dict[str, Any], why: str
) -> None:
    answer = api.post("/api/runs", json=config)
    assert answer.status_code == 422
    assert why in answer.json()["detail"]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (json.dumps(GOOD | {"seed": float("nan")}).encode(), 422),
        (json.dumps(GOOD | {"seed": float("inf")}).encode(), 422),
        (b'{"seed": 1e999}', 422),
        (b"{", 400),
        (b"\xff\xfe{}", 400),
        (b"[" * 100_000, 400),
        (b"[" * 500 + b"]" * 500, 400),
        (b"9" * 5000, 400),
        (b"[]", 422),
        (b"null", 422),
        (b'"text"', 422),
        (b"", 422),
        (b'{"name": "' + b"x" * 20_000_000 + b'"}', 413),
    ],
)
def test_bad_bodies_get_one_clear_sentence(api: httpx.Client, raw: bytes, status: int) -> None:
    answer = api.post("/api/runs", content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    detail = answer.json()["detail"]
    assert isinstance(detail, str)
    assert 0 < len(detail) < 300


def test_a_run_is_stored_with_every_default_and_its_reference(api: httpx.Client) -> None:
    run = api.get(f"/api/runs/{submit(api)}").json()
    assert run["state"] == "queued"
    assert run["name"] == "ring"
    assert run["n_sites"] == 8
    assert run["config"]["optimizer"]["name"] == "minsr"
    assert run["reference"]["bound"] == "exact"
    for name in (
        "id", "phase", "step", "n_steps", "energy", "energy_error", "relative_error", "attempt", "pid", "tags",
        "archived", "verdict", "health",
    ):  # fmt: skip
        assert name in run


def test_the_same_key_gives_the_same_run(api: httpx.Client) -> None:
    first = api.post("/api/runs", json=GOOD, headers={"Idempotency-Key": "k-1"})
    again = api.post("/api/runs", json=GOOD, headers={"Idempotency-Key": "k-1"})
    other = api.post("/api/runs", json=GOOD, headers={"Idempotency-Key": "k-2"})
    assert first.json()["id"] == again.json()["id"] != other.json()["id"]
    assert api.post("/api/runs", json=GOOD, headers={"Idempotency-Key": "x" * 200}).status_code == 422


def test_list_search_sort_and_pages(api: httpx.Client) -> None:
    for name in ("alpha one", "alpha two", "beta"):
        submit(api, name=f"list {name}")
    page = api.get("/api/runs", params={"search": "list alpha", "sort": "name"}).json()
    assert [run["name"] for run in page["runs"]] == ["list alpha one", "list alpha two"]
    assert page["total"] == 2
    page = api.get("/api/runs", params={"search": "list", "sort": "-name", "limit": 1, "offset": 1}).json()
    assert ([run["name"] for run in page["runs"]], page["total"]) == (["list alpha two"], 3)
    assert api.get("/api/runs", params={"search": "list", "state": "done"}).json() == {"runs": [], "total": 0}
    for bad in ({"sort": "nope"}, {"limit": 0}, {"offset": -1}, {"archived": "maybe"}, {"limit": "NaN"}):
        assert api.get("/api/runs", params=bad).status_code == 422


def test_rename_tag_archive_and_annotate(api: httpx.Client) -> None:
    run = submit(api, name="patch me")
    patch = {"name": "patched", "tags": ["a", "b c"], "archived": True, "notes": "seen\nonce"}
    answer = api.patch(f"/api/runs/{run}", json=patch)
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in patch} == patch
    assert api.get("/api/runs", params={"search": "patched"}).json()["total"] == 0
    assert api.get("/api/runs", params={"search": "patched", "archived": "any"}).json()["total"] == 1
    assert api.get("/api/runs", params={"tag": "b c", "archived": "true"}).json()["total"] == 1
    for bad in (
        {"name": 1},
        {"tags": "a"},
        {"archived": "yes"},
        {"state": "done"},
        {"name": "a\0"},
        {"tags": ["x" * 300]},
    ):
        assert api.patch(f"/api/runs/{run}", json=bad).status_code == 422
    assert api.patch(f"/api/runs/{run}", content=b"").status_code == 422


def test_stop_resume_and_delete_follow_the_state(api: httpx.Client, where: tuple[str, Settings]) -> None:
    run = submit(api)
    assert api.post(f"/api/runs/{run}/resume").status_code == 409
    stopped = api.post(f"/api/runs/{run}/stop")
    assert (stopped.status_code, stopped.json()["state"]) == (202, "stopped")
    assert api.post(f"/api/runs/{run}/stop").status_code == 409
    resumed = api.post(f"/api/runs/{run}/resume")
    assert (resumed.status_code, resumed.json()["state"]) == (202, "queued")
    folder = where[1].run_folder(run)
    folder.mkdir(parents=True)
    assert api.delete(f"/api/runs/{run}").status_code == 204
    assert not folder.exists()
    assert api.get(f"/api/runs/{run}").status_code == 404
    assert api.delete(f"/api/runs/{run}").status_code == 404


def test_an_active_run_is_not_deleted(api: httpx.Client, engine: Engine) -> None:
    for run in api.get("/api/runs", params={"state": "queued", "archived": "any", "limit": 1000}).json()["runs"]:
        api.post(f"/api/runs/{run['id']}/stop")
    feeder = Feeder(engine)
    answer = api.delete(f"/api/runs/{feeder.run}")
    assert answer.status_code == 409
    assert "stop it" in answer.json()["detail"]
    assert api.post(f"/api/runs/{feeder.run}/stop").json()["desired"] == "stop"


def test_an_energy_is_judged_in_the_list_and_alone(api: httpx.Client, engine: Engine) -> None:
    for run in api.get("/api/runs", params={"state": "queued", "archived": "any", "limit": 1000}).json()["runs"]:
        api.post(f"/api/runs/{run['id']}/stop")
    run = api.get(f"/api/runs/{submit(api, name='judged')}").json()
    assert run["verdict"] is None
    assert store.claim_next(engine) == (run["id"], 1)
    assert store.claim_attempt(engine, run["id"], 1, "token", pid=1, host="here", slot=None) is not None
    result = {"energy": run["reference"]["energy"] - 1.0, "energy_error": 0.1}
    assert store.finish(engine, run["id"], 1, "token", "done", result=result)
    run = api.get(f"/api/runs/{run['id']}").json()
    assert run["verdict"]["kind"] == "flag"
    assert "below the exact reference by 1," in run["verdict"]["text"]
    assert run.pop("measurements") == []
    run.pop("versions")  # of a run alone
    assert api.get("/api/runs", params={"search": "judged"}).json()["runs"] == [run]


def test_clone_with_a_merge_patch(api: httpx.Client) -> None:
    run = submit(api)
    clone = api.post(f"/api/runs/{run}/clone")
    assert clone.status_code == 201
    first, second = (api.get(f"/api/runs/{x}").json() for x in (run, clone.json()["id"]))
    assert second["config"] | {"name": ""} == first["config"] | {"name": ""}
    assert second["cloned_from"] == run
    patch = {"name": "c", "optimizer": {"name": "sgd"}, "lattice": {"params": {"length": 6}}, "observables": None}
    third = api.get(f"/api/runs/{api.post(f'/api/runs/{run}/clone', json=patch).json()['id']}").json()["config"]
    assert third["optimizer"]["name"] == "sgd"
    assert "diag_shift" not in third["optimizer"]["params"]
    assert (third["lattice"]["params"]["length"], third["name"]) == (6, "c")
    for bad in ({"n_steps": -1}, {"lattice": None}, {"lattice": 3}, [], {"ansatz": {"name": ["x"]}}):
        assert api.post(f"/api/runs/{run}/clone", json=bad).status_code == 422


def test_a_clone_says_what_changed_and_keeps_its_tags(api: httpx.Client) -> None:
    run = submit(api, name="Δ run")
    api.patch(f"/api/runs/{run}", json={"tags": ["x", 'say "y"']})

    def clone(of: str, patch: Any) -> Any:
        return api.post(f"/api/runs/{of}/clone", json=patch).json()

    faster = clone(run, {"optimizer": {"params": {"learning_rate": 0.25}}, "seed": 3})
    assert (faster["name"], faster["tags"]) == ("Δ run, learning_rate=0.25, seed=3", ["x", 'say "y"'])
    assert clone(faster["id"], {"seed": 4})["name"] == "Δ run, learning_rate=0.25, seed=4"
    assert clone(run, {"seed": 3, "optimizer": {"params": {"learning_rate": 0.25}}})["name"].endswith(
        "seed=3, learning_rate=0.25"
    )
    assert [clone(run, {})["name"] for _ in range(2)] == ["Δ run, copy", "Δ run, copy 2"]
    assert clone(run, {"ansatz": {"name": "jastrow"}})["name"] == "Δ run, ansatz=jastrow"
    assert clone(run, {"name": "mine", "seed": 5})["name"] == "mine"
    for search in ("δ RUN", '"Y"', "learning_rate=0.25"):
        found = api.get("/api/runs", params={"search": search}).json()["runs"]
        assert faster["id"] in {each["id"] for each in found}


def test_merge_patches_follow_rfc_7396() -> None:
    cases = [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "foo"}, "bar", "bar"),
    ]
    for target, patch, merged in cases:
        assert merge(target, patch) == merged


def test_events_page_by_page(api: httpx.Client, engine: Engine) -> None:
    for run in api.get("/api/runs", params={"state": "queued", "archived": "any", "limit": 1000}).json()["runs"]:
        api.post(f"/api/runs/{run['id']}/stop")
    feeder = Feeder(engine)
    feeder.train(5, jsd=float("nan"))
    feeder.restart(3)
    feeder.train(1)
    path, found, after = f"/api/runs/{feeder.run}/events", [], 0
    while events := api.get(path, params={"after": after, "limit": 4}).json()["events"]:
        assert len(events) <= 4
        found += events
        after = events[-1]["seq"]
    assert [event["seq"] for event in found] == list(range(1, after + 1))
    metrics = [event for event in found if event["kind"] == "metrics"]
    assert [(event["step"], event["attempt"]) for event in metrics] == [(k, 1) for k in (1, 2, 3, 4, 5)] + [(4, 2)]
    assert all(event["phase"] == "train" and event["scalars"]["energy"] < 0 for event in metrics)
    assert "rewind" in [event["kind"] for event in found]
    for bad in ({"after": -1}, {"after": "x"}, {"limit": 0}, {"after": 2**70}):
        assert api.get(path, params=bad).status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/api/runs/nope", "/api/runs/%00", "/api/runs/../../etc/passwd", "/api/runs/..%2f..%2fetc%2fpasswd",
        "/api/runs/" + "a" * 5000, "/api/runs/nope/events", "/api/runs/nope/export", "/api/nope", "/api", "/api/",
        "/api/runs/%ff%fe", "/api/runs/00000000-0000-0000-0000-000000000000", "/api/runs//", "/api/runs/%F0%9F%92%A9",
    ],
)  # fmt: skip
def test_odd_paths_are_not_found(where: tuple[str, Settings], path: str) -> None:
    import http.client

    connection = http.client.HTTPConnection(where[0], timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 404
    assert json.loads(answer.read())["detail"]
    connection.close()


def test_wrong_methods_are_named(api: httpx.Client) -> None:
    answer = api.put("/api/runs", json={})
    assert answer.status_code == 405
    assert answer.json()["detail"]


def test_references_are_searched(api: httpx.Client) -> None:
    page = api.get("/api/references", params={"hamiltonian": "tfim", "lattice": "chain", "limit": 5}).json()
    assert len(page["references"]) == 5
    assert page["total"] > 5
    first = page["references"][0]
    assert {"energy", "method", "source", "bound", "uncertainty", "key"} <= set(first)
    same = api.get("/api/references", params={"key": first["key"]}).json()["references"]
    assert {row["key"] for row in same} == {first["key"]}
    assert api.get("/api/references", params={"search": "nothing like this"}).json()["total"] == 0


def test_the_feed_is_part_of_the_application(api: httpx.Client, where: tuple[str, Settings]) -> None:
    run = submit(api)
    browser = Browser(where[0])
    browser.want(run)
    browser.receive()
    assert browser.status[run]["reference"]["bound"] == "exact"
    browser.socket.close()


def test_the_icon_and_the_description_are_served(api: httpx.Client) -> None:
    assert api.get("/favicon.ico").headers["content-type"].startswith("image/svg+xml")
    schema = api.get("/api/openapi.json").json()
    known = schema["components"]["schemas"]
    assert "Infinity" in str(known["Real"])
    assert {"MetricsEvent", "PointEvent", "Event"} <= set(known)
    assert "/api/runs/{run_id}/clone" in schema["paths"]
    text = json.dumps(schema)
    for reference in {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
        assert urllib.parse.unquote(reference) in schema["components"]["schemas"]


def test_strict_json_takes_what_json_is() -> None:
    assert loads(b'{"a": [1, 2.5, "\xc3\xa9", null, true]}') == {"a": [1, 2.5, "é", None, True]}
    with pytest.raises(NQSError):
        loads(b"[NaN]")


def test_the_database_folder_is_made(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "deep" / "er")
    with serving(create_app(settings)) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/api/health").status_code == 200


def test_a_lattice_is_drawn_with_its_symmetries(api: httpx.Client) -> None:
    square = {"name": "square", "params": {"extent": [4, 4]}}
    found = api.post("/api/lattice", json=square).json()
    assert (found["n_sites"], len(found["sites"]), found["point_group"]["name"]) == (16, 16, "C4v")
    near = found["bonds"][0]
    assert (near["order"], len(near["pairs"]) + len(near["wraps"])) == (1, 32)
    assert "little" not in found
    assert api.post("/api/lattice?momentum=X", json=square).json()["little"]["name"] == "C2v"
    assert api.post("/api/lattice?momentum=1,0", json=square).json()["little"]["irreps"]
    for bad in ({"name": "circle"}, {"name": "square", "params": {"extent": [0, 4]}}):
        assert api.post("/api/lattice", json=bad).status_code == 422
    for momentum in ("Q", "--1", "1,--2", "1,"):
        assert api.post("/api/lattice", params={"momentum": momentum}, json=square).status_code == 422


def test_only_a_run_that_has_ended_and_left_a_checkpoint_is_measured_again(api: httpx.Client) -> None:
    run = submit(api)
    for body in ({}, {"samples": 100}):
        answer = api.post(f"/api/runs/{run}/measure", json=body)
        assert (answer.status_code, "no checkpoint" in answer.json()["detail"]) == (409, True)
    assert api.post(f"/api/runs/{run}/measure", json={"samples": 0}).status_code == 422


def test_measurements_of_a_run_never_share_their_random_numbers(api: httpx.Client, engine: Engine) -> None:
    run = submit(api)
    api.post(f"/api/runs/{run}/stop")
    with engine.begin() as connection:
        saved = {"run_id": run, "step": 1, "attempt": 1, "path": "1", "bytes": 1, "sha256": "0", "t": 0.0}
        connection.execute(models.checkpoints.insert(), saved)

    def measured() -> dict[str, Any]:
        answer = api.post(f"/api/runs/{run}/measure", json={})
        assert answer.status_code == 201, answer.text
        return answer.json()

    first, second = measured(), measured()
    assert api.delete(f"/api/runs/{first['id']}").status_code == 204
    assert len({job["config"]["seed"] for job in (first, second, measured())}) == 3


def test_too_few_steps_are_not_extrapolated(api: httpx.Client) -> None:
    found = api.get(f"/api/runs/{submit(api)}/extrapolation").json()
    assert (found["accepted"], found["energy"], found["n_points"]) == (False, None, 0)
    assert "too few" in found["reason"]


def test_lists_leave_out_the_arrays_of_results_and_see_new_ones(api: httpx.Client, engine: Engine) -> None:
    for run in api.get("/api/runs", params={"state": "queued", "archived": "any", "kind": "any", "limit": 1000}).json()[
        "runs"
    ]:
        api.post(f"/api/runs/{run['id']}/stop")
    run = submit(api, name="maps")
    assert store.claim_next(engine) == (run, 1)
    assert store.claim_attempt(engine, run, 1, "token", pid=1, host="here", slot=None) is not None

    def listed() -> dict[str, Any]:
        return api.get("/api/runs", params={"search": "maps"}).json()["runs"][0]

    assert listed()["result"] is None
    observables = {"m": {"mean": 0.5, "error": 0.1}, "map": {"mean": [[1.0]], "error": [[0.0]]}}
    assert store.finish(engine, run, 1, "token", "done", result={"energy": -1.0, "observables": observables})
    for _ in range(2):
        assert listed()["result"] == {"energy": -1.0, "observables": {"m": {"mean": 0.5, "error": 0.1}}}
    assert api.get(f"/api/runs/{run}").json()["result"]["observables"] == observables


def test_another_kind_of_a_parameter_that_is_a_spec_leaves_the_old_ones_parameters() -> None:
    spec = {"name": "minsr", "params": {"rate": {"name": "cosine", "params": {"start": 1}}, "shift": 2}}
    other = {"params": {"rate": {"name": "linear"}}}
    assert kept(spec, other) == {"name": "minsr", "params": {"rate": {}, "shift": 2}}
    assert kept(spec, {"params": {"rate": {"params": {"end": 0}}}}) == spec
    assert kept(spec, {"name": "sgd"}) == {}
