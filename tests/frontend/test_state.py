"""Selection, colours and the link; the shared copy of the runs."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from frontend.client import Client
from frontend.state import (
    N_COLOURS,
    Hub,
    View,
    decode_selection,
    encode_selection,
    free_slot,
    resolve_id,
    short_id,
)
from tests.asynchronous import finish

IDS = [f"{i:08x}-0000-4000-8000-000000000000" for i in range(20)]


def test_short_ids_are_unique_and_resolve_to_their_run() -> None:
    twins = ["aaaaaaaa-1", "aaaaaaaa-2", "bbbbbbbb-1"]
    assert short_id("bbbbbbbb-1", twins) == "bbbbbbbb"
    assert short_id("aaaaaaaa-1", twins) == "aaaaaaaa-1"
    assert [resolve_id(short_id(t, twins), twins) for t in twins] == twins
    assert resolve_id("aaaaaaaa", twins) is None
    assert resolve_id("", twins) is None


def test_selection_survives_the_url() -> None:
    selected = {IDS[4]: 2, IDS[1]: 0, IDS[9]: 11}
    assert decode_selection(encode_selection(selected, IDS), IDS) == selected


@pytest.mark.parametrize(
    "text", [IDS[2], f"{IDS[2]}.", f"{IDS[2]}.x", f"{IDS[2]}.99999", f"{IDS[2]},nope.3,,{IDS[2]}.5"]
)
def test_a_broken_link_still_shows_the_run(text: str) -> None:
    assert decode_selection(text, IDS) == {IDS[2]: 0}


def test_a_missing_slot_takes_a_free_one() -> None:
    assert decode_selection(f"{IDS[0]},{IDS[1]}.0", IDS) == {IDS[0]: 1, IDS[1]: 0}
    assert free_slot([0, 1, 3]) == 2


def test_colours_stay_with_their_runs() -> None:
    view = View()
    view.choose(IDS[:3], IDS)
    first = dict(view.selected)
    view.choose([IDS[0], IDS[2]], IDS)
    view.choose([IDS[0], IDS[2], IDS[5]], IDS)
    assert view.selected[IDS[5]] not in first.values()  # the colour of a run that may come back is not given away
    view.choose([*IDS[:3], IDS[5]], IDS)
    assert {run: view.selected[run] for run in IDS[:3]} == first


def test_more_runs_than_colours_differ_still() -> None:
    view = View()
    view.choose(IDS[: N_COLOURS + 4], IDS)
    slots = list(view.selected.values())
    assert len(set(slots)) == len(slots)
    view.choose(IDS[N_COLOURS + 4 : N_COLOURS + 6], IDS)  # after all colours were given, they go round
    assert max(view.selected.values()) < N_COLOURS


def test_restore_takes_the_link_or_the_newest_run() -> None:
    view = View(runs=f"{IDS[3][:8]}.5,{IDS[7][:8]}.1", focus=IDS[7][:8])
    view.restore(rows())
    assert view.selected == {IDS[3]: 5, IDS[7]: 1}
    assert view.focused == IDS[7]
    empty = View()
    empty.restore(rows())
    assert empty.selected == {IDS[0]: 0}
    assert empty.focused == IDS[0]
    nothing = View()
    nothing.restore({})
    assert nothing.selected == {}
    assert nothing.runs == ""


def test_a_deleted_run_leaves_the_view() -> None:
    view = View()
    view.choose(IDS[:2], IDS)
    view.focused = IDS[0]
    view.forget({i: r for i, r in rows().items() if i != IDS[0]})
    assert list(view.selected) == [IDS[1]]
    assert view.focused == IDS[1]
    assert IDS[0][:8] not in view.runs


def rows(*archived: str) -> Any:
    return {run: {"id": run, "archived": run in archived} for run in IDS}


def test_a_run_that_is_archived_leaves_the_charts_until_it_is_ticked_again() -> None:
    view = View()
    view.choose(IDS[:3], IDS)
    view.focused = IDS[1]
    view.forget(rows())
    view.forget(rows(IDS[1]))
    assert list(view.selected) == [IDS[0], IDS[2]]
    assert view.focused == IDS[1]  # where it can be restored
    view.choose(IDS[:3], IDS)
    view.forget(rows(IDS[1]))
    assert list(view.selected) == [IDS[0], IDS[2], IDS[1]]


def test_an_archived_run_is_drawn_for_a_link_only() -> None:
    first = View()
    first.restore(rows(IDS[0]))
    assert list(first.selected) == [IDS[1]]
    linked = View(runs=f"{IDS[0][:8]}.2")
    linked.restore(rows(IDS[0]))
    linked.forget(rows(IDS[0]))
    assert linked.selected == {IDS[0]: 2}


class Api:
    """A scripted API behind a transport; `down` makes it vanish."""

    def __init__(self) -> None:
        self.down = False
        self.boot = "one"
        self.runs: list[dict[str, Any]] = [{"id": IDS[0], "created": 1.0, "step": 1}, {"id": IDS[1], "created": 2.0}]
        self.calls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("refused")
        self.calls.append(request.url.path)
        answers = {
            "/api/health": {"boot": self.boot},
            "/api/catalog": {"boot": self.boot},
            "/api/runs": {"runs": self.runs, "total": len(self.runs)},
        }
        return httpx.Response(200, json=answers[request.url.path])


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def hub(api: Api) -> Hub:
    return Hub(Client("http://api", transport=httpx.MockTransport(api)))


def test_hub_keeps_what_it_knew_while_the_api_is_away(hub: Hub, api: Api) -> None:
    async def story() -> None:
        await hub.refresh()
        assert hub.online
        assert list(hub.runs) == [IDS[1], IDS[0]]  # newest first
        api.down = True
        await hub.refresh()
        assert not hub.online
        assert hub.problem
        assert list(hub.runs) == [IDS[1], IDS[0]]
        api.down = False
        await hub.refresh()
        assert hub.online
        assert hub.problem == ""

    finish(story())


def test_an_answer_older_than_an_action_does_not_undo_it(api: Api) -> None:
    async def story() -> None:
        gate = asyncio.Event()

        async def late(request: httpx.Request) -> httpx.Response:
            answer = api(request)
            await gate.wait()
            return answer

        hub = Hub(Client("http://api", transport=httpx.MockTransport(late)))
        question = asyncio.create_task(hub.refresh())
        await asyncio.sleep(0.01)
        hub.put({"id": IDS[2], "created": 3.0})
        hub.drop(IDS[0])
        gate.set()
        await question
        assert list(hub.runs) == [IDS[2], IDS[1]]
        await hub.refresh()  # a later answer holds
        assert list(hub.runs) == [IDS[1], IDS[0]]

    finish(story())


def test_hub_version_grows_only_with_changes(hub: Hub, api: Api) -> None:
    async def story() -> None:
        await hub.refresh()
        seen = hub.version
        await hub.refresh()
        assert hub.version == seen
        api.runs[0] = {**api.runs[0], "step": 2}
        await hub.refresh()
        assert hub.version == seen + 1

    finish(story())


def test_catalog_is_asked_for_once_per_start_of_the_server(hub: Hub, api: Api) -> None:
    async def story() -> None:
        for _ in range(3):
            await hub.refresh()
        assert api.calls.count("/api/catalog") == 1
        api.boot = "two"
        await hub.refresh()
        assert api.calls.count("/api/catalog") == 2

    finish(story())


def test_hub_sleeps_while_no_page_is_open(hub: Hub, api: Api) -> None:
    async def story() -> None:
        task = asyncio.create_task(hub.run())
        await asyncio.sleep(0.05)
        asleep = len(api.calls)
        await asyncio.sleep(0.1)
        assert len(api.calls) == asleep
        hub.watch()
        await asyncio.sleep(0.05)
        assert len(api.calls) > asleep
        task.cancel()

    finish(story())


def test_what_is_known_grows_stale(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.stale
    finish(hub.refresh())
    assert not hub.stale
    later = time.monotonic() + 10
    monkeypatch.setattr("frontend.state.time.monotonic", lambda: later)
    assert hub.stale
