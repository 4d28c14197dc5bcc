"""Sector and observables in the form: what a lattice offers, what a configuration carries, where refusals stand."""

from typing import Any

import pytest

from frontend.figures import text
from frontend.forms import RunForm
from frontend.forms.observing import ObservablesForm
from frontend.forms.sector import SectorForm
from frontend.views.launch import warning
from nqs_core.catalog import catalog
from nqs_core.config import parse as parse_config

DRAWING = {
    "momenta": [
        {"label": "Γ", "m": [0, 0]}, {"label": "M", "m": [2, 2]}, {"label": "(1, 0)", "m": [1, 0]},
    ],
    "point_group": {"name": "C4v", "irreps": ["A1", "E"]},
}  # fmt: skip
BOOK = catalog()


@pytest.fixture
def form() -> RunForm:
    return RunForm(BOOK, lambda: None)


def test_sz_is_offered_only_where_it_is_conserved(form: RunForm) -> None:
    form.sections["hamiltonian"].select.value = "heisenberg"
    form.sector.fill({"sz": 1.0})
    assert form.read()[0]["sector"] == {"sz": 1.0}
    form.sections["hamiltonian"].select.value = "tfim"
    assert "sector" not in form.read()[0]
    assert not form.sector.sz.widget.visible


@pytest.mark.parametrize(
    "sector",
    [{"momentum": "M"}, {"momentum": [1, 0]}, {"momentum": [7, 7]}, {"momentum": "Nowhere"}, {"point_group": "E"},
     {"point_group": "B9"}, {"spin_flip": -1}, {"momentum": "Γ", "point_group": "A1", "spin_flip": 1}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("early", [True, False], ids=["before the drawing", "after the drawing"])
def test_a_sector_passes_through_the_form(form: RunForm, sector: dict[str, Any], early: bool) -> None:
    if not early:
        form.sector.offer(DRAWING)
    form.fill({**BOOK["presets"][0]["config"], "sector": sector})
    if early:
        form.sector.offer(DRAWING)
    config, errors = form.read()
    assert not errors
    assert config["sector"] == sector
    parse_config(config)


def test_integers_of_a_named_momentum_get_its_name(form: RunForm) -> None:
    form.sector.offer(DRAWING)
    form.sector.fill({"momentum": [2, 2]})
    assert form.sector.read({}) == {"momentum": "M"}


def test_the_lattice_says_which_momenta_and_irreps_there_are() -> None:
    sector = SectorForm(lambda: None)
    sector.offer(DRAWING)
    assert list(sector.momentum.widget.options) == ["any", "Γ", "M", "(1, 0)"]
    assert list(sector.irrep.widget.options) == ["any", "A1", "E"]
    sector.momentum.widget.value = [1, 0]
    sector.offer({**DRAWING, "little": {"name": "Cs", "irreps": ["A'"]}})  # the little group of that momentum
    assert list(sector.irrep.widget.options) == ["any", "A'"]
    sector.offer({"momenta": [], "point_group": None})
    assert sector.read({}) == {"momentum": [1, 0]}  # what was chosen stays, for the server to refuse


def test_a_sector_that_a_run_cannot_keep_leads_to_the_references() -> None:
    sector = SectorForm(lambda: None)
    sector.link("/references?system=x")
    sector.fill({"sz": 0.5, "momentum": "Γ"})
    sector.mark("sz", "half a spin")
    assert not sector.note.visible
    sector.mark("momentum", "not for this network")
    assert sector.note.visible
    assert "href='/references?system=x'" in str(sector.note.object)
    assert "k = Γ" in sector.fold.head.label
    sector.read({})
    assert not sector.note.visible


@pytest.mark.parametrize("key", ["momentum", "point_group", "spin_flip"])
def test_a_refused_sector_is_marked_and_shown(form: RunForm, key: str) -> None:
    form.sector.fill({key: {"momentum": "M", "point_group": "A1", "spin_flip": 1}[key]})
    assert form.mark({f"sector.{key}": "not for runs"}) == {}
    widget = form.sector.controls[key].widget
    assert (widget.helper_text, widget.error_state) == ("not for runs", True)
    assert form.sector.fold.body.visible
    form.read()
    assert not widget.error_state


def test_observables_are_chosen_or_left_to_the_server(form: RunForm) -> None:
    config, _ = form.read()
    assert "observables" not in config
    assert "observe_every" not in config
    names = list(BOOK["observable"])
    form.fill({**BOOK["presets"][0]["config"], "observables": names[:1], "observe_every": 7})
    config, errors = form.read()
    assert not errors
    assert (config["observables"], config["observe_every"]) == (names[:1], 7)
    form.fill({**BOOK["presets"][0]["config"], "observables": names})
    assert "observables" not in form.read()[0]  # all of them is no choice


def test_a_bad_interval_is_marked() -> None:
    observing = ObservablesForm({}, BOOK["run"]["properties"], lambda: None)
    observing.every.widget.value_input = "0"
    errors: dict[str, str] = {}
    observing.read(errors)
    assert list(errors) == ["observe_every"]
    assert observing.fold.body.visible


def test_a_run_without_a_name_gets_one() -> None:
    config = {
        "hamiltonian": {"name": "tfim"}, "lattice": {"name": "chain", "params": {"length": 16}},
        "ansatz": {"name": "rbm"},
    }  # fmt: skip
    taken: set[str] = set()
    for expected in ("tfim chain 16 · rbm", "tfim chain 16 · rbm · 2", "tfim chain 16 · rbm · 3"):
        found = text.default_name(config, taken)
        assert found == expected
        taken.add(found)


def test_a_long_warning_is_short_at_first() -> None:
    words = warning("the ansatz is positive, but H is <not>: the ground state may change sign. Use another")
    assert "<summary>The ansatz is positive, but H is &lt;not&gt;.</summary>The ground state" in words
    assert warning("few samples") == "<div class='note'>Few samples.</div>"
