"""The components' JavaScript: its own tests under node, and how it is joined for the browser."""

import pathlib
import re
import shutil
import subprocess

import pytest

from frontend import components
from frontend.components import bundle as bundling
from frontend.theme import CURVES

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "tests" / "frontend" / "js").glob("*.test.mjs"))
ENTRIES = {
    "DataTable": "data_table.js",
    "FigureChart": "figure_chart.js",
    "IsingLab": "ising_lab.js",
    "LatticeView": "lattice_view.js",
    "LiveChart": "live_chart.js",
    "SpinView": "spin_view.js",
}
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")


def node(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    assert NODE is not None
    return subprocess.run([NODE, *arguments], input=text, capture_output=True, text=True, timeout=300, check=False)


@needs_node
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name.removesuffix(".test.mjs"))
def test_javascript(script: pathlib.Path) -> None:
    done = node("--test", str(script))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.search(r"^[#ℹ] pass (\d+)", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) > 0


@needs_node
@pytest.mark.parametrize("name", ENTRIES)
def test_bundle_is_one_valid_module(name: str) -> None:
    text = bundling.bundle(ENTRIES[name])
    assert not re.search(r"^import ", text, re.MULTILINE)
    assert re.findall(r"^export (\w+ \w+)", text, re.MULTILINE) == ["function render"]
    assert getattr(components, name)._esm == text
    checked = node("--input-type=module", "--check", text=text)
    assert checked.returncode == 0, checked.stderr


def test_bundle_holds_each_module_once_after_what_it_needs() -> None:
    text = bundling.bundle("live_chart.js")
    assert text.count("class RunTable") == text.count("class Feed ") == 1
    assert text.index("class RunTable") < text.index("class Feed ") < text.index("class LiveChart")


def test_bundle_refuses_a_name_that_two_modules_declare(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.js").write_text("const SIZE = 1;\n")
    (tmp_path / "two.js").write_text('import { x } from "./one.js";\nexport const SIZE = 2;\n')
    monkeypatch.setattr(bundling, "ASSETS", tmp_path)
    with pytest.raises(bundling.BundleError, match=r"'SIZE' is declared in one\.js and in two\.js"):
        bundling.bundle("two.js")


def test_every_option_of_the_chart_is_a_parameter() -> None:
    script = (bundling.ASSETS / "live_chart.js").read_text()
    listed = re.search(r"const OPTIONS = \[(.*?)\]", script, re.DOTALL)
    assert listed is not None
    assert set(re.findall(r'"(\w+)"', listed[1])) <= set(components.LiveChart.param)


def test_the_chart_takes_the_palette_of_the_page() -> None:
    assert components.LiveChart().palette == list(CURVES)


def test_no_file_is_longer_than_the_house_allows() -> None:
    assert {p.name for p in bundling.ASSETS.glob("*.js") if len(p.read_text().splitlines()) > 300} == set()


def test_assets_name_no_other_host() -> None:
    for path in bundling.ASSETS.glob("*.js"):
        assert not re.search(r"https?://", path.read_text()), path.name
