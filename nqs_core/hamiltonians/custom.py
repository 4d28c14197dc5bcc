"""Any Hermitian sum of Pauli strings, given as text or JSON."""

import functools
import json
import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import numpy as np
import pydantic

from nqs_core.errors import ConfigError
from nqs_core.hamiltonians.base import Hamiltonian
from nqs_core.lattices.base import Lattice
from nqs_core.operators import Terms, conserves_sz, masks
from nqs_core.registry import component, context, param
from nqs_core.types import Coupling

MAX_STRINGS = 10_000
MAX_FACTORS = 200_000  # Pauli matrices of all strings together
_FACTOR = re.compile(r"([XYZ])(\d+)")

# JSON may come as it is; it is kept as text, which can be hashed and shown.
Strings = Annotated[str, pydantic.BeforeValidator(lambda v: v if isinstance(v, str) else json.dumps(v, sort_keys=True))]
Parsed = dict[str, list[tuple[tuple[int, ...], float]]]


@component
class Custom(Hamiltonian):
    """H = scale · Σ_n c_n P_n, P_n products of Pauli matrices on distinct sites, c_n real.

    As text, one string a line: `-0.5 Z0 Z1` (the coefficient first, 1 where left out; `#` starts a comment). As JSON:
    `{"XX": [[0, 1], [1, 2]], "Z": {"sites": [[0]], "coefficient": -0.5}}`, with one coefficient or one for each row.
    """

    strings: Strings = param(
        "-1 Z0 Z1\n-1 X0\n-1 X1",
        title="Pauli strings",
        help='One a line, such as `-0.5 Z0 Z1`, or JSON such as {"XX": [[0, 1]]}. '
        f"At most {MAX_STRINGS} strings with {MAX_FACTORS} factors together.",
        limits={"maxStrings": MAX_STRINGS, "maxFactors": MAX_FACTORS},
        max_length=1_000_000,
    )
    scale: Coupling = param(1.0, title="Scale", help="Factor of the whole sum.", ge=-1e3, le=1e3)
    lattice: Lattice = context()

    formula: ClassVar[str] = r"H = {scale} \sum_n c_n \prod_k \sigma^{{\alpha_{{nk}}}}_{{i_{{nk}}}}"

    def __post_init__(self) -> None:
        _check(self.strings, self.lattice.n_sites)

    @property
    def conserves_sz(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Read off the strings: those that flip the same sites are taken together, on as few sites as they need."""
        groups: dict[tuple[int, ...], list[tuple[str, tuple[int, ...], float]]] = {}
        for letters, rows in _parse(self.strings).items():
            for sites, c in rows:
                flipped = tuple(sorted(i for p, i in zip(letters, sites, strict=True) if p in "XY"))
                groups.setdefault(flipped, []).append((letters, sites, c))
        for flipped, strings in groups.items():
            label = {site: k for k, site in enumerate(sorted({i for _, sites, _ in strings for i in sites}))}
            terms = [Terms(p, np.array([[label[i] for i in sites]]), c) for p, sites, c in strings]
            if flipped and not (len(label) <= 62 and conserves_sz(masks(terms, len(label)))):
                return False
        return True

    def terms(self) -> tuple[Terms, ...]:
        return tuple(Terms(letters, sites, self.scale * c) for letters, sites, c in _sorted(self.strings))


@functools.lru_cache(maxsize=16)
def _check(strings: str, n_sites: int) -> None:
    for letters, rows in _parse(strings).items():
        for sites, _ in rows:
            wrong = ""
            if max(sites) >= n_sites or min(sites) < 0:
                wrong = f"sites must be 0..{n_sites - 1}"
            elif len(set(sites)) < len(sites):
                wrong = "a site stands twice in one string"
            if wrong:
                text = " ".join(f"{p}{i}" for p, i in zip(letters[:40], sites[:40], strict=True))
                raise ConfigError(f"Pauli string {text!r}: {wrong}")


@functools.lru_cache(maxsize=16)
def _parse(strings: str) -> Parsed:
    """Rows of sites and coefficients by Pauli letters."""
    text = strings.strip()
    found: Parsed = {}
    n_strings = n_factors = 0
    for letters, sites, c in _from_json(text) if text[:1] in ("{", "[") else _from_lines(text):
        n_strings, n_factors = n_strings + 1, n_factors + len(letters)
        if n_strings > MAX_STRINGS:
            raise ConfigError(f"custom: more than {MAX_STRINGS} Pauli strings; at most {MAX_STRINGS} are allowed")
        if n_factors > MAX_FACTORS:
            raise ConfigError(
                f"custom: the Pauli strings have more than {MAX_FACTORS} factors together; at most {MAX_FACTORS} are "
                "allowed"
            )
        found.setdefault(letters, []).append((sites, c))
    if not found:
        raise ConfigError("custom: no Pauli string given; one a line, such as '-0.5 Z0 Z1'")
    return found


@functools.lru_cache(maxsize=16)
def _sorted(strings: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Letters, sites and coefficients, with the factors of a string in the order of their letters: fewer words."""
    found: dict[str, list[tuple[list[int], float]]] = {}
    for letters, rows in _parse(strings).items():
        order = sorted(range(len(letters)), key=lambda k: letters[k])
        of_word = found.setdefault("".join(sorted(letters)), [])
        of_word += [([sites[k] for k in order], c) for sites, c in rows]
    return [
        (letters, np.array([sites for sites, _ in rows]), np.array([c for _, c in rows]))
        for letters, rows in found.items()
    ]


def _from_lines(text: str) -> Iterator[tuple[str, tuple[int, ...], float]]:
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        coefficient = 1.0
        if not _FACTOR.fullmatch(words[0]):
            coefficient = _number(words.pop(0), f"line {number}")
        factors = [_FACTOR.fullmatch(word) for word in words]
        if not factors or not all(factors):
            raise ConfigError(f"custom, line {number}: {line.strip()[:60]!r} is no Pauli string such as '-0.5 Z0 Z1'")
        yield "".join(f[1] for f in factors if f), tuple(int(f[2]) for f in factors if f), coefficient


def _from_json(text: str) -> Iterator[tuple[str, tuple[int, ...], float]]:
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"custom: not valid JSON ({error})") from None
    if not isinstance(data, dict):
        raise ConfigError('custom: the JSON must be an object such as {"XX": [[0, 1]]}')
    for letters, value in data.items():
        entry: dict[str, Any] = value if isinstance(value, dict) else {"sites": value}
        rows = entry.get("sites")
        if not letters or set(letters) - set("XYZ") or set(entry) - {"sites", "coefficient"}:
            raise ConfigError(f"custom: {letters[:60]!r} must be letters X, Y, Z with `sites` and `coefficient`")
        if not isinstance(rows, list) or not all(_is_row(row, len(letters)) for row in rows):
            raise ConfigError(f"custom: the sites of {letters!r} must be lists of {len(letters)} site numbers")
        given = entry.get("coefficient", 1.0)
        coefficients = given if isinstance(given, list) else [given] * len(rows)
        if len(coefficients) != len(rows):
            raise ConfigError(f"custom: {letters!r} has {len(rows)} rows of sites and {len(coefficients)} coefficients")
        for row, coefficient in zip(rows, coefficients, strict=True):
            yield letters, tuple(row), _number(coefficient, letters)


def _is_row(row: Any, length: int) -> bool:
    return isinstance(row, list) and len(row) == length and all(type(i) is int for i in row)


def _number(value: Any, where: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"custom, {where}: {str(value)[:60]!r} is no finite coefficient")
    return number
