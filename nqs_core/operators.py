"""Sums of Pauli strings: the one implementation behind every Hamiltonian, observable and custom input."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Int32

from nqs_core.types import Sigma


class Terms(NamedTuple):
    """Σ_n coefficient[n] Π_k P_k(sites[n, k]) with Pauli letters P = `operators`.

    Sites are static, coefficients may be traced.

    operators: such as "ZZ" or "X"; sites: int (n, len(operators)), distinct within a row; coefficient: () or (n,).
    """

    operators: str
    sites: np.ndarray
    coefficient: Any


class _Strings(NamedTuple):
    signs: np.ndarray  # (n, n_signs): sites whose σ multiplies the element
    coefficient: Any  # (n,)


@dataclass(frozen=True, eq=False)
class LocalOperator:
    """Pauli strings grouped by the sites that they flip.

    A string maps |σ⟩ to a flip of its X and Y sites, times Π σ over its Z and Y sites, times (-i)^(number of Y).
    moves: int32 (n_moves, move_size), padded with -1; energies in the unit of the coefficients.
    """

    moves: Int32[np.ndarray, "n_moves move_size"]
    _diagonal: tuple[_Strings, ...]
    _groups: tuple[tuple[_Strings, ...], ...]  # in the order of `moves`

    def diagonal(self, sigma: Sigma) -> Float[Array, ""]:
        """⟨σ|H|σ⟩."""
        return sum(
            (jnp.sum(c * _product(sigma, signs)) for signs, c in self._diagonal), start=jnp.zeros((), jnp.float64)
        )

    def mel(self, sigma: Sigma) -> Inexact[Array, " n_moves"]:
        """⟨σ|H|flip(σ, moves[k])⟩, exactly 0 where forbidden."""
        rows = [sum(c * _product(sigma, signs) for signs, c in strings) for strings in self._groups]
        return jnp.concatenate(rows) if rows else jnp.zeros(0, jnp.float64)


def _product(sigma: Sigma, signs: np.ndarray) -> Float[Array, " n"]:
    if signs.shape[1] == 0:
        return jnp.ones(len(signs), jnp.float64)
    return jnp.prod(sigma[signs], axis=-1).astype(jnp.float64)  # ±1 stays exact in int8


def compile(terms: Sequence[Terms], n_sites: int) -> LocalOperator:
    """Group `terms` by the sites they flip.

    Raises:
        ValueError: a site outside 0..n_sites-1, a site twice in one string, or a letter other than X, Y, Z.
    """
    diagonal: list[_Strings] = []
    groups: dict[tuple, tuple[np.ndarray, list[_Strings]]] = {}
    for letters, sites, coefficient in terms:
        sites = np.asarray(sites, np.int32).reshape(-1, len(letters))
        _check(letters, sites, n_sites)
        flips = [k for k, p in enumerate(letters) if p in "XY"]
        signs = [k for k, p in enumerate(letters) if p in "ZY"]
        # <s|Y|-s> = -i s; an even number of Y keeps the element real.
        n_y = letters.count("Y")
        phase = (-1) ** (n_y // 2) if n_y % 2 == 0 else (-1j) ** n_y
        c = jnp.broadcast_to(jnp.asarray(coefficient), (len(sites),)) * phase
        strings = _Strings(sites[:, signs], c)
        if not flips:
            diagonal.append(strings)
            continue
        flipped = sites[:, flips]
        groups.setdefault((flipped.shape, flipped.tobytes()), (flipped, []))[1].append(strings)
    width = max((flipped.shape[1] for flipped, _ in groups.values()), default=1)
    moves = [np.pad(m, ((0, 0), (0, width - m.shape[1])), constant_values=-1) for m, _ in groups.values()]
    return LocalOperator(
        moves=np.concatenate(moves).astype(np.int32) if moves else np.zeros((0, 1), np.int32),
        _diagonal=tuple(diagonal),
        _groups=tuple(tuple(strings) for _, strings in groups.values()),
    )


def _check(letters: str, sites: np.ndarray, n_sites: int) -> None:
    if not letters or set(letters) - set("XYZ"):
        raise ValueError(f"Pauli string {letters!r}: letters must be X, Y or Z")
    if sites.size and (sites.min() < 0 or sites.max() >= n_sites):
        raise ValueError(f"Pauli string {letters!r}: sites must be 0..{n_sites - 1}, got {sites.min()}..{sites.max()}")
    if sites.size and any(len(set(row)) < len(row) for row in sites.tolist()):
        raise ValueError(f"Pauli string {letters!r}: a site stands twice in one string")
