"""Systems in words, and searching in what people write. Never imports JAX."""

import hashlib
import itertools
import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from typing import Any

_SIZES = ("length", "extent", "size")  # parameters of lattices that say how large they are
_LONG = 24  # characters; a value that is longer is told by its hash
LONGEST_NAME = 200
_COPY = re.compile(r"copy( \d+)?")
_ALIKE = str.maketrans({"×": "x", "−": "-", "–": "-", "‐": "-", "‑": "-"})
_JOINTS = str.maketrans("", "", "-")


def lattice(config: Mapping[str, Any]) -> str:
    """chain 16, square 4×4 open, all to all 12."""
    spec = config.get("lattice") or {}
    params = dict(spec.get("params") or {})
    size = next((params.pop(name) for name in _SIZES if name in params), "")
    extent = "×".join(str(n) for n in size) if isinstance(size, (list, tuple)) else str(size)
    periodic = params.pop("periodic", True)
    flags = list(periodic) if isinstance(periodic, (list, tuple)) else [periodic]
    kind = ["" if all(flags) else "open" if not any(flags) else _cylinder(flags)]
    more = [f"{name}={_value(value)}" for name, value in params.items() if value is not None]
    return " ".join(filter(None, [str(spec.get("name", "")).replace("_", " "), extent, *kind, *more]))


def _cylinder(flags: list[Any]) -> str:
    """Two axes with one open are a cylinder along it; otherwise one letter an axis, periodic or open."""
    return "cylinder" if flags == [False, True] else "".join("P" if flag else "O" for flag in flags)


def system(config: Mapping[str, Any]) -> str:
    """TFIM h=1 · chain 16 · Sᶻ=0 · k=8. A leading coupling of 1 and couplings that are 0 go without saying."""
    spec = config.get("hamiltonian") or {}
    name = str(spec.get("name", ""))
    said, first = [], True
    for key, value in (spec.get("params") or {}).items():
        if isinstance(value, bool) or value is None:
            continue  # a rotation of the basis leaves the system what it is
        number = isinstance(value, (int, float))
        if not number:
            said.append(_value(value).replace("_", " "))
        elif value != (1 if first else 0):
            said.append(f"{key}={_value(value)}")
        first = first and not number
    head = " ".join([name.upper() if len(name) <= 4 else name.replace("_", " ").capitalize(), *said])
    return " · ".join(filter(None, [head, lattice(config), *sector(config.get("sector") or {})]))


def sector(labels: Mapping[str, Any]) -> list[str]:
    """Sᶻ=0, k=(0, 8), A1, flip=-1: what is given of a sector."""
    out = []
    if (sz := labels.get("sz")) is not None:
        out.append(f"Sᶻ={_value(sz)}")
    if (k := labels.get("momentum")) is not None:
        whole = k if isinstance(k, str) else ", ".join(str(m) for m in k)
        out.append(f"k=({whole})" if not isinstance(k, str) and len(k) > 1 else f"k={whole}")
    if irrep := labels.get("point_group"):
        out.append(str(irrep))
    if (flip := labels.get("spin_flip")) is not None:
        out.append(f"flip={flip:+d}")
    return out


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    whole = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return whole if len(whole) <= _LONG else f"#{hashlib.sha256(whole.encode()).hexdigest()[:6]}"


def fold(text: str) -> str:
    """What is the same to somebody who searches: case, composition, signs that look alike."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold().translate(_ALIKE))


def searchable(text: str) -> str:
    """The folded text, and once more without hyphens: J1-J2 is found as j1j2."""
    folded = fold(text)
    return f"{folded}\n{folded.translate(_JOINTS)}"


def needles(search: str) -> list[list[str]]:
    """For each word of a search the texts of which one must be in `searchable`."""
    found = []
    for word in fold(search).split():
        joined = word.translate(_JOINTS)
        found.append([word, joined] if joined and re.search(r"[^\W\d_]", joined) else [word])  # 1-2 is not 12
    return found


def matches(search: str, text: str) -> bool:
    """Whether every word of `search` is in `text`."""
    hay = searchable(text)
    return all(any(needle in hay for needle in either) for either in needles(search))


def clone_name(run: Mapping[str, Any], patch: Mapping[str, Any], taken: Collection[str]) -> str:
    """tfim chain 16, learning_rate=0.01: the name of a run and what a merge patch changes; numbered where it is taken.

    Args:
        run: the original, `name` and `config`.
        patch: a JSON merge patch of its configuration.
        taken: names of other runs.
    """
    config = run.get("config") or {}
    base = run.get("name") or f"{system(config)} · {(config.get('ansatz') or {}).get('name', '')}".strip(" ·")
    changed = dict(_changes(patch))
    parts = [part for part in base.split(", ") if part.partition("=")[0] not in changed and not _COPY.fullmatch(part)]
    said = [f"{key}={_value(value)}" if value is not None else f"{key}=default" for key, value in changed.items()]
    tail = ", " + ", ".join(said or ["copy"])
    name = ", ".join(parts)[: LONGEST_NAME - len(tail) - 5] + tail
    numbered = (f"{name} {n}" for n in itertools.count(2))
    return name[:LONGEST_NAME] if name not in taken else next(each for each in numbered if each not in taken)


def _changes(patch: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in patch.items():
        name = above if key in ("name", "params") else key
        if isinstance(value, Mapping):
            yield from _changes(value, name)
        else:
            yield name, value
