"""The command line as a user meets it: a process, its output and its exit status."""

import json
import os
import signal
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
    "n_steps", "seconds", "compile_seconds", "train_seconds", "measure_seconds", "versions",
    "config", "reference", "relative_error",
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
    assert done.stderr.splitlines()[-4:] == ["compiling", "training", "measuring", "done"]
    result = json.loads(out.read_text())
    assert set(result) >= KEYS
    assert result["config"]["seed"] == 7
    assert result["config"]["optimizer"]["name"] == "minsr"
    assert result["n_steps"] == 3
    assert result["n_samples_final"] >= 64
    assert result["acceptance"] is None
    assert result["health"]["level"] == "doubtful"  # three steps and 64 samples are few
    assert "judgement        doubtful" in done.stdout
    for reason in result["health"]["reasons"]:
        assert reason["text"] in done.stdout
    assert {"energy", "method", "source", "uncertainty"} <= set(result["reference"])
    exact = result["reference"]["energy"]
    assert result["relative_error"] == pytest.approx((result["energy"] - exact) / abs(exact))


def test_every_warning_of_the_card_is_said_by_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A positive network that cannot have the signs, and a rate out of scale, which freezes it."""
    path = tmp_path / "bold.json"
    sgd = {"name": "sgd", "params": {"learning_rate": 10.0, "max_fs_step": 100.0}}
    bold = TINY | {"hamiltonian": {"name": "tfim", "params": {"h": -1.0}}, "optimizer": sgd, "n_steps": 10}
    path.write_text(json.dumps(bold))
    assert main(["card", str(path), "--json"]) == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert len(warnings) == 2
    assert main(["run", str(path)]) == 0
    out, said = capsys.readouterr()
    assert all(f"warning: {words}" in said for words in warnings)
    assert "judgement        doubtful:" in out
    assert "every sample is the same configuration" in out
    assert "above the exact reference" in out


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
    assert found["sentence"].startswith("exact")
    assert found["sentence"] in done.stdout


def system(path: Path, length: int, name: str, *, periodic: bool = False, **params: Any) -> Path:
    lattice = {"name": "chain", "params": {"length": length, "periodic": periodic}}
    path.write_text(json.dumps({"lattice": lattice, "hamiltonian": {"name": name, "params": params}}))
    return path


def lowest(config: Path, out: Path) -> dict[str, Any]:
    assert main(["reference", str(config), "--method", "exact", "--out", str(out)]) == 0
    return json.loads(out.read_text())


def test_dmrg_tells_of_its_sweeps_and_of_what_its_energy_is_worth(tmp_path: Path) -> None:
    config, out = system(tmp_path / "ring.json", 14, "heisenberg", periodic=True), tmp_path / "reference.json"
    done = command("reference", config, "--method", "dmrg", "--chi", "4,8,12,16", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "estimate: chi 4 " in done.stderr
    assert "chi 12  sweep 2  E = " in done.stderr
    assert "chi 16 finished: E = " in done.stderr
    found = json.loads(out.read_text())
    assert [point["chi"] for point in found["series"]] == [4, 8, 12, 16]
    assert all(point["cpu_seconds"] > 0 and point["sweeps"] >= 2 for point in found["series"])
    assert {fit["kind"] for fit in found["fits"]} <= {"power", "variance", "truncation"}
    assert found["sentence"] in done.stdout
    assert "an upper bound" in done.stdout
    exact = lowest(config, out)
    assert exact["sentence"] == "exact to 9e-13 (closed form)"
    assert found["series"][-1]["energy"] > exact["energies"][0]
    extrapolated = found["bound"] == "estimate"
    assert (found["refused"] is None) == extrapolated == ("not a rigorous bound" in found["sentence"])
    assert (found["method"] == "dmrg extrapolated") == extrapolated


def test_auto_goes_to_dmrg_where_a_diagonalisation_is_too_large(tmp_path: Path) -> None:
    config, out = system(tmp_path / "long.json", 42, "tfim", h=3.0, h_z=0.5), tmp_path / "reference.json"
    done = command("reference", config, "--chi", "4", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "42 spins needs about 10^" in done.stderr
    assert "DMRG instead" in done.stderr
    found = json.loads(out.read_text())
    assert (found["method"], found["bound"]) == ("dmrg", "upper")
    assert found["sentence"].startswith("upper bound")
    assert f"E(chi = 4) = {found['energies'][0]:.12g}" in done.stdout
    # Far from its ends a gapped chain grows by the same energy with every site.
    short, longer = (lowest(system(config, n, "tfim", h=3.0, h_z=0.5), out)["energies"][0] for n in (9, 10))
    assert found["energies"][0] == pytest.approx(short + 33 * (longer - short), abs=1e-4)


def test_a_computation_that_no_method_can_do_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = system(tmp_path / "long.json", 42, "tfim", h=3.0, h_z=0.5)
    assert "GB" in refused("reference", long, "--method", "exact", capsys=capsys)
    assert "42 spins" in refused("reference", long, "--levels", 2, capsys=capsys)
    assert "levels = 2" in refused("reference", long, "--levels", 2, "--method", "dmrg", capsys=capsys)
    assert "4 to" in refused("reference", system(long, 3, "tfim"), "--method", "dmrg", capsys=capsys)
    assert "rise" in refused("reference", system(long, 8, "tfim"), "--method", "dmrg", "--chi", "8,4", capsys=capsys)
    assert "--chi" in refused("reference", long, "--method", "exact", "--chi", "8", capsys=capsys)
    for chi in ("", "x", "4,,8", "4.5", "-4", "9999999"):
        assert "bond dimensions" in refused("reference", long, "--method", "dmrg", f"--chi={chi}", capsys=capsys)
    assert "invalid choice" in refused("reference", long, "--method", "magic", capsys=capsys)


@pytest.mark.parametrize("finished", [True, False])
def test_ctrl_c_keeps_the_finished_bond_dimensions(tmp_path: Path, finished: bool) -> None:
    config, out = system(tmp_path / "ring.json", 64, "heisenberg", periodic=True), tmp_path / "reference.json"
    line = [sys.executable, "-m", "backend.cli", "reference", str(config), "--method", "dmrg", "--out", str(out)]
    chi = "4,1000" if finished else "1000"
    # Whoever runs the tests may ignore SIGINT, which a child inherits.
    heed = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.executable, sys.argv[1:])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", heed, *line, "--chi", chi],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            assert process.stderr is not None
            for text in process.stderr:
                if "chi 4 finished" in text or (not finished and "estimate" in text):
                    break
            process.send_signal(signal.SIGINT)
            shown, rest = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert rest.strip().endswith("spinscope: interrupted")
    if not finished:
        assert not out.exists()
        return
    found = json.loads(out.read_text())
    assert [point["chi"] for point in found["series"]] == [4]
    assert found["bound"] == "upper"
    assert "upper bound, distance to the truth unknown" in shown


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
    ({"lattice": {"name": "chain", "params": {"length": 10**6}}}, "1000000 sites"),
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
