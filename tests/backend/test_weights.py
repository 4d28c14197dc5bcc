"""A run starts from published weights in the data folder; what does not fit is refused before it is queued."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from backend import cli, console, starts, store
from backend.jobs.vmc import Core
from backend.service import Service
from backend.settings import Settings
from backend.strict import Invalid
from nqs_core import checkpoint, warm_start
from nqs_core.config import parse
from nqs_core.errors import ConfigError
from tests.backend.helpers import QUICK, row
from tests.backend.test_runner import TFIM
from tests.backend.test_starts import Place
from tests.nqs_core.test_weight_files import DATA, TINY

SIZES = {"width": 64, "depth": 2, "head_size": 64, "ranks": [32, 32, 32, 32]}
RUN = {
    **TFIM,
    "name": "tuned",
    "ansatz": {"name": "rwkv7", "params": SIZES},
    "lattice": {"name": "chain", "params": {"length": 4}},
    "sampler": {"name": "autoregressive", "params": {"n_samples": 16}},
    "optimizer": {"name": "adam"},
    "n_steps": 1,
    "measure": 16,
    "observables": [],
    "init_from": {"file": f"tiny/{TINY}.safetensors"},
}
SHA256 = hashlib.sha256((DATA / f"{TINY}.safetensors").read_bytes()).hexdigest()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    settings = Settings(data_dir=tmp_path / "data", checkpoint_seconds=0.0, **{**QUICK, "grace_seconds": 30.0})
    (settings.weights_folder / "tiny").mkdir(parents=True)
    shutil.copy(DATA / f"{TINY}.safetensors", settings.weights_folder / "tiny")
    shutil.copy(DATA / f"{TINY}.pth", settings.weights_folder)
    engine = store.open_engine(settings.db_url)
    yield Place(settings, engine, Service(settings, engine, "boot"), "")
    engine.dispose()


def test_the_files_are_listed(place: Place) -> None:
    (place.settings.weights_folder / "notes.txt").write_text("")
    assert place.service.weights() == {
        "folder": "weights",
        "files": [
            {"file": f"{TINY}.pth", "bytes": (DATA / f"{TINY}.pth").stat().st_size},
            {"file": f"tiny/{TINY}.safetensors", "bytes": (DATA / f"{TINY}.safetensors").stat().st_size},
        ],
    }


def test_a_run_is_tuned_from_a_file_that_may_go(place: Place) -> None:
    answer = place.service.validate(RUN)
    file = RUN["init_from"]["file"]
    # Of the 72 tensors, three are gates of the first layer that do nothing.
    assert answer["init_from"] == {"file": file, "sha256": SHA256, "tensors": 69}
    assert answer["config"]["init_from"] == {"file": file, "sha256": SHA256}
    run_id = place.submit(RUN)["id"]
    assert row(place.engine, run_id)["config"]["init_from"] == {"file": file, "sha256": SHA256}
    (place.settings.weights_folder / file).unlink()
    start = Core(place.settings.start_file(run_id))
    begun = start.init(start.build(row(place.engine, run_id)["config"], None), RUN.get("seed", 0)).params["params"]
    weights = np.load(DATA / f"{TINY}.npz")
    np.testing.assert_array_equal(begun["emb"]["weight"], weights["w:emb.weight"].astype(np.float32))
    np.testing.assert_array_equal(begun["heads"]["amplitude"]["kernel"], weights["w:head.weight"].T.astype(np.float32))
    run = place.work(run_id)
    assert (run["state"], run["error"]) == ("done", None)
    arrays, header = checkpoint.read(place.checkpoints(run_id)[0])
    assert header["meta"]["config"]["init_from"]["sha256"] == SHA256
    tuned = arrays[".params['params']['blocks']['att']['key']['weight']"][1]
    moved = np.abs(tuned - weights["w:blocks.1.att.key.weight"].astype(np.float32))
    assert 0 < moved.max() < 0.01  # a step of Adam
    with pytest.raises(ConfigError, match="there is no 'tiny/"):
        place.clone(run_id, {})


def test_a_new_alphabet_brings_new_heads(place: Place) -> None:
    """Patches of two spins have four letters, the file has two: embedding and head are those of a fresh run."""
    body = {**RUN, "ansatz": {"name": "rwkv7", "params": {**SIZES, "patch": 2, "phase": True}}}
    assert place.service.validate(body)["init_from"]["tensors"] == 67
    core = Core()
    built = core.build({**body, "init_from": None}, None)
    fresh = core.init(built, 3).params["params"]
    source = warm_start.Weights(DATA / f"{TINY}.pth")
    filled = warm_start.parameters(core.build(body, None), source, 3)["params"]
    assert jax.tree.map(np.shape, filled) == jax.tree.map(np.shape, fresh)
    for name in ("emb", "heads", "start"):
        jax.tree.map(np.testing.assert_array_equal, filled[name], fresh[name])
    assert not np.array_equal(filled["ln0"]["weight"], fresh["ln0"]["weight"])


REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "nothing there": (
        {"init_from": {"file": "a.pth"}},
        "init_from.file",
        "there is no 'a.pth' in the folder 'weights'",
    ),
    "outside": ({"init_from": {"file": "../secret.pth"}}, "init_from.file", "is not below the folder 'weights'"),
    "absolute": ({"init_from": {"file": "/etc/secret.pth"}}, "init_from.file", "is not below the folder 'weights'"),
    "another file": (
        {"init_from": {**RUN["init_from"], "sha256": 64 * "0"}},
        "init_from.sha256",
        f"has the sha256 {SHA256}, not the one given",
    ),
    "pickle": ({"init_from": {"file": "evil.pth"}}, "init_from.file", "its pickle holds more than tensors"),
    "another network": (
        {"ansatz": {"name": "rbm"}, "sampler": {"name": "exact"}},
        "init_from.file",
        "there are no published weights of the network 'rbm'; networks with some: rwkv7",
    ),
    "another depth": (
        {"ansatz": {"name": "rwkv7", "params": {**SIZES, "depth": 1}}},
        "init_from.file",
        "blocks.1.att.a0 1 × 1 × 64 is in the file only",
    ),
    "another rank": (
        {"ansatz": {"name": "rwkv7", "params": {**SIZES, "ranks": [32, 16, 32, 32]}}},
        "init_from.file",
        "blocks.0.att.a1 is 64 × 32 in the file and 64 × 16 here; ",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_does_not_fit_is_refused_with_names_and_shapes(place: Place, case: str) -> None:
    change, where, why = REFUSALS[case]
    (place.settings.data_dir / "secret.pth").write_bytes((DATA / f"{TINY}.pth").read_bytes())
    path = place.settings.weights_folder / "evil.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps(print))
    body = {**RUN, **change}
    with pytest.raises((ConfigError, Invalid)) as caught:
        place.submit(body)
    assert str(caught.value).startswith(f"{where}: ")
    assert why in str(caught.value)
    assert not (place.settings.data_dir / "runs").exists()


def test_a_kept_file_that_was_changed_is_refused(place: Place) -> None:
    run_id = place.submit(RUN)["id"]
    kept = place.settings.start_weights(run_id, RUN["init_from"]["file"])
    raw = bytearray(kept.read_bytes())
    raw[-1] ^= 1
    kept.unlink()
    kept.write_bytes(raw)
    run = place.work(run_id)
    assert (run["state"], run["error"]) == (
        "failed",
        f"init_from.file: start.safetensors is not the file with the sha256 {SHA256}",
    )


def test_the_command_line_starts_from_a_file_of_the_data_folder(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    start = starts.find_start(parse(RUN), None, lambda: place.settings)
    assert start is not None
    assert start.words == f"{TINY}.safetensors, 69 tensors"
    origin = {"file": RUN["init_from"]["file"], "sha256": SHA256}
    assert console._origin(start) == origin
    assert start.origin is not None
    assert start.origin.model_dump() == origin
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**RUN, "init_from": {"file": "../x.pth"}}))
    assert cli.main(["run", str(config), "--data-dir", str(place.settings.data_dir)]) == 2
    assert "is not below the folder 'weights'" in capfd.readouterr().err


def test_a_file_can_be_named_on_the_command_line(place: Place) -> None:
    """Instead of what the configuration names; with the numbers of the other format."""
    pth, config = DATA / f"{TINY}.pth", parse({**RUN, "init_from": None})
    start = starts.find_start(config, pth, lambda: place.settings)
    assert start is not None
    assert (start.file, start.origin) == (pth, None)
    assert console._origin(start) == {"file": str(pth), "sha256": hashlib.sha256(pth.read_bytes()).hexdigest()}
    other = warm_start.Weights(place.settings.weights_folder / RUN["init_from"]["file"], SHA256)
    both = [
        warm_start.parameters(Core().build(config.model_dump(), None), source, 0) for source in (start.source, other)
    ]
    jax.tree.map(np.testing.assert_array_equal, *both)
