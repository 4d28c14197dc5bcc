"""One command, three processes, one port: they come up, come back, and leave nothing behind."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bokeh.util.token import get_token_payload

from backend import store
from backend.settings import Settings
from backend.supervisor import Supervisor
from tests.backend.feeding import Browser

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180.0  # seconds; generous, for a busy machine
RUN: dict[str, Any] = {
    "lattice": {"name": "chain", "params": {"length": 4}},
    "hamiltonian": {"name": "tfim", "params": {}},
    "sampler": {"name": "metropolis", "params": {"n_samples": 64, "n_chains": 16}},
    "n_steps": 1_000_000,
}
SECRET = "SPINSCOPE_UI_SECRET"
MODULES = {"backend.main", "frontend.main", "backend.agent"}


def until(true: Callable[[], Any], what: str) -> Any:
    """Wait for something to become true."""
    deadline = time.monotonic() + PATIENCE
    while not (value := true()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return value


def processes(folder: Path) -> dict[int, str]:
    """Module of each process that works for this data folder."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"SPINSCOPE_DATA={folder}\0".encode() in (entry / "environ").read_bytes():
                words = (entry / "cmdline").read_bytes().decode().split("\0")
                found[int(entry.name)] = next((w for w in words if w.startswith(("backend.", "frontend."))), "")
        except (OSError, UnicodeDecodeError):
            continue
    return {pid: module for pid, module in found.items() if module}


def gone(folder: Path) -> None:
    """Wait until no process works for this data folder."""
    deadline = time.monotonic() + PATIENCE
    while left := processes(folder):
        assert time.monotonic() < deadline, f"processes outlive a supervisor that is killed: {left}"
        time.sleep(0.1)


