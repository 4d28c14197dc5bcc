"""Reference energies in the database: loaded once, matched by system, computed where that is cheap."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from scipy.sparse.linalg import ArpackNoConvergence

from backend import console, models, references, store
from backend.references import matching, table
from nqs_core.config import ReferenceJob, RunConfig, parse, parse_as
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.lattices import LATTICES
from nqs_core.reference import Reference, compute, literature
from tests.nqs_core.systems import dense


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = store.open_engine(f"sqlite:///{tmp_path / 'runs.db'}")
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Nothing is remembered of the systems of other tests."""
    matching._remembered.cache_clear()
    matching._levels.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped data that a test may change."""
    folder = tmp_path / "data"
    shutil.copytree(literature.data_folder(), folder, copy_function=shutil.copyfile)
    for module in (table, literature):
        monkeypatch.setattr(module, "data_folder", lambda: folder)
    return folder


def config(lattice: dict[str, Any], hamiltonian: dict[str, Any], **more: Any) -> RunConfig:
    return parse({"lattice": lattice, "hamiltonian": hamiltonian, **more})


def chain(length: int, name: str = "tfim", **params: Any) -> RunConfig:
    lattice = {"name": "chain", "params": {"length": length}}
    return config(lattice, {"name": name, "params": params})


def rows(engine: sa.Engine, table: sa.Table = models.reference_energies) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(table).order_by(table.c.content_hash))]


def test_the_files_are_loaded_whole_and_once(engine: sa.Engine) -> None:
    references.load(engine)
    first = rows(engine), rows(engine, models.reference_series)
    with open(literature.data_folder() / "dmrg_series.csv", encoding="utf-8", newline="") as file:
        assert len(first[1]) == len(list(csv.reader(file))) - 1
    assert len(first[0]) == len(literature.load_table())
    references.load(engine)
    assert (rows(engine), rows(engine, models.reference_series)) == first


def test_rows_that_left_the_file_go_and_others_stay(engine: sa.Engine, folder: Path) -> None:
    references.load(engine)
    before = {row[1] for row in rows(engine)}
    with engine.begin() as connection:
        first = dict(connection.execute(sa.select(models.reference_energies).limit(1)).mappings().one())
        mine = first | {"id": None, "origin": "user", "content_hash": "mine", "energy": -1.0}
        connection.execute(models.reference_energies.insert(), mine)
    path = folder / "reference_energies.csv"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:1] + lines[2:]), "utf-8")
    references.load(engine)
    after = {row[1] for row in rows(engine)}
    assert before - after == {first["content_hash"]}
    assert after - before == {"mine"}


def test_a_damaged_file_changes_nothing(engine: sa.Engine, folder: Path) -> None:
    references.load(engine)
    before = rows(engine)
    path = folder / "reference_energies.csv"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    bound = next(i for i, line in enumerate(lines) if ",exact," in line)
    path.write_text("".join([*lines[:bound], lines[bound].replace(",exact,", ",guess,")]), "utf-8")
    with pytest.raises(sa.exc.IntegrityError):  # pyright: ignore[reportAttributeAccessIssue]
        references.load(engine)
    assert rows(engine) == before


@pytest.mark.parametrize(
    "run",
    [
        chain(16, J=1.0, h=1.0),
        chain(16, J=2.0, h=-1.0),  # twice the canonical one at h = 1/2, the field turned round
        chain(10, "heisenberg", marshall=True),
    ],
)
def test_a_run_finds_its_row_in_its_own_units(engine: sa.Engine, run: RunConfig) -> None:
    references.load(engine)
    found = references.match(engine, run)
    assert found is not None
    assert (found["bound"], found["label"]) == ("exact", f"exact ({found['method']})")
    assert found["energy"] == pytest.approx(compute(run, method="analytic")[0].energy, rel=1e-10)
    assert references.search(engine, origin="computed")[1] == 0


def test_a_closed_form_needs_no_row(engine: sa.Engine) -> None:
    run = chain(300, h=0.123)
    found = references.match(engine, run)
    assert found is not None
    assert found["energy"] == compute(run)[0].energy
    assert found["method"] == "analytic"


def test_several_states_are_compared_with_the_sum_of_their_levels(engine: sa.Engine) -> None:
    references.load(engine)
    run = chain(6, "heisenberg").model_copy(update={"n_states": 3})
    found = references.match(engine, run)
    assert found is not None
    hamiltonian = HAMILTONIANS.build(run.hamiltonian, lattice=LATTICES.build(run.lattice))
    levels = np.linalg.eigvalsh(dense(hamiltonian.terms(), 6))
    assert found["levels"] == pytest.approx(levels[:3].tolist(), rel=1e-9)
    assert found["energy"] == pytest.approx(levels[:3].sum(), rel=1e-9)
    assert found["label"].startswith("exact (sum of the 3 lowest levels")
    too_large = chain(100, "j1j2", J2=0.3).model_copy(update={"n_states": 2})
    assert references.match(engine, too_large) is None


def test_a_published_upper_bound_is_labelled_as_one(engine: sa.Engine) -> None:
    references.load(engine)
    lattice = {"name": "square", "params": {"extent": [14, 14]}}
    found = references.match(engine, config(lattice, {"name": "heisenberg"}))
    assert found is not None
    assert found["bound"] in ("upper", "estimate")
    assert found["label"].startswith(("upper bound (", "estimate ("))
    assert found["source"]


def test_a_cheap_system_is_computed_and_kept(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    lattice = {"name": "square", "params": {"extent": [3, 2], "periodic": [True, False]}}
    run = config(lattice, {"name": "tfim", "params": {"J": -2.0, "h": 0.7}})
    assert references.match(engine, run) is not None  # as somebody types
    assert references.search(engine, origin="computed")[1] == 0
    found = references.match(engine, run, save=True)
    assert found is not None
    assert found["energy"] == pytest.approx(compute(run)[0].energy, rel=1e-12)
    stored, total = references.search(engine, origin="computed")
    assert total == 1
    assert stored[0]["energy_per_site"] * 6 == pytest.approx(stored[0]["energy"])

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("it is in the table")

    matching._remembered.cache_clear()
    matching._levels.cache_clear()
    monkeypatch.setattr(matching, "compute", never)
    again = references.match(engine, run)
    assert again is not None
    assert again["energy"] == pytest.approx(found["energy"], rel=1e-14)


def test_a_system_that_the_table_does_not_take_is_computed_once(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lattice = {"name": "chain", "params": {"length": 6}}
    glass, other = ({"name": "spin_glass", "params": {"disorder": "gaussian", "disorder_seed": n}} for n in (11, 12))
    calls = []

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(args)
        return compute(*args, **options)

    monkeypatch.setattr(matching, "compute", counted)
    found = references.match(engine, config(lattice, glass))
    assert found is not None
    assert found["energy"] == compute(config(lattice, glass))[0].energy
    assert references.match(engine, config(lattice, glass, name="other", n_steps=7)) == found
    assert len(calls) == 1
    second = references.match(engine, config(lattice, other))
    assert second is not None
    assert second["energy"] != found["energy"]
    assert references.search(engine, origin="computed")[1] == 0


def test_an_upper_bound_never_leads_where_the_exact_energy_is_at_hand(engine: sa.Engine) -> None:
    """A ring of 12 that the table has a DMRG energy of, and nothing else."""
    ring = chain(12, "xxz", J=2.0, Delta=0.7)
    run_id = store.submit(engine, ring.model_dump(mode="json"), system=references.system_of(ring))
    key, sector = references.system_of(ring)
    bound = Reference(-9.0, "dmrg", "upper", None, "unknown: for a test", "s", sector, 0, key)
    references.record(engine, run_id, ring, [bound])
    exact = compute(ring, method="exact")[0].energy
    found = references.lookup(engine, ring)
    assert [row["bound"] for row in found["matches"]] == ["exact", "upper"]
    assert found["matches"][0]["energy_run"] == pytest.approx(exact)
    assert found["text"].startswith("exact")
    drawn = store.get_run(engine, run_id)
    assert drawn is not None
    assert (drawn["reference"]["bound"], drawn["reference"]["energy"]) == ("exact", pytest.approx(exact))
    assert [row["bound"] for row in references.lookup(engine, ring)["matches"]] == ["exact", "upper"]


def test_a_job_of_a_diagonal_hamiltonian_is_its_exact_minimum(engine: sa.Engine) -> None:
    glass = {"name": "spin_glass", "params": {"disorder": "gaussian", "h": 0.0}}
    system = {"lattice": {"name": "chain", "params": {"length": 30}}, "hamiltonian": glass}
    for method in ("auto", "exact", "dmrg"):
        found = references.plan_job(parse_as(ReferenceJob, {**system, "method": method}))
        assert (found.job.method, found.about["diagonal"], found.about["exact"]["feasible"]) == ("exact", True, True)
    matched = references.match(engine, parse(system))
    assert matched is not None
    assert (matched["bound"], matched["method"]) == ("exact", "exact minimum")


def test_an_expensive_system_has_none(engine: sa.Engine) -> None:
    lattice = {"name": "square", "params": {"extent": [6, 6]}}
    assert references.match(engine, config(lattice, {"name": "tfim", "params": {"h": 1.2345}})) is None
    lattice = {"name": "square", "params": {"extent": [20, 20]}}
    assert references.match(engine, config(lattice, {"name": "tfim", "params": {"h": 1.2345}})) is None


@pytest.mark.parametrize(
    "error",
    [ArpackNoConvergence("no", np.zeros(0), np.zeros((0, 0))), np.linalg.LinAlgError("no"), OverflowError("no")],
)
def test_a_failed_computation_is_no_failure_of_the_run(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    for module in (matching, console):
        monkeypatch.setattr(module, "compute", fail)
    lattice = {"name": "square", "params": {"extent": [3, 2], "periodic": [True, False]}}
    unlisted = config(lattice, {"name": "tfim", "params": {"J": -2.0, "h": 0.7}})
    assert references.match(engine, unlisted) is None
    assert console.find_reference(unlisted) is None


@pytest.mark.parametrize(
    ("energy", "error", "bound", "uncertainty", "kind"),
    [
        (-9.99, 0.01, "exact", None, "error"),
        (-10.04, 0.01, "exact", None, "flag"),
        (-10.04, 0.01, "estimate", 0.02, "error"),
        (-10.04, None, "exact", None, "error"),
        (-10.04, 0.01, "upper", None, "beaten"),
    ],
)
def test_an_energy_is_judged_with_the_uncertainty_of_both(
    energy: float, error: float | None, bound: str, uncertainty: float | None, kind: str
) -> None:
    known = {"energy": -10.0, "method": "m", "bound": bound, "uncertainty": uncertainty}
    found = references.judge({"energy": energy, "energy_error": error, "reference": known})
    assert found is not None
    assert found["kind"] == kind
    assert found["text"]
    assert references.judge({"energy": None, "energy_error": None, "reference": known}) is None
    assert references.judge({"energy": energy, "energy_error": error, "reference": None}) is None


def test_search_and_page(engine: sa.Engine) -> None:
    references.load(engine)
    everything, total = references.search(engine, limit=5)
    assert (len(everything), total) == (5, len(literature.load_table()))
    found, total = references.search(engine, hamiltonian="heisenberg", lattice="square", search="10x10 qmc")
    assert total == len(found) >= 1
    assert all(row["method"] == "qmc" and row["extent"] == [10, 10] for row in found)
    page, _ = references.search(engine, limit=3, offset=2)
    assert page == everything[2:5]
    assert references.search(engine, key="nothing") == ([], 0)


def test_rows_that_come_with_an_update_reach_the_runs(engine: sa.Engine) -> None:
    run = chain(16, J=1.0, h=1.0)
    system = references.system_of(run)
    old = store.submit(engine, run.model_dump(mode="json"), system=system)
    unnamed = store.submit(engine, run.model_dump(mode="json"))
    references.start(engine)
    for run_id in (old, unnamed):
        found = store.get_run(engine, run_id)
        assert found is not None
        assert (found["system_key"], found["reference"]["bound"]) == (system[0], "exact")
