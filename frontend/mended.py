"""A defect of Panel, mended until Panel does it; its test tells when this can go."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any

from panel.io import document


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