class Served:
    """`spinscope serve` in a folder of its own."""

    def __init__(self, folder: Path, *args: str) -> None:
        self.folder = folder
        line = [sys.executable, "-m", "backend.cli", "serve", "--port", "0", "--data-dir", str(folder), "--no-browser"]
        self.process = subprocess.Popen(
            [*line, *args], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        found = re.fullmatch(r"Spinscope is at http://([^:/]+):(\d+)/(?:\?token=(\S+))?\n", self.said)
        assert found is not None, self.said + str(self.process.communicate())
        self.host, self.port, self.token = found[1], int(found[2]), found[3]

    def pid(self, module: str) -> int:
        return next((pid for pid, name in processes(self.folder).items() if name == module), 0)

    def variable(self, module: str, name: str) -> str:
        """A variable of one of the processes."""
        words = Path(f"/proc/{self.pid(module)}/environ").read_text().split("\0")
        return next((word.partition("=")[2] for word in words if word.startswith(f"{name}=")), "")

    def get(self, path: str, port: int = 0, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def post(self, path: str, body: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def run(self, run: str) -> dict[str, Any]:
        return json.loads(self.get(f"/api/runs/{run}")[1])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask for the end; the exit status."""
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    folder.chmod(0o755)
    server = Served(folder)
    yield server
    assert server.stop() == 0
    assert processes(server.folder) == {}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (server.folder, *server.folder.rglob("*")))
    engine = store.open_engine(f"sqlite:///{server.folder}/spinscope.db")
    runs, _ = store.list_runs(engine)
    engine.dispose()
    assert [run["state"] for run in runs] == ["queued"]  # to go on at the next start
    assert any((server.folder / "runs" / runs[0]["id"] / "checkpoints").iterdir())


def test_everything_comes_up_and_comes_back(served: Served) -> None:
    assert served.token is None
    assert set(processes(served.folder).values()) >= MODULES
    status, body = served.get("/api/health")
    assert (status, json.loads(body)["agent"]["alive"]) == (200, True)
    assert served.get("/")[0] == 200
    boot = json.loads(body)["boot"]
    run = served.post("/api/runs", RUN)["id"]
    until(lambda: served.run(run)["step"] > 0, "the run did not start")
    for module in MODULES:
        before = served.pid(module)
        os.kill(before, signal.SIGKILL)
        until(lambda m=module, old=before: served.pid(m) not in (0, old), f"{module} did not come back")
    assert json.loads(served.get("/api/health")[1])["boot"] != boot
    assert served.get("/")[0] == 200
    step = served.run(run)["step"]
    until(lambda: served.run(run)["step"] > step, "the run does not go on")
    assert served.run(run)["attempt"] == 1  # its process has not noticed anything
    events = json.loads(served.get(f"/api/runs/{run}/events?limit=5000")[1])["events"]
    steps = [e["step"] for e in events if e["kind"] == "metrics"]
    assert steps == list(range(1, len(steps) + 1))
    browser = Browser(f"127.0.0.1:{served.port}")
    browser.want(run)
    while browser.seen.get(run, 0) < events[-1]["seq"]:
        browser.receive()
    assert [row["step"] for row in browser.rows[run]][: len(steps)] == steps
    browser.socket.close()


def test_a_second_server_on_the_same_folder_or_port_says_so(served: Served, tmp_path: Path) -> None:
    port = str(served.port)
    for args, why in (
        (["--data-dir", str(served.folder)], f"is served already by process {served.process.pid}"),
        (["--data-dir", str(tmp_path), "--port", port], f"port {port} of 127.0.0.1 is in use"),
    ):
        line = [sys.executable, "-m", "backend.cli", "serve", "--no-browser", *args]
        second = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
        assert second.returncode == 2
        assert why in second.stderr
        assert second.stdout == ""
        assert len(second.stderr.splitlines()) == 1


def test_the_uis_own_port_lets_in_the_api_alone(served: Served) -> None:
    port, secret = (
        int(served.variable("frontend.main", "SPINSCOPE_UI_PORT")),
        served.variable("frontend.main", SECRET),
    )
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x" * 22 + "==",
               "Sec-WebSocket-Version": "13"}  # fmt: skip
    paths = ("/", "/references", "/static/js/bokeh.min.js", "/autoload.js?bokeh-autoload-element=1", "/favicon.ico")
    for path in (*paths, "/nothing?token=x"):
        assert served.get(path, port)[0] == 403
    for path, headers in (("/ws", upgrade), ("/", {"X-Spinscope-Secret": "guess"}), ("/", {"X-Spinscope-Secret": ""})):
        assert served.get(path, port, **headers)[0] == 403
    known = {"X-Spinscope-Secret": secret}
    assert len(secret) > 20
    assert served.get("/", port, **known)[0] == 200
    for foreign in ({"Origin": f"http://127.0.0.1:{port}"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://evil"}):
        assert served.get("/", port, **known, **foreign)[0] == 403
    assert served.variable("backend.agent", SECRET) == ""
    assert (served.folder / "logs" / "ui.log").read_text() == ""


def test_a_server_for_others_needs_its_token_and_tells_it_nobody(tmp_path: Path) -> None:
    server = Served(tmp_path, "--host", "0.0.0.0")
    token = server.token
    assert len(token) > 20
    assert server.get("/api/health")[0] == 401
    assert server.get("/")[0] == 401
    assert server.get("/api/health", Authorization=f"Bearer {token}")[0] == 200
    cookie = f"spinscope_token_{server.port}={token}"
    assert server.get(f"/?token={token}")[0] == 303
    assert server.get(f"/?token={token}", Cookie=cookie)[0] == 303  # opened once more
    for path in (f"/nothing?token={token}", f"/api/nothing?token={token}"):
        assert server.get(path, Cookie=cookie)[0] in (303, 404)
    status, page = server.get("/", Cookie=cookie, Referer=f"http://127.0.0.1/?token={token}")
    assert status == 200
    (session,) = re.findall(rb'"token":"([^"]+)"', page)  # what Bokeh gives back to the browser
    told = get_token_payload(session.decode())
    assert (told["headers"], told["cookies"]) == ({}, {})
    for pid in [*processes(tmp_path), server.process.pid]:
        assert token.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    server.stop(signal.SIGKILL)
    gone(tmp_path)
    logs = [path.read_text() for path in (tmp_path / "logs").iterdir()]
    assert not any(token in log or "token=" in log for log in logs)


def test_the_printed_address_quotes_the_token(tmp_path: Path) -> None:
    for host, shown in (("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")):
        settings = Settings(data_dir=tmp_path, host=host, port=8000, token="a+b/c=d%e&f#g")
        with socket.socket() as listener:
            address = Supervisor(settings, listener, browser=False).address()
        assert address == f"http://{shown}:8000/?token=a%2Bb%2Fc%3Dd%25e%26f%23g"


def test_a_broken_database_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "spinscope.db").write_bytes(b"this is no database" * 100)
    line = [sys.executable, "-m", "backend.cli", "serve", "--no-browser", "--port", "0", "--data-dir", str(tmp_path)]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"spinscope: the database {tmp_path}/spinscope.db is damaged (file is not a database)" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_process_that_does_not_start_ends_the_server_with_its_last_words(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "backend.cli", "serve", "--no-browser", "--port", "0", "--data-dir", str(tmp_path)]
    broken = os.environ | {"JAX_ENABLE_X64": "perhaps"}  # the API imports JAX, which refuses this
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, env=broken)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "does not start" in ended.stderr.splitlines()[-1]
    assert "perhaps" in ended.stderr.splitlines()[-1]
    assert processes(tmp_path) == {}


def test_the_api_alone_is_not_opened_to_others_without_a_token(tmp_path: Path) -> None:
    env = os.environ | {"SPINSCOPE_DATA": str(tmp_path), "SPINSCOPE_HOST": "0.0.0.0", "SPINSCOPE_PORT": "0"}
    env.pop("SPINSCOPE_TOKEN", None)
    line = [sys.executable, "-m", "backend.main"]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, env=env)
    assert ended.returncode != 0
    assert "SPINSCOPE_TOKEN" in ended.stderr.splitlines()[-1]
