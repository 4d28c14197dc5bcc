"""References over HTTP: search, add, look up, estimate, compute; what is known reaches the runs it speaks about."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from backend import store
from backend.main import create_app
from backend.references import record, table
from backend.settings import Settings
from nqs_core import reference
from nqs_core.config import System, parse_as
from tests.backend.serving import free_port, serving

RING: dict[str, Any] = {
    "lattice": {"name": "chain", "params": {"length": 8}},
    "hamiltonian": {"name": "tfim", "params": {"J": 2.0, "h": -1.0}},
}
LARGE: dict[str, Any] = {  # no closed form, not in the table, too large to be diagonalised
    "lattice": {"name": "square", "params": {"extent": [7, 6]}},
    "hamiltonian": {"name": "tfim", "params": {"J": 2.0, "h": 5.1}},
}
OWN: dict[str, Any] = {"energy": -260.0, "uncertainty": 0.5, "bound": "estimate", "method": "QMC", "source": "A thesis"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data"), ui_port=free_port())


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[httpx.Client]:
    with serving(create_app(settings)) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client


def known(api: httpx.Client, **filters: Any) -> tuple[list[dict[str, Any]], int]:
    page = api.get("/api/references", params=filters).json()
    return page["references"], page["total"]


def submit(api: httpx.Client, system: dict[str, Any]) -> str:
    answer = api.post("/api/runs", json={**system, "n_steps": 3})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_filters_combine_and_the_page_learns_their_values(api: httpx.Client) -> None:
    page = api.get("/api/references", params={"hamiltonian": "j1j2", "bound": "upper|estimate", "limit": 3}).json()
    assert len(page["references"]) == 3 < page["total"]
    assert {row["bound"] for row in page["references"]} <= {"upper", "estimate"}
    assert set(page["facets"]) == set(table.FACETS)
    assert page["facets"]["bound"] == ["estimate", "exact", "upper"]
    down, _ = known(api, sort="-energy_per_site", limit=5)
    assert [row["energy_per_site"] for row in down] == sorted((r["energy_per_site"] for r in down), reverse=True)
    assert api.get("/api/references", params={"sort": "colour"}).status_code == 422


def test_an_own_energy_reaches_the_runs_of_its_system_and_leaves_with_its_row(api: httpx.Client) -> None:
    run = submit(api, LARGE)
    assert api.get(f"/api/runs/{run}").json()["reference"] is None
    added = api.post("/api/references", json={**LARGE, **OWN})
    assert added.status_code == 201, added.text
    row = added.json()
    assert (row["origin"], row["energy"], row["uncertainty"]) == ("user", -130.0, 0.25)  # in units of J = 2
    found = api.get(f"/api/runs/{run}").json()["reference"]
    assert (found["energy"], found["uncertainty"], found["source"]) == (-260.0, 0.5, "A thesis")
    events = api.get(f"/api/runs/{run}/events").json()["events"]
    assert any("reference: -260" in event.get("message", "") for event in events)
    assert api.post("/api/references", json={**LARGE, **OWN}).status_code == 422  # twice
    assert api.delete(f"/api/references/{row['id']}").status_code == 204
    assert api.get(f"/api/runs/{run}").json()["reference"] is None
    assert api.delete(f"/api/references/{row['id']}").status_code == 404


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"source": ""}, "source"),
        ({"source": "   "}, "source"),
        ({"method": " "}, "method"),
        ({"energy": None}, "energy"),
        ({"uncertainty": -1.0}, "uncertainty"),
        ({"bound": "true"}, "bound"),
        ({"hamiltonian": {"name": "tfim", "params": {"g": 1.0}}}, "hamiltonian.params.g"),
    ],
)
def test_an_own_energy_with_a_fault_is_refused_where_it_lies(
    api: httpx.Client, change: dict[str, Any], where: str
) -> None:
    answer = api.post("/api/references", json={**LARGE, **OWN, **change})
    assert answer.status_code == 422
    assert [error["where"] for error in answer.json()["errors"]] == [where]


def test_an_own_energy_stays_a_number_in_canonical_units(api: httpx.Client) -> None:
    system = {**LARGE, "hamiltonian": {"name": "tfim", "params": {"J": 1e-6, "h": 1.0}}}
    answer = api.post("/api/references", json={**system, **OWN, "energy": -1e308})
    assert (answer.status_code, "double precision" in answer.json()["detail"]) == (422, True)


def test_numbers_beyond_64_bits_are_refused(api: httpx.Client) -> None:
    far = {**RING, "sector": {"momentum": [10**30]}}
    for path in ("validate", "runs", "references/match", "references/estimate", "references/compute"):
        assert api.post(f"/api/{path}", json=far).status_code == 422, path
    for level in (10**30, -1):
        assert api.post("/api/references/match", json={**RING, "level": level}).status_code == 422
    assert api.delete(f"/api/references/{10**30}").status_code == 422


def test_a_job_is_not_cloned_as_a_run(api: httpx.Client) -> None:
    job = api.post("/api/references/compute", json={**RING, "method": "exact"}).json()["id"]
    answer = api.post(f"/api/runs/{job}/clone", json={})
    assert (answer.status_code, "cannot be cloned" in answer.json()["detail"]) == (409, True)
    listed = api.get("/api/runs", params={"kind": "any,vmc", "limit": 1000}).json()["runs"]
    assert job in {run["id"] for run in listed}
    assert api.delete(f"/api/runs/{job}").status_code == 204


@pytest.mark.parametrize(
    ("system", "own", "refused"),
    [
        (RING, {"bound": "exact", "energy": 5.0, "uncertainty": None}, True),
        (RING, {"bound": "upper", "energy": -30.0, "uncertainty": None}, True),
        (RING, {"bound": "upper", "energy": -17.0, "uncertainty": None}, False),
        (RING, {"bound": "estimate", "energy": -18.0, "uncertainty": 0.5}, False),
        (LARGE, {"bound": "estimate", "energy": 5.0, "uncertainty": 0.5}, False),
    ],
)
def test_an_own_energy_that_cannot_be_is_refused_and_none_hides_an_exact_one(
    api: httpx.Client, system: dict[str, Any], own: dict[str, Any], refused: bool
) -> None:
    answer = api.post("/api/references", json={**system, **OWN, **own})
    assert (answer.status_code, "contradicts" in answer.text) == ((422, True) if refused else (201, False))
    if system == RING:
        found = api.post("/api/references/match", json=RING).json()["matches"][0]
        assert (found["bound"], found["origin"]) == ("exact", "shipped")
    if not refused:
        assert api.delete(f"/api/references/{answer.json()['id']}").status_code == 204


def test_shipped_rows_stay(api: httpx.Client) -> None:
    row = known(api, origin="shipped", limit=1)[0][0]
    answer = api.delete(f"/api/references/{row['id']}")
    assert (answer.status_code, answer.json()["detail"]) == (
        409, "this row is shipped with the program and cannot be deleted"
    )  # fmt: skip


def test_a_system_is_looked_up_in_its_own_units(api: httpx.Client) -> None:
    found = api.post("/api/references/match", json=RING).json()
    assert found["matches"][0]["bound"] == "exact"
    exact = reference.compute(parse_as(System, RING))[0].energy
    assert found["matches"][0]["energy_run"] == pytest.approx(exact, rel=1e-12)
    assert "exact" in found["text"]


def test_where_the_table_has_nothing_the_neighbours_bracket_the_energy(api: httpx.Client) -> None:
    system = {**RING, "hamiltonian": {"name": "tfim", "params": {"J": 2.0, "h": 1.3}}}
    found = api.post("/api/references/match", json=system).json()
    assert [row["id"] for row in found["matches"]] == [None]  # a closed form, which is in no table
    assert {near["coupling"] for near in found["nearest"]} == {"h"}
    assert all(near["value"] != pytest.approx(0.65) for near in found["nearest"])
    exact = reference.compute(parse_as(System, system))[0].energy
    assert found["bracket"]["lower"] <= exact <= found["bracket"]["upper"]


@pytest.mark.parametrize("name", ["estimate", "compute"])
def test_impossible_jobs_are_refused_with_the_reason(api: httpx.Client, name: str) -> None:
    answer = api.post(f"/api/references/{name}", json={**LARGE, "method": "dmrg", "chi": [50, 20]})
    assert answer.status_code == 422
    assert "must rise" in answer.json()["detail"]


def test_estimates_say_what_fits(api: httpx.Client) -> None:
    found = api.post("/api/references/estimate", json=LARGE).json()
    assert (found["method"], found["n_sites"], found["closed_form"]) == ("dmrg", 42, False)
    assert not found["exact"]["feasible"]
    assert "42 spins" in found["exact"]["reason"]
    assert len(found["dmrg"]["seconds"]) == len(found["dmrg"]["chi"])
    closed = api.post("/api/references/estimate", json=RING).json()
    assert (closed["method"], closed["closed_form"]) == ("exact", True)


def test_a_job_is_a_run_of_its_kind(api: httpx.Client) -> None:
    answer = api.post("/api/references/compute", json={**LARGE, "method": "dmrg", "chi": [8, 16]})
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert (job["kind"], job["config"]["chi"], job["state"], job["n_steps"]) == ("dmrg", [8, 16], "queued", 16)
    refused = api.post("/api/references/compute", json={**LARGE, "method": "exact"})
    assert refused.status_code == 422
    assert "GB" in refused.json()["detail"]
    listed = api.get("/api/runs", params={"kind": "dmrg,exact"}).json()["runs"]
    assert [run["id"] for run in listed] == [job["id"]]
    assert job["id"] not in [run["id"] for run in api.get("/api/runs").json()["runs"]]
    assert api.get("/api/runs", params={"kind": "rumour"}).status_code == 422
    assert api.get("/api/references/series", params={"run": job["id"]}).json() == {"series": []}


def test_what_a_job_found_is_recorded_once_and_drawn_on_its_runs(api: httpx.Client, settings: Settings) -> None:
    system = {**LARGE, "hamiltonian": {"name": "tfim", "params": {"J": 1.0, "h": 3.3}}}
    run = submit(api, system)
    job = api.post("/api/references/compute", json={**system, "method": "dmrg", "chi": [8, 16, 32]}).json()
    points = [
        reference.dmrg.Point(chi, chi, energy, error, None, 1.0, 4, True, 1.0, 1.0)
        for chi, energy, error in ((8, -140.0, 1e-3), (16, -140.5, 1e-4), (32, -140.6, 1e-5))
    ]
    typed = parse_as(System, system)
    engine = store.open_engine(settings.db_url)
    found, _ = reference.conclude(typed, points)
    for _ in range(2):  # a process that was killed after it does it again
        record(engine, job["id"], typed, [found], points, 10)
    engine.dispose()
    rows, total = known(api, origin="computed", key=job["system_key"])
    assert total == 1
    assert (rows[0]["run_id"], rows[0]["energy"]) == (job["id"], pytest.approx(found.energy))
    drawn = api.get(f"/api/runs/{run}").json()["reference"]
    assert (drawn["energy"], drawn["method"]) == (pytest.approx(found.energy), found.method)
    series = api.get("/api/references/series", params={"key": job["system_key"]}).json()["series"]
    assert [point["chi"] for point in series[0]["points"]] == [8, 16, 32]
    assert {fit["kind"] for fit in series[0]["fits"]} == {"power", "variance", "truncation"}
    assert all(fit["accepted"] or fit["reason"] for fit in series[0]["fits"])


def test_shipped_series_come_with_their_fits(api: httpx.Client) -> None:
    key = "tfim|square|6x6|PP|J=1,h=3"
    series = api.get("/api/references/series", params={"key": key}).json()["series"]
    assert series
    best = min(series, key=lambda one: one["points"][-1]["energy"])
    assert best["points"][-1]["energy"] >= -115.232707304 >= best["energy"] - (best["uncertainty"] or 1.0)
    assert api.get("/api/references/series").status_code == 422
