"""The command line as a user meets it: a process, its output and its exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend import store
from backend.cli import main
from tests.backend.feeding import Feeder

ROOT = Path(__file__).resolve().parents[2]
TINY: dict[str, Any] = {
    "name": "tiny",
    "lattice": {"name": "chain", "params": {"length": 4}},
    "hamiltonian": {"name": "tfim", "params": {}},
    "sampler": {"name": "exact", "params": {"n_samples": 64}},
    "n_steps": 3,
    "measure": 64,
}
KEYS = {
    "energy", "energy_error", "energy_per_site", "variance", "v_score", "n_samples_final", "acceptance", "r_hat", "tau",
    "n_steps", "seconds", "config", "reference", "relative_error",
}  # fmt: skip


def command(*args: object, **env: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "backend.cli", *map(str, args)]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **env}, timeout=300)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(TINY))
    return path


def refused(*args: object, capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence of a command that ends with status 2."""
    try:
        status = main([str(arg) for arg in args])
    except SystemExit as end:  # argparse
        status = end.code
    streams = capsys.readouterr()
    assert status == 2
    assert streams.out == ""
    assert "Traceback" not in streams.err
    lines = streams.err.strip().splitlines()
    assert lines[-1].startswith("spinscope")
    return lines[-1]


def test_a_run_from_a_terminal(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    done = command("run", tiny, "--out", out, "--seed", 7)
    assert done.returncode == 0, done.stderr
    assert "relative error" in done.stdout
    result = json.loads(out.read_text())
    assert set(result) >= KEYS
    assert result["config"]["seed"] == 7
    assert result["config"]["optimizer"]["name"] == "minsr"
    assert result["n_steps"] == 3
    assert result["n_samples_final"] >= 64
    assert result["acceptance"] is None
    assert {"energy", "method", "source", "uncertainty"} <= set(result["reference"])
    exact = result["reference"]["energy"]
    assert result["relative_error"] == pytest.approx((result["energy"] - exact) / abs(exact))


def test_the_lowest_energies(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "reference.json"
    done = command("reference", tiny, "--levels", 3, "--out", out)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    # 4 spins on a ring at h = J: -2 Σ over the momenta of the even sector, π/4 and 3π/4 twice each.
    assert found["energies"][0] == pytest.approx(-5.226251859505506, abs=1e-10)
    assert found["energies"] == sorted(found["energies"])
    assert len(found["energies"]) == 3
    assert found["method"]
    assert found["source"]


def test_the_catalog_is_json() -> None:
    catalog = json.loads(command("catalog").stdout)
    assert "length" in catalog["lattice"]["chain"]["schema"]["properties"]


def test_help_needs_no_heavy_import() -> None:
    code = (
        "import sys, backend.cli\ntry: backend.cli.main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'jax', 'numpy', 'fastapi', 'sqlalchemy', 'panel'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert "serve" in shown
    assert shown.strip().endswith("[]")


SYSTEM = [
    ({"lattice": {"name": "chain", "params": {"length": -3}}}, "length"),
    ({"n_steps": "many"}, "n_steps"),
    ({"n_steps": True}, "n_steps"),
    ({"colour": 1}, "colour"),
    ({"hamiltonian": {"name": "tfim", "params": {"zz": 1}}}, "zz"),
    ({"name": "a\0b"}, "control"),
    ({"seed": float("nan")}, "NaN"),
    ({"sector": {"sz": 0.25}}, "sz"),
]
NETWORK = [
    ({"ansatz": {"name": "nope"}}, "nope"),
    ({"lattice": {"name": "chain", "params": {"length": 10**6}}}, "GB"),
    ({"sampler": {"name": "metropolis", "params": {"n_samples": 10**10}}}, "n_samples"),
]


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [("run", *case) for case in SYSTEM + NETWORK] + [("reference", *case) for case in SYSTEM],
)
def test_bad_configurations_end_with_one_sentence(
    name: str, change: dict[str, Any], why: str, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.write_text(json.dumps(TINY | change))
    assert why in refused(name, tiny, capsys=capsys)


def test_bad_files_end_with_one_sentence(tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "No such file" in refused("run", tmp_path / "nope.json", capsys=capsys)
    assert "directory" in refused("run", tmp_path, capsys=capsys)
    assert "cannot read" in refused("run", "a\0b", capsys=capsys)
    for content, why in ((b"{", "not JSON"), (b"\xff", "UTF-8"), (b"[]", "configuration"), (b"[" * 9999, "deep")):
        (tmp_path / "bad.json").write_bytes(content)
        assert why in refused("run", tmp_path / "bad.json", capsys=capsys)
    assert "there is no folder" in refused("run", tiny, "--out", tmp_path / "no" / "r.json", capsys=capsys)
    assert "is a folder" in refused("run", tiny, "--out", tmp_path, capsys=capsys)
    assert "seed" in refused("run", tiny, "--seed", -1, capsys=capsys)
    assert "levels" in refused("reference", tiny, "--levels", 0, capsys=capsys)


@pytest.mark.parametrize(
    "args",
    [[], ["nope"], ["run"], ["serve", "--port", "x"], ["serve", "--port", "70000"], ["export", "x", "--format", "y"]],
)
def test_wrong_usage_ends_with_one_sentence(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    refused(*args, capsys=capsys)


def test_export_by_the_first_characters_of_the_id(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    engine = store.open_engine(f"sqlite:///{tmp_path}/spinscope.db")
    feeder = Feeder(engine)
    feeder.train(2)
    engine.dispose()
    given = ["export", feeder.run[:8], "--data-dir", str(tmp_path), "--format", "csv"]
    assert main(given) == 0
    shown = capsysbinary.readouterr().out
    assert shown.splitlines()[0].startswith(b"step,energy")
    assert main([*given, "--out", str(tmp_path / "out.csv")]) == 0
    assert (tmp_path / "out.csv").read_bytes() == shown


def test_export_says_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there are no runs" in refused("export", "x", "--data-dir", tmp_path, capsys=capsys)
    store.open_engine(f"sqlite:///{tmp_path}/spinscope.db").dispose()
    assert "there is no run" in refused("export", "x", "--data-dir", tmp_path, capsys=capsys)
