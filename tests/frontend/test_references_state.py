"""The choices on the page of the references and their link; the fields of the form; the shared list of jobs."""

from typing import Any

import httpx
import pytest

from frontend.client import Client
from frontend.views.reference_own import ComputeFields, OwnFields
from frontend.views.reference_state import Jobs, ReferencesView
from tests.asynchronous import finish
from tests.frontend.test_address import Location


def test_a_link_restores_every_choice() -> None:
    location, view = Location(), ReferencesView()
    view.follow(location)
    chosen: dict[str, Any] = {
        "tab": "jobs", "search": "16", "hamiltonian": "j1j2", "method": "dmrg extrapolated", "sort": "-energy",
        "page": 3, "row": "0017", "key": "j1j2|square|4x4|PP|J1=1,J2=0.5", "scale": "total", "units": "pauli",
        "x": "variance", "log": True, "near": True,
    }  # fmt: skip
    view.param.update(**chosen)
    other = ReferencesView()
    other.read(location.search)
    assert {name: getattr(other, name) for name in ReferencesView.URL} == {
        name: getattr(view, name) for name in ReferencesView.URL
    }
    assert {name: getattr(other, name) for name in chosen} == chosen


def test_defaults_leave_the_address_clean() -> None:
    location, view = Location(), ReferencesView()
    view.follow(location)
    view.search = "heisenberg"
    assert location.search == "?q=heisenberg"
    view.search = ""
    assert location.search == ""


@pytest.mark.parametrize(
    "search", ["?page=0", "?page=-3", "?page=x", "?page=" + "9" * 40, "?tab=nope&units=x&log=2", "?q"]
)
def test_a_broken_link_is_ignored(search: str) -> None:
    view = ReferencesView()
    view.read(search)
    assert (view.tab, view.units, view.log, view.search) == ("table", "spin", False, "")
    assert view.page == 1


def test_going_back_in_the_browser_restores_the_view() -> None:
    location, view = Location(), ReferencesView()
    view.follow(location)
    view.param.update(page=4, bound="upper")
    location.search = "?page=2"
    assert (view.page, view.bound) == (2, "")
    assert view.query()["offset"] == 12


def test_a_source_is_needed_and_energies_per_site_become_totals() -> None:
    own = OwnFields(lambda: None)
    own.size(16)
    own.per_site.value = True
    for name, value in (("energy", "-0.5"), ("uncertainty", "0.01"), ("method", "QMC")):
        own.controls[name].widget.value_input = value
    errors: dict[str, str] = {}
    found = own.read(errors)
    assert errors == {}
    assert (found["energy"], found["uncertainty"], found["bound"]) == (-8.0, pytest.approx(0.16), "estimate")
    own.read(errors, final=True)
    assert errors == {"source": "Source is needed"}
    assert own.controls["source"].widget.error_state
    own.read({})  # the check after each keystroke keeps the mark
    assert own.controls["source"].widget.error_state
    own.controls["source"].widget.value_input = "A. Author, J. Phys. 1, 2 (2024)"
    errors = {}
    assert own.read(errors, final=True)["source"].startswith("A. Author")
    assert errors == {}


def test_bond_dimensions_are_typed_as_a_list_and_hidden_where_exact() -> None:
    fields = ComputeFields(lambda: None)
    assert fields.read({}) == {"method": "auto", "levels": 1}
    fields.controls["chi"].widget.value_input = "25, 50 100"
    assert fields.read({})["chi"] == [25, 50, 100]
    fields.controls["method"].widget.value = "exact"
    assert fields.read({}) == {"method": "exact", "levels": 1}
    errors: dict[str, str] = {}
    fields.controls["levels"].widget.value_input = "99"
    fields.read(errors)
    assert "levels" in errors


def test_all_pages_share_one_question_per_second() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"runs": [{"id": "b" * 36, "state": "running"}], "total": 1})

    async def look() -> Jobs:
        jobs = Jobs(Client("http://api", transport=httpx.MockTransport(answer)))
        for _ in range(5):
            await jobs.refresh()
        return jobs

    jobs = finish(look())
    assert len(asked) == 1
    assert "kind=dmrg%2Cexact" in asked[0]
    assert jobs.version == 1
    assert jobs.find("bbbbbbbb") is not None
    jobs.drop("b" * 36)
    assert jobs.find("bbbbbbbb") is None
