"""What every route needs: the service, strict bodies, and the errors in the description of the API."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from backend.problems import BusyError, GoneError
from backend.sandbox import Sandbox
from backend.service import Service
from backend.strict import Invalid, loads
from nqs_core.errors import TooLargeError

LARGE = 20_000  # bytes of JSON that take longer to read than the event loop can spare
Ask = Callable[..., Awaitable[Any]]


def service(request: Request) -> Service:
    """The one service object of the application."""
    return request.app.state.service


async def raw_body(request: Request) -> bytes:
    """The body as it came, for a child process to read."""
    raw = await request.body()
    if not raw:
        raise Invalid([("", "a JSON body is needed")])
    return raw


async def json_body(request: Request) -> Any:
    """The body as strict JSON."""
    return await _loads(await raw_body(request))


async def optional_body(request: Request) -> Any:
    """The body as strict JSON, an empty object if there is none."""
    raw = await request.body()
    return await _loads(raw) if raw else {}


async def _loads(raw: bytes) -> Any:
    return loads(raw) if len(raw) < LARGE else await asyncio.to_thread(loads, raw)


async def sandbox(request: Request) -> AsyncIterator[Ask]:
    """A function that has a task of `sandbox_child` done, unless the client goes before."""
    gone = asyncio.ensure_future(_disconnection(request))
    children: Sandbox = request.app.state.sandbox

    async def ask(name: str, *arguments: Any) -> Any:
        return await children.ask(gone, name, *arguments)

    try:
        yield ask
    finally:
        gone.cancel()


async def refresh(ask: Ask, name: str, *arguments: Any) -> None:
    """Have runs get their references anew; what was asked for is done whether or not this works."""
    with contextlib.suppress(TooLargeError, BusyError, GoneError):
        await ask(name, *arguments)


async def _disconnection(request: Request) -> None:
    await request.body()  # it is kept; what comes after it is the end of the connection
    while (await request.receive())["type"] != "http.disconnect":
        pass


Serve = Annotated[Service, Depends(service)]
Apart = Annotated[Ask, Depends(sandbox)]
Raw = Annotated[bytes, Depends(raw_body)]
Body = Annotated[Any, Depends(json_body)]
OptionalBody = Annotated[Any, Depends(optional_body)]
IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")
]


def body_of(schema: str, required: bool = True) -> dict[str, Any]:
    """What OpenAPI says about a body that `loads` reads."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"requestBody": {"required": required, "content": content}}


ERROR = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "Broken JSON.", **ERROR},
    401: {"description": "The token is missing or wrong.", **ERROR},
    403: {"description": "Another web site sent this.", **ERROR},
    404: {"description": "There is no such thing.", **ERROR},
    409: {"description": "The run is in a state that does not allow it.", **ERROR},
    413: {"description": "The body is larger than 1 MB.", **ERROR},
    415: {"description": "The body is not JSON.", **ERROR},
    421: {"description": "The host is not served here.", **ERROR},
    422: {"description": "A value is wrong, with where and why.", **ERROR},
    503: {"description": "Too many requests wait to be checked.", **ERROR},
    507: {"description": "The disk is full.", **ERROR},
}
