"""Defects of Panel, mended until Panel does it; the test of each tells when it can go."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any

from panel.io import document
from panel.util.parameters import edit_readonly
from panel_material_ui import Page
from panel_material_ui.notifications import NotificationArea


def mend_writes() -> None:
    """Let no message to the browser lie until the next one.

    While one task of Panel waits for its messages to be written, later ones are put aside for a task of their own; the
    first task then declares everything written, and the second finds nothing to do. What a page shows would stay
    behind what the server knows: a button that spins, a dialog that does not open.
    """
    dispatch: Callable[[Any], Coroutine[Any, Any, None]] = document._dispatch_msgs
    if hasattr(dispatch, "__wrapped__"):
        return

    @functools.wraps(dispatch)
    async def again(doc: Any) -> None:
        await dispatch(doc)
        if doc in document._WRITE_MSGS and doc not in document._WRITE_BLOCK:
            document._WRITE_BLOCK[doc] = True
            document._dispatch_write_task(doc, again, doc)

    document._dispatch_msgs = again


def mend_notifications() -> None:
    """Let a session's notification area go with its session.

    `panel.state._views`, one dictionary for the process, holds every root with its document. The area's entry is taken
    out by `state._destroy_session`, which looks for the area after `Document.destroy` has made the state forget it; and
    by its `_server_destroy`, which nobody calls, and which does nothing where `_documents` does not know the document.
    """
    get_root: Callable[..., Any] = NotificationArea.get_root
    if hasattr(get_root, "__wrapped__"):
        return

    @functools.wraps(get_root)
    def remembered(area: Any, doc: Any = None, comm: Any = None, preprocess: bool = True) -> Any:
        root = get_root(area, doc, comm, preprocess)
        if doc is not None:
            area._documents[doc] = root
            doc.on_session_destroyed(area._server_destroy)
        return root

    setattr(NotificationArea, "get_root", remembered)  # noqa: B010  (of another signature)


def mend_busy(page: Page) -> None:
    """Let a page follow the process's busy state no more, and be garbage when its session ends.

    A `Page` watches `panel.state.busy` and never stops: the state of the process holds every page that ever was. What
    it tells is not wanted either: every event and every tick of the clock would be told to the browser twice.
    """
    page.param._update_ref("busy", False)
    with edit_readonly(page):
        page.busy = False
