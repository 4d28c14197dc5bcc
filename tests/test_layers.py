"""Rules of the layering that import-linter cannot see; each runs in an interpreter of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("nqs_core", "backend", "frontend")
MAX_LINES = 300

IMPORT_ALL = """
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
"""
LOADS_JAX = """
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
    if "jax" in sys.modules:
        sys.exit(print(module))
"""
BACKENDS = IMPORT_ALL + "from jax._src import xla_bridge; print(xla_bridge.backends_are_initialized())"


def modules(package: str) -> list[str]:
    """Dotted names of every module of a package, migrations (scripts of alembic, not modules) excepted."""
    names = []
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if "migrations" not in parts and parts[-1] != "__main__":
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def run(code: str, *names: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *names], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_shown_side_never_loads_jax() -> None:
    assert run(LOADS_JAX, "nqs_core.config", "nqs_core.events", *modules("frontend")) == ""


def test_the_rule_against_jax_has_power() -> None:
    assert run(LOADS_JAX, "nqs_core.config", "nqs_core.types") == "nqs_core.types"


@pytest.mark.parametrize("package", ["nqs_core", "backend"])
def test_importing_takes_no_device(package: str) -> None:
    assert run(BACKENDS, *modules(package)) == "False"


def test_the_rule_against_devices_has_power() -> None:
    assert run("import jax.numpy as jnp; jnp.zeros(1)" + BACKENDS, "nqs_core.types") == "True"


def test_statistics_alone_computes_in_float64() -> None:
    code = "from nqs_core import statistics; print(statistics.v_score(1, 1.0, 1.0 + 2.0**-40) > 1)"
    assert run(code) == "True"


def test_no_file_holds_two_ideas() -> None:
    sizes = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".js", ".css"} and "migrations" not in path.parts
    }
    assert sizes
    assert {str(path): n for path, n in sizes.items() if n > MAX_LINES} == {}
