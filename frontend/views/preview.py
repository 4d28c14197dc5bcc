"""The lattice of the form as a picture, before anything is launched."""

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from frontend.client import ApiError
from frontend.components import LatticeView
from frontend.forms.fold import Fold
from frontend.latest import Latest
from frontend.state import Hub

PAUSE_SECONDS = 0.3


class LatticePreview:
    """`show` asks the server for a drawing once the typing pauses; `drawn` is called with each new one."""

    def __init__(self, hub: Hub, drawn: Callable[[Mapping[str, Any]], None], *, open: bool = True) -> None:
        self._hub = hub
        self._drawn = drawn
        self._shown = ""
        self._ask = Latest(self._draw, PAUSE_SECONDS)
        self.picture = LatticeView(sizing_mode="stretch_width", margin=(2, 0, 4, 0))
        self.fold = Fold("Drawing", self.picture, open=open)

    def show(self, spec: Mapping[str, Any], sector: Mapping[str, Any] | None = None) -> None:
        """Draw the lattice `spec` (name, params) unless it is drawn already; irreps: of the sector's momentum."""
        momentum = (sector or {}).get("momentum")
        key = json.dumps([spec, momentum], sort_keys=True)
        if key == self._shown:
            self._ask.cancel()  # of what was typed in between
            return
        self._ask(dict(spec), momentum, key)

    async def _draw(self, spec: dict[str, Any], momentum: Any, key: str) -> None:
        try:
            drawing = await self._load(spec, momentum)
        except ApiError:
            self.picture.drawing = {}  # the check of the whole form says why
            self._shown = ""
            raise
        self._shown = key
        self.picture.drawing = drawing
        self._drawn(drawing)

    async def _load(self, spec: dict[str, Any], momentum: Any) -> dict[str, Any]:
        if momentum is not None:
            with contextlib.suppress(ApiError):  # it may be one of the lattice that was chosen before
                return await self._hub.client.lattice(spec, momentum)
        return await self._hub.client.lattice(spec)
