"""What every route needs: the service, strict bodies, and the errors in the description of the API."""

from typing import Annotated, Any

from fastapi import Depends, Header, Request

from backend.service import Service
from backend.strict import Invalid, loads


def service(request: Request) -> Service:
    """The one service object of the application."""
    return request.app.state.service


async def json_body(request: Request) -> Any:
    """The body as strict JSON."""
    raw = await request.body()
    if not raw:
        raise Invalid([("", "a JSON body is needed")])
    return loads(raw)


async def optional_body(request: Request) -> Any:
    """The body as strict JSON, an empty object if there is none."""
    raw = await request.body()
    return loads(raw) if raw else {}


Serve = Annotated[Service, Depends(service)]
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
    507: {"description": "The disk is full.", **ERROR},
}
