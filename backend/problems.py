"""Every error that the API answers with is made here: one clear sentence, never the input itself."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from backend.disk import FULL
from backend.store import DamagedError, DiskFullError, StateError, UnknownRunError
from backend.strict import BadJSON, Invalid, clean, dumps
from nqs_core.errors import NQSError


class NotFound(Exception):
    """The thing with this identifier does not exist."""


class BusyError(Exception):
    """Too many requests wait already."""


class GoneError(Exception):
    """Whoever asked has closed the connection."""


class JSON(Response):
    """A response with infinite and undefined numbers as strings; bytes are JSON already."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else dumps(content)


def _answer(status: int, detail: str, problems: Sequence[tuple[str, str]] = ()) -> JSONResponse:
    body: dict[str, Any] = {"detail": clean(detail)}
    if problems:
        body["errors"] = [{"where": clean(where), "problem": clean(problem)} for where, problem in problems]
    return JSONResponse(body, status)


def _refused(_: Request, error: Exception) -> Response:
    if isinstance(error, BadJSON):
        return _answer(400, str(error))
    return _answer(422, str(error), error.problems if isinstance(error, Invalid) else ())


def _invalid_request(_: Request, error: Exception) -> Response:
    # FastAPI's own handler echoes the input; a NaN in it makes that answer a 500.
    assert isinstance(error, RequestValidationError)
    return _refused(_, Invalid.of(error.errors()))


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = _answer(error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


def _no_room(request: Request, error: Exception) -> Response:
    if isinstance(error, OSError) and error.errno not in FULL:
        raise error
    room = request.app.state.service.room
    room.notice()
    return _answer(507, str(DiskFullError(room.folder)) if isinstance(error, OSError) else str(error))


def install(app: FastAPI) -> None:
    """Register the handlers: NQSError 422, StateError 409, NotFound 404, broken JSON 400, a full disk 507, busy 503.

    Nobody reads the answer to a client that has gone; 499 is what servers write into their logs for it.
    """
    app.add_exception_handler(NQSError, _refused)
    app.add_exception_handler(DamagedError, lambda _, error: _answer(500, str(error)))
    for full in (DiskFullError, OSError):
        app.add_exception_handler(full, _no_room)
    app.add_exception_handler(BusyError, lambda _, error: _answer(503, str(error)))
    app.add_exception_handler(GoneError, lambda _, __: Response(status_code=499))
    app.add_exception_handler(StateError, lambda _, error: _answer(409, str(error)))
    for missing in (NotFound, UnknownRunError):
        app.add_exception_handler(missing, lambda _, error: _answer(404, str(error)))
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, lambda _, __: _answer(500, "an internal error; the server's log has it"))
