"""What is shipped: the wheel holds everything, the containers run what is tested, the README tells the truth."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.supervisor import MODULES
from nqs_core.catalog import REGISTRIES

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "a-token-for-the-test"
README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    packages = ("nqs_core", "backend", "frontend")
    listed = subprocess.run(["git", "ls-files", *packages], cwd=ROOT, check=True, capture_output=True, text=True)
    assert {line for line in listed.stdout.splitlines() if (ROOT / line).exists()} <= inside


def test_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = "import nqs_core, backend.cli; print(nqs_core.__file__); backend.cli.main(['catalog'])"
    env = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    where, _, catalog = done.stdout.partition("\n")
    assert Path(where).is_relative_to(tmp_path)
    assert json.loads(catalog)["presets"]


def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]


def test_containers_run_the_processes_of_the_supervisor() -> None:
    services = compose()
    assert {name: service["command"] for name, service in services.items()} == {
        name: ["python", "-m", module] for name, module in MODULES.items()
    }
    assert [name for name, service in services.items() if "ports" in service] == ["api"]
    assert len({str(service["volumes"]) for service in services.values()}) == 1
    assert len({service["image"] for service in services.values()}) == 1


def test_image_has_no_root() -> None:
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    users = [number for number, line in enumerate(lines) if line.startswith("USER ")]
    commands = [number for number, line in enumerate(lines) if line.startswith("CMD ")]
    assert users
    assert lines[users[-1]] != "USER root"
    assert users[-1] < commands[-1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[int]:
    """The three commands of docker-compose.yml with its environment, on free ports; yields the published one."""
    port, ui_port = str(free_port()), str(free_port())
    places = {
        "/data": str(tmp_path),
        "8000": port,
        "8001": ui_port,
        "http://127.0.0.1:8000": f"http://127.0.0.1:{port}",
    }
    processes = []
    for name, service in compose().items():
        given: dict[str, str] = {key: places.get(value) or value for key, value in service["environment"].items()}
        given |= {"SPINSCOPE_TOKEN": TOKEN, "SPINSCOPE_ALLOWED_HOSTS": ""}
        command = [sys.executable, *service["command"][1:]]
        with (tmp_path / f"{name}.log").open("wb") as log:
            processes.append(subprocess.Popen(command, cwd=ROOT, env=os.environ | given, stdout=log, stderr=log))
    yield int(port)
    for process in reversed(processes):
        process.terminate()
    ends = [process.wait(30) for process in processes]
    assert set(ends) <= {0, -signal.SIGTERM}, [path.read_text("utf-8") for path in tmp_path.glob("*.log")]


def get(port: int, path: str, token: str | None = TOKEN) -> bytes:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


def test_commands_of_the_containers_work_together(containers: int) -> None:
    deadline = time.monotonic() + 120
    page, health = b"", {"agent": {"alive": False}}
    while not (b"<html" in page and health["agent"]["alive"]):
        assert time.monotonic() < deadline, "the three processes did not find each other"
        time.sleep(0.3)
        try:
            health = json.loads(get(containers, "/api/health"))
            page = get(containers, "/")
        except (urllib.error.URLError, OSError):
            continue
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(containers, "/api/health", token=None)
    assert refused.value.code in (401, 403)
    refused.value.close()


def test_example_of_the_readme_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(example.strip().splitlines()) <= 5
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"-\d+\.\d+", done.stdout)


def test_files_that_the_readme_names_exist() -> None:
    named = set(re.findall(r"`((?:nqs_core|backend|frontend|data|tests|benchmarks|docs)/[\w./-]*)`", README))
    linked = {link for link in re.findall(r"\]\(([\w./-]+)\)", README) if "://" not in link}
    shown = set(re.findall(r'(?:src|srcset)="([^"]+)"', README))
    assert named | linked | shown
    assert [path for path in sorted(named | linked | shown) if not (ROOT / path).exists()] == []


def test_commands_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"make ([a-z]+)", "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))))
    assert targets
    assert targets <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    known = subprocess.run([sys.executable, "-m", "backend.cli", "--help"], cwd=ROOT, capture_output=True, text=True)
    commands = set(re.findall(r"^spinscope ([a-z]+)", README, re.MULTILINE))
    assert commands
    assert all(re.search(rf"^\s+{command}\s", known.stdout, re.MULTILINE) for command in commands)


def test_readme_names_every_component() -> None:
    names = [name for registry in REGISTRIES.values() for name in registry]
    assert [name for name in names if f"`{name}`" not in README] == []
