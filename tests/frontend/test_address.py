"""A visitor's choices in the address of the page."""

from typing import Any

import param
import pytest

from frontend.state import View


class Location(param.Parameterized):
    """What Panel knows of the address."""

    search = param.String(default="")


CHOSEN: list[dict[str, Any]] = [
    {"runs": "383e4481.0,12345678.1", "focus": "383e4481"},  # a number beyond all bounds
    {"runs": "00345678.0", "focus": "00345678"},
    {"runs": "1234e567.2", "focus": "true"},
    {"x": "samples", "smooth": 0.35, "scale": "total", "tab": "observables", "metric": "m_s²", "yscale": "log"},
]


@pytest.mark.parametrize("chosen", CHOSEN)
def test_a_link_restores_the_choices(chosen: dict[str, Any]) -> None:
    location, view = Location(), View()
    view.follow(location)
    view.param.update(**chosen)
    other = View()
    other.follow(Location(search=location.search))
    assert {name: getattr(other, name) for name in View.URL} == {name: getattr(view, name) for name in View.URL}
    assert {name: getattr(other, name) for name in chosen} == chosen


@pytest.mark.parametrize("run", ["383e4481", "00345678", "12345678", "1e234567"])
def test_a_run_whose_id_looks_like_a_number_is_focused(run: str) -> None:
    ids = ["aaaaaaaa-0000-4000-8000-000000000000", f"{run}-0000-4000-8000-000000000000"]
    known: Any = {each: {} for each in ids}
    location, view = Location(), View()
    view.follow(location)
    view.restore(known)
    view.show(ids[1], ids)
    assert f"run={run}" in location.search.split("?")[1].split("&")
    other = View()
    other.follow(Location(search=location.search))
    other.restore(known)
    assert other.focused == ids[1]
    assert other.selected == view.selected


def test_nothing_chosen_leaves_the_address_clean() -> None:
    location, view = Location(), View()
    view.follow(location)
    view.smooth = 0.5
    assert location.search == "?smooth=0.5"
    view.smooth = 0.0
    assert location.search == ""


@pytest.mark.parametrize(
    "search", ["?smooth=2", "?smooth=nan", "?smooth=1e-1", "?smooth=-0.1", "?x=nope&tab=&scale=1", "?"]
)
def test_what_is_broken_is_ignored(search: str) -> None:
    view = View()
    view.follow(Location(search=search))
    assert {name: getattr(view, name) for name in View.URL} == {name: View.param[name].default for name in View.URL}


def test_an_address_that_changes_is_followed() -> None:
    location, view = Location(search="?tab=variance"), View()
    view.follow(location)
    location.search = "?x=time"
    assert (view.tab, view.x) == ("energy", "time")
