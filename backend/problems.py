"""Strict JSON in, one clear sentence out: every error that the API answers with is made here."""

import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from backend.store import StateError, UnknownRunError
from nqs_core.errors import NQSError

MAX_DEPTH = 32
MAX_PROBLEMS = 20
MAX_SENTENCE = 1000


class BadJSON(NQSError):
    """Bytes that are no JSON at all."""


class NotFound(Exception):
    """The thing with this identifier does not exist."""


class Invalid(NQSError):
    """A body with one or more wrong fields.

    Args:
        problems: pairs of where (dotted path) and what is wrong, never with the input itself.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        where, problem = problems[0]
        more = f"; {len(problems) - 1} more problem(s)" if len(problems) > 1 else ""
        super().__init__(f"{where}: {problem}{more}" if where else f"{problem}{more}")
        self.problems = list(problems)

    @classmethod
    def of(cls, error: ValidationError | RequestValidationError, prefix: str = "") -> "Invalid":
        """The problems of a pydantic error, each with its path."""
        found = []
        for item in error.errors()[:MAX_PROBLEMS]:
            parts = [str(part)[:60] for part in item["loc"] if part not in ("body", "query", "path")]
            found.append((".".join([prefix, *parts] if prefix else parts), item["msg"]))
        return cls(found)


def loads(raw: bytes) -> Any:
    """Decoded JSON; stricter than `json.loads`.

    Raises:
        BadJSON: not UTF-8, not JSON, or nested too deeply.
        Invalid: NaN, Infinity or a number beyond float64, none of which JSON has.
    """
    try:
        value = json.loads(raw.decode(), parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError:
        raise BadJSON("the text is not UTF-8") from None
    except RecursionError:
        raise BadJSON("the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise BadJSON(f"this is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError:
        raise BadJSON("the JSON holds an integer with too many digits") from None
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item for v in level if isinstance(v, dict | list) for item in (v.values() if isinstance(v, dict) else v)
        ]
        if not level:
            return
    raise BadJSON(f"the JSON is nested more than {MAX_DEPTH} levels deep")


def _no_constant(name: str) -> NoReturn:
    raise Invalid([("", f"{name} is not allowed; every number must be finite")])


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Invalid([("", "a number is too large; every number must be finite")])
    return value


def clean(text: str) -> str:
    """A sentence that any encoder and any terminal can take (lone surrogates and control characters escaped)."""
    cut = text if len(text) <= MAX_SENTENCE else text[:MAX_SENTENCE] + " ..."
    safe = cut.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in safe)


def dumps(content: Any) -> bytes:
    """JSON bytes; NaN and infinities become null."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


class JSON(Response):
    """A response encoded by orjson."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return dumps(content)


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
    return _refused(_, Invalid.of(error))


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = _answer(error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


def install(app: FastAPI) -> None:
    """Register the handlers: NQSError 422, StateError 409, NotFound 404, broken JSON 400."""
    app.add_exception_handler(NQSError, _refused)
    app.add_exception_handler(StateError, lambda _, error: _answer(409, str(error)))
    for missing in (NotFound, UnknownRunError):
        app.add_exception_handler(missing, lambda _, error: _answer(404, str(error)))
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, lambda _, __: _answer(500, "an internal error; the server's log has it"))
