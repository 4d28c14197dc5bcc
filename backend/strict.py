"""Strict JSON in, clear sentences out; shared by the API and the command line, and quick to import."""

import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn

from pydantic_core import to_json

from nqs_core.config import expanded
from nqs_core.errors import NQSError

MAX_DEPTH = 32
MAX_PROBLEMS = 20
MAX_SENTENCE = 1000


class BadJSON(NQSError):
    """Bytes that are no JSON at all."""


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
    def of(cls, errors: Sequence[Any], prefix: str = "") -> "Invalid":
        """The `errors()` of a pydantic exception, each with its path."""
        found = []
        for item in expanded(errors)[:MAX_PROBLEMS]:
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


def dumps(content: Any, pretty: bool = False) -> bytes:
    """JSON bytes; NaN and infinities become the strings of `nqs_core.events.Real`, arrays become lists."""
    text = to_json(content, indent=2 if pretty else None, inf_nan_mode="strings", fallback=_array)
    return text + b"\n" if pretty else text


def _array(value: Any) -> Any:
    return value.tolist()
