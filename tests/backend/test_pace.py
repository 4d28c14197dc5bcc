"""The time of a run: from runs with the same network on the same device, else roughly, on a new GPU not at all."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend import store
from backend.pace import Pace
from backend.planning import Planner
from backend.settings import Settings
from backend.store import ingest
from nqs_core.ansatze.operations import Operations
from nqs_core.budget import Work, rates, seconds
from nqs_core.config import RunConfig, parse
from tests.backend.helpers import begin, metrics, open_sink

CPU, GPU = "CPU, 2 cores", "NVIDIA H200"
STEP = Operations(products=2e9, elements=1e7, special=1e6, calls=100)
WORK = Work(sampling=Operations(products=5e8), energies=Operations(products=5e8), update=Operations(products=1e9))


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    return store.open_engine(f"sqlite:///{tmp_path / 'spinscope.db'}")


def asked(ansatz: str = "rbm", **changes: Any) -> RunConfig:
    base = {
        "lattice": {"name": "chain", "params": {"length": 8}},
        "hamiltonian": {"name": "tfim"},
        "ansatz": {"name": ansatz},
        "n_steps": 100,
        "measure": 1000,
    }
    return parse(base | changes)


def ran(
    engine: sa.Engine, folder: Path, step_seconds: list[float], *, ansatz: str = "rbm", device: str = "cpu",
    work: Operations | None = STEP, state: str = "done", **changes: Any,
) -> str:  # fmt: skip
    """A run on `device` that took so long for each of its steps."""
    config = asked(ansatz, **changes).model_dump(mode="json")
    run_id = store.submit(engine, config, work=work)
    owner: ingest.Owner = begin(engine, run_id)
    (folder / run_id).mkdir()
    sink = open_sink(engine, owner, folder / run_id)
    sink.set(device=device)
    for k, value in enumerate(step_seconds, start=1):
        sink.put(metrics(k, step_seconds=value))
    assert sink.finish(state, step=len(step_seconds))
    return run_id


def expect(engine: sa.Engine, config: RunConfig, work: Work = WORK, device: str | None = CPU) -> dict[str, Any]:
    return Pace(engine).expect(config, work, 500, device)


def nominal(part: Operations, precision: str = "float32") -> float:
    return seconds(part, rates(True, precision))


def test_without_history_a_processor_is_guessed_and_a_gpu_is_not(engine: sa.Engine) -> None:
    found = expect(engine, asked())
    assert found["step_seconds"] == pytest.approx(nominal(WORK.step))
    assert found["seconds"] == pytest.approx(100 * nominal(WORK.step) + 2 * nominal(WORK.batch))  # 1000 of 500 samples
    assert (found["n_runs"], found["basis"]) == (0, "rough: no run on this device yet")
    unknown = expect(engine, asked(), device=GPU)
    assert (unknown["step_seconds"], unknown["seconds"]) == (None, None)
    assert unknown["basis"] == "the first run on this device will tell"
    assert expect(engine, asked(), device=None)["basis"] == "no worker has reported its device yet"


def test_the_same_run_again_takes_as_long(engine: sa.Engine, tmp_path: Path) -> None:
    ran(engine, tmp_path, [9.0, 0.3, 0.2, 0.3, 0.4, 0.3])  # the first step compiles
    work = Work(sampling=Operations(), energies=Operations(), update=STEP)
    found = expect(engine, asked(), work)
    assert found["step_seconds"] == pytest.approx(0.3)
    assert found["basis"] == "from 1 run with rbm on this device"
    twice = Work(sampling=Operations(), energies=Operations(), update=STEP.times(2))
    assert expect(engine, asked(), twice)["step_seconds"] == pytest.approx(0.6)


def test_one_odd_run_changes_little(engine: sa.Engine, tmp_path: Path) -> None:
    for value in (0.3, 0.31, 30.0, 0.29, 0.3):
        ran(engine, tmp_path, [value] * 4)
    found = expect(engine, asked(), Work(Operations(), Operations(), STEP))
    assert found["step_seconds"] == pytest.approx(0.3)
    assert found["n_runs"] == 5


def test_runs_with_the_same_network_count_more(engine: sa.Engine, tmp_path: Path) -> None:
    work = Work(Operations(), Operations(), STEP)
    ran(engine, tmp_path, [0.5] * 4, ansatz="mlp")
    other = expect(engine, asked("rbm"), work)
    assert (other["step_seconds"], other["basis"]) == (pytest.approx(0.5), "rough: from 1 run with other networks")
    ran(engine, tmp_path, [0.2] * 4, ansatz="rbm")
    assert expect(engine, asked("rbm"), work)["step_seconds"] == pytest.approx(0.2)
    assert expect(engine, asked("mlp"), work)["step_seconds"] == pytest.approx(0.5)


def test_only_what_has_shown_the_speed_of_this_device_counts(engine: sa.Engine, tmp_path: Path) -> None:
    ran(engine, tmp_path, [0.5] * 4, device=GPU)
    ran(engine, tmp_path, [0.5] * 4, work=None)  # of an earlier version
    ran(engine, tmp_path, [0.5, 0.4])  # one step without compiling is no measurement
    ran(engine, tmp_path, [0.5] * 4, state="failed")
    assert expect(engine, asked())["n_runs"] == 0
    gpu = expect(engine, asked(), device=f"{GPU} + NVIDIA A100")
    assert gpu["n_runs"] == 1
    slowness = 0.5 / seconds(STEP, rates(False, "float32"))
    assert gpu["step_seconds"] == pytest.approx(slowness * seconds(WORK.step, rates(False, "float32")))


def test_a_run_in_double_precision_tells_of_one_in_single(engine: sa.Engine, tmp_path: Path) -> None:
    ran(engine, tmp_path, [0.5] * 4, precision="float64")
    found = expect(engine, asked(), Work(Operations(), Operations(), STEP))
    assert found["step_seconds"] == pytest.approx(0.5 * nominal(STEP) / nominal(STEP, "float64"))


def test_the_planner_answers_a_card_and_a_run_keeps_its_work(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    engine = store.open_engine(settings.db_url)
    store.beat(engine, "here", "agent", slots=1, free=1, device=CPU)
    plan = Planner(settings, engine).plan(asked())
    told = plan.answer["card"]
    assert told["n_params"] == plan.answer["n_params"]
    assert sum(told["memory"].values()) == plan.answer["memory_bytes"]
    assert told["time"]["step_seconds"] == pytest.approx(nominal(plan.work.step))
    assert sum(told["flops"].values()) == pytest.approx(plan.work.step.total)
    run_id = store.submit(engine, plan.answer["config"], work=plan.work.step)
    with engine.connect() as connection:
        assert connection.execute(sa.text("select work from runs where id = :id"), {"id": run_id}).scalar() == (
            json.dumps([float(x) for x in plan.work.step]).replace(" ", "")
        )


def test_the_command_prints_the_card(tmp_path: Path) -> None:
    config = asked(ansatz="rescnn", sector={"momentum": "Γ"}).model_dump_json()
    command = [sys.executable, "-m", "backend.cli", "card", "-", "--data-dir", str(tmp_path)]
    shown = subprocess.run(command, input=config, capture_output=True, text=True, timeout=300)
    assert shown.returncode == 0, shown.stderr
    assert "receptive field  whole lattice\n" in shown.stdout
    assert "every translation leaves ψ unchanged" in shown.stdout
    assert "8 group elements, 1 forward pass an amplitude" in shown.stdout
    data = subprocess.run([*command, "--json"], input=config, capture_output=True, text=True, timeout=300)
    told = json.loads(data.stdout)
    assert told["fits"]["sampler"]["exact"] == ""
    assert "draws from the network itself" in told["fits"]["sampler"]["autoregressive"]
    bad = asked().model_dump(mode="json") | {"sampler": {"name": "autoregressive", "params": {}}}
    refused = subprocess.run(command, input=json.dumps(bad), capture_output=True, text=True, timeout=300)
    assert refused.returncode == 2
    assert re.fullmatch(
        r"spinscope: sampler 'autoregressive' needs an autoregressive ansatz \(arnn, .*\); 'rbm' is none\n",
        refused.stderr,
    )
