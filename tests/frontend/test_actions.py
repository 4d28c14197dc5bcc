"""The buttons of the focused run."""

from typing import Any

from frontend.client import Client, Run
from frontend.state import Hub, View
from frontend.views.actions import Actions

RUN: Run = {"id": "3f2a9100", "name": "tiny", "state": "done", "step": 30, "checkpoint_step": 30}


async def nothing(run: Any) -> None:
    return None


def test_they_come_when_it_is_known_which_ones() -> None:
    # Those of another state would go again under a mouse that is on its way.
    hub, view = Hub(Client("http://127.0.0.1:1")), View()
    actions = Actions(hub, view, lambda config, tags: None, lambda: None, nothing)
    actions.refresh()
    assert not actions.bar.visible
    shown: list[Any] = []
    actions.bar.param.watch(lambda event: shown.extend(b for b in event.new if b.visible), "objects")
    hub.put(RUN)
    view.focused = RUN["id"]
    actions.refresh()
    assert actions.bar.visible
    assert actions.start in shown
    assert not {actions.stop, actions.resume} & set(shown)
    assert [b for b in actions.bar.objects if b.visible] == shown
