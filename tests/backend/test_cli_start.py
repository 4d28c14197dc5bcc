"""`spinscope run` that starts from a checkpoint, or from a run of the dashboard."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend import runner, store
from backend.cli import main
from backend.settings import Settings
from nqs_core import checkpoint, warm_start
from tests.backend.helpers import QUICK
from tests.backend.test_cli import TINY, refused


def written(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(TINY | changes))
    return path


def run(config: Path, *args: object) -> dict[str, Any]:
    """The result of a run in this process."""
    out = config.with_suffix(".out")
    assert main(["run", str(config), "--out", str(out), *map(str, args)]) == 0
    return json.loads(out.read_text())


def test_a_run_starts_from_the_final_state_of_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, kept = written(tmp_path / "first.json", n_steps=40), tmp_path / "first.ckpt"
    long = run(first, "--checkpoint", kept)
    assert long["init_from"] is None
    found = warm_start.read(kept)
    assert (found.step, found.config.n_steps) == (40, 40)
    assert {".key", ".step"} <= set(checkpoint.read(kept)[0])  # the whole state
    capsys.readouterr()
    second = written(tmp_path / "second.json", hamiltonian={"name": "tfim", "params": {"h": 0.9}}, n_steps=1, seed=2)
    warm = run(second, "--init-from", kept, "--checkpoint", tmp_path / "second.ckpt")
    assert f"parameters from {kept}, step 40" in capsys.readouterr().err
    assert warm["init_from"] == {"file": str(kept), "step": 40}
    assert warm["config"]["init_from"] is None
    assert warm["config"]["seed"] == 2
    cold = run(second)
    exact = warm["reference"]["energy"]
    assert warm["energy"] - exact < 0.5 * (cold["energy"] - exact)
    assert run(second, "--init-from", kept)["energy"] == warm["energy"]


def test_a_file_that_does_not_fit_ends_with_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, broken = written(tmp_path / "tiny.json"), tmp_path / "broken.ckpt"
    assert "init_from: no.ckpt cannot be read: No such file" in refused(
        "run", config, "--init-from", tmp_path / "no.ckpt", capsys=capsys
    )
    broken.write_bytes(b"SPINCKP1 and no more")
    why = refused("run", config, "--init-from", broken, capsys=capsys)
    assert "init_from: broken.ckpt cannot be used: the file is damaged" in why
    other = warm_start.Trained({"['params']['pairs']": np.zeros(15)}, warm_start.parse(TINY), 4)
    warm_start.write(broken, other._replace(config=warm_start.parse(TINY | {"ansatz": {"name": "jastrow"}})))
    assert "trained the network 'jastrow', this one has 'rbm'" in refused(
        "run", config, "--init-from", broken, capsys=capsys
    )
    warm_start.write(broken, other)
    assert "hidden/bias is in this network only" in refused("run", config, "--init-from", broken, capsys=capsys)
    missing = refused("run", config, "--checkpoint", tmp_path / "no" / "x.ckpt", capsys=capsys)
    assert "there is no folder" in missing
    assert "is a folder" in refused("run", config, "--checkpoint", tmp_path, capsys=capsys)


def test_a_run_of_the_dashboard_is_named_by_its_first_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(data_dir=tmp_path / "data", checkpoint_seconds=30.0, **{**QUICK, "grace_seconds": 30.0})
    engine = store.open_engine(settings.db_url)
    trained = store.submit(engine, TINY, name="of the dashboard")
    assert runner.run(settings, *(store.claim_next(engine) or ("", 0)), None) == 0
    engine.dispose()
    config = written(tmp_path / "tiny.json", init_from={"run": trained[:8]}, seed=4)
    result = run(config, "--data-dir", settings.data_dir)
    assert "parameters from of the dashboard, step 3" in capsys.readouterr().err
    origin = {"run": trained, "step": 3}
    assert (result["init_from"], result["config"]["init_from"]) == (origin, origin)
    # The record of a run starts the same run.
    config.write_text(json.dumps(result["config"]))
    assert run(config, "--data-dir", settings.data_dir)["energy"] == result["energy"]
    capsys.readouterr()

    def sentence(**origin: Any) -> str:
        return refused("run", written(config, init_from=origin), "--data-dir", settings.data_dir, capsys=capsys)

    assert "no run that begins with 'zzz'" in sentence(run="zzz")
    assert "no run '00000000-0000-0000-0000-000000000000'" in sentence(run="00000000-0000-0000-0000-000000000000")
    assert "has no checkpoint of step 1; on record: 3" in sentence(run=trained[:8], step=1)
    assert "init_from.run: Field required" in sentence()
    nowhere = written(config, init_from={"run": trained[:8]})
    assert "there are no runs in" in refused("run", nowhere, "--data-dir", tmp_path / "empty", capsys=capsys)
