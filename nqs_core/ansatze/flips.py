"""Moves grouped by their shape: flips of a few neighbouring tokens of a ring, and where they begin."""

import functools
from typing import NamedTuple

import numpy as np

Kind = tuple[int, ...]  # spins that flip in a first token and in those after it, as bits

MOST_SPAN = 2  # tokens from the first to the last of a move: second neighbours
FEW = 8  # of so many tokens one that begins a move makes it worth while to take all


class Plan(NamedTuple):
    """The moves of every kind, their first tokens, and those that are of no kind; a move of no site is in neither."""

    kinds: tuple[Kind, ...]
    rows: tuple[np.ndarray, ...]
    origins: tuple[np.ndarray, ...]
    others: np.ndarray


def plan(moves: np.ndarray, token: int, n_tokens: int, widest: int) -> Plan:
    """The kinds of `moves`, rows of sites padded with -1, that span at most `widest` tokens and are not rare."""
    return _plan(moves.tobytes(), str(moves.dtype), moves.shape, token, n_tokens, min(widest, MOST_SPAN))


@functools.lru_cache(maxsize=64)
def _plan(data: bytes, dtype: str, shape: tuple[int, ...], token: int, n_tokens: int, widest: int) -> Plan:
    groups: dict[Kind, list[tuple[int, int]]] = {}
    others: list[int] = []
    for row, move in enumerate(np.frombuffer(data, dtype).reshape(shape)):
        sites = move[move >= 0]
        if sites.size == 0:
            continue
        first, kind = _kind(sites, token, n_tokens)
        if len(kind) - 1 > widest:
            others.append(row)
        else:
            groups.setdefault(kind, []).append((row, first))
    for kind in [kind for kind, found in groups.items() if FEW * len(found) < n_tokens]:
        others += [row for row, _ in groups.pop(kind)]
    found = [np.array(pairs).T for pairs in groups.values()]
    rows, origins = tuple(pair[0] for pair in found), tuple(pair[1] for pair in found)
    return Plan(tuple(groups), rows, origins, np.array(sorted(others), int))


def _kind(sites: np.ndarray, token: int, n_tokens: int) -> tuple[int, Kind]:
    """The first token of the shortest arc that holds all sites, and what flips along it."""
    tokens = sites // token
    arcs = [(int(((tokens - start) % n_tokens).max()), int(start)) for start in tokens]
    length, first = min(arcs)
    masks = [0] * (length + 1)
    for site in sites:
        masks[(int(site) // token - first) % n_tokens] ^= 1 << (int(site) % token)
    return first, tuple(masks)
