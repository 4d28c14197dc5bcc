"""Sums of Pauli strings: the one implementation behind every Hamiltonian, observable and custom input."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float, Inexact, Int32

from nqs_core.sector import Sector
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

    @property
    def n_rows(self) -> int:
        """How many strings every term has; for operators that are read row by row."""
        terms = [*self._diagonal, *(strings for group in self._groups for strings in group)]
        rows = {len(signs) for signs, _ in terms}
        if len(rows) != 1:
            raise ValueError(f"terms of {sorted(rows)} strings cannot be read row by row")
        return rows.pop()

    def diagonal_rows(self, sigma: Sigma) -> Float[Array, " n_rows"]:
        """⟨σ|·|σ⟩ of the k-th strings of all terms together, for every k."""
        return sum((c * _product(sigma, signs) for signs, c in self._diagonal), start=jnp.zeros(self.n_rows))

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


class Masks(NamedTuple):
    """All strings that flip the same sites, on integer states s (bit k set: site k down).

    ⟨s|H|s ^ flip⟩ = Σ_n amplitude[n] (-1)^popcount(s & signs[n]).
    """

    flip: int
    signs: np.ndarray  # int64 (n,)
    amplitude: np.ndarray  # float64 or complex128 (n,)

    def elements(self, states: np.ndarray) -> np.ndarray:
        """⟨s|H|s ^ flip⟩ for every state, in the type of the amplitudes."""
        out = np.zeros(len(states), self.amplitude.dtype)
        for mask, amplitude in zip(self.signs, self.amplitude, strict=True):
            out += amplitude * (1.0 - 2.0 * (np.bitwise_count(states & mask) & 1))
        return out


def masks(terms: Sequence[Terms], n_sites: int) -> list[Masks]:
    """`terms` with concrete coefficients as bit masks, NumPy only; equal strings are summed, zeros dropped.

    Raises:
        ValueError: as in `compile`, or more than 62 sites.
    """
    if n_sites > 62:
        raise ValueError(f"bit masks hold 62 sites, got {n_sites}")
    strings: dict[int, dict[int, complex]] = {}
    for letters, sites, coefficient in terms:
        sites = np.asarray(sites, np.int64).reshape(-1, len(letters))
        _check(letters, sites, n_sites)
        bits = np.left_shift(1, sites)
        flips = bits[:, [p in "XY" for p in letters]].sum(axis=1)
        signs = bits[:, [p in "ZY" for p in letters]].sum(axis=1)
        values = np.broadcast_to(np.asarray(coefficient), (len(sites),)) * (-1j) ** letters.count("Y")
        for flip, sign, value in zip(flips.tolist(), signs.tolist(), values.tolist(), strict=True):
            row = strings.setdefault(flip, {})
            row[sign] = row.get(sign, 0.0) + value
    out = []
    for flip, row in sorted(strings.items()):
        kept = {sign: value for sign, value in row.items() if value != 0}
        amplitude = np.array(list(kept.values()), complex)
        if kept:
            real = np.real(amplitude).copy() if not np.imag(amplitude).any() else amplitude
            out.append(Masks(flip, np.array(list(kept), np.int64), real))
    return out


def is_invariant(terms: Sequence[Terms], permutation: Int32[np.ndarray, " n_sites"]) -> bool:
    """Whether Σ terms stays the same when site permutation[i] is called i; concrete coefficients, any size."""
    here, there = _strings(terms, np.arange(len(permutation))), _strings(terms, np.argsort(permutation))
    return set(here) == set(there) and all(abs(there[s] - c) <= 1e-12 * abs(c) for s, c in here.items())


def is_flip_invariant(terms: Sequence[Terms]) -> bool:
    """Whether Σ terms stays the same when every spin is flipped: Y and Z change their sign."""
    odd = [(letters.count("Y") + letters.count("Z")) % 2 for letters, _, _ in terms]
    return not any(np.any(coefficient) for (_, _, coefficient), o in zip(terms, odd, strict=True) if o)


def _strings(terms: Sequence[Terms], names: np.ndarray) -> dict[tuple[tuple[int, str], ...], complex]:
    """Coefficients by (site, letter) in the order of the sites, each site under its new name."""
    out: dict[tuple[tuple[int, str], ...], complex] = {}
    for letters, sites, coefficient in terms:
        rows = names[np.asarray(sites, np.int64).reshape(-1, len(letters))].tolist()
        values = np.broadcast_to(np.asarray(coefficient), (len(rows),)).tolist()
        for row, value in zip(rows, values, strict=True):
            string = tuple(sorted(zip(row, letters, strict=True)))
            out[string] = out.get(string, 0j) + value
    return {string: value for string, value in out.items() if value != 0}


def conserves_sz(groups: Sequence[Masks]) -> bool:
    """Whether every matrix element between states of different total S^z vanishes."""
    for flip, signs, amplitude in (g for g in groups if g.flip):
        involved = [k for k in range(62) if (flip | int(np.bitwise_or.reduce(signs))) >> k & 1]
        flipped = [k for k in range(62) if flip >> k & 1]
        if len(flipped) % 2 or len(involved) > 16:
            return False
        patterns = np.zeros(1, np.int64)
        for k in involved:
            patterns = np.concatenate([patterns, patterns | (1 << k)])
        changed = patterns[2 * np.bitwise_count(patterns & flip) != len(flipped)]
        scale = np.abs(amplitude).sum()
        if np.any(np.abs(Masks(flip, signs, amplitude).elements(changed)) > 1e-14 * scale):
            return False
    return True


def to_sparse(terms: Sequence[Terms], sector: Sector) -> scipy.sparse.csr_array:
    """H in the basis `sector.indices()`, from concrete coefficients, without JAX; elements that leave it are dropped.

    Raises:
        TooLargeError: the sector has more states than can be enumerated.
    """
    states = sector.indices()
    rows, columns, values = [], [], []
    for group in masks(terms, sector.n_sites):
        elements, targets = group.elements(states), states ^ group.flip
        position = np.minimum(np.searchsorted(states, targets), len(states) - 1)
        keep = np.flatnonzero((states[position] == targets) & (elements != 0))
        rows.append(keep)
        columns.append(position[keep])
        values.append(elements[keep])
    shape = (len(states), len(states))
    if not rows:
        return scipy.sparse.csr_array(shape)
    return scipy.sparse.csr_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape
    )


def to_dense(terms: Sequence[Terms], sector: Sector) -> np.ndarray:
    """`to_sparse` as a full matrix."""
    return to_sparse(terms, sector).toarray()
