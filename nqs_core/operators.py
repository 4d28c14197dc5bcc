"""Sums of Pauli strings: the one implementation behind every Hamiltonian, observable and custom input."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float, Inexact, Int8, Int32

from nqs_core.sector import Sector
from nqs_core.strings import alike, coefficients, parts, renamed, table
from nqs_core.types import Sigma

MOST_FLIPPED = 16  # sites of a string whose conservation of S^z is looked into
FEW = 16  # terms that are evaluated one by one; each takes some milliseconds to trace and to compile


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
    _owners: Int32[np.ndarray, " n"] | None = None  # rising: the move of each string, where these are a single group

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
        if len(rows) != 1 or self._owners is not None:
            raise ValueError(f"terms of {sorted(rows)} strings cannot be read row by row")
        return rows.pop()

    def diagonal_rows(self, sigma: Sigma) -> Float[Array, " n_rows"]:
        """⟨σ|·|σ⟩ of the k-th strings of all terms together, for every k."""
        return sum((c * _product(sigma, signs) for signs, c in self._diagonal), start=jnp.zeros(self.n_rows))

    def mel(self, sigma: Sigma) -> Inexact[Array, " n_moves"]:
        """⟨σ|H|flip(σ, moves[k])⟩, exactly 0 where forbidden."""
        rows = [sum(c * _product(sigma, signs) for signs, c in group) for group in self._groups]
        if self._owners is not None:
            return jax.ops.segment_sum(rows[0], self._owners, len(self.moves), indices_are_sorted=True)
        return jnp.concatenate(rows) if rows else jnp.zeros(0, jnp.float64)

    def elements(self, sigma: Int8[np.ndarray, "n n_sites"]) -> Inexact[np.ndarray, "n n_moves"]:
        """`mel` of every configuration by NumPy: nothing is traced or compiled. The coefficients must be concrete."""
        rows = [sum(np.asarray(c) * _known_product(sigma, signs) for signs, c in group) for group in self._groups]
        if self._owners is not None:
            return np.add.reduceat(rows[0], np.flatnonzero(np.diff(self._owners, prepend=-1)), axis=1)
        return np.concatenate(rows, axis=1) if rows else np.zeros((len(sigma), 0))


def _product(sigma: Sigma, signs: np.ndarray) -> Float[Array, " n"]:
    """Π σ over each row of `signs`, in which -1 stands for no site."""
    if signs.shape[1] == 0:
        return jnp.ones(len(signs), jnp.float64)
    picked = sigma[signs]
    if np.any(signs < 0):
        picked = jnp.where(signs < 0, jnp.ones((), sigma.dtype), picked)
    return jnp.prod(picked, axis=-1).astype(jnp.float64)  # ±1 stays exact in int8


def _known_product(sigma: np.ndarray, signs: np.ndarray) -> np.ndarray:
    return np.prod(np.where(signs < 0, np.int8(1), sigma[:, signs]), axis=-1, dtype=np.int8).astype(np.float64)


def compile(terms: Sequence[Terms], n_sites: int) -> LocalOperator:
    """Group `terms` by the sites they flip.

    Raises:
        ValueError: a site outside 0..n_sites-1, a site twice in one string, or a letter other than X, Y, Z.
    """
    for letters, sites, _ in terms:
        _check(letters, np.asarray(sites).reshape(-1, len(letters)), n_sites)
    if len(terms) > FEW:
        return _merged(terms)
    diagonal: list[_Strings] = []
    groups: dict[tuple, tuple[np.ndarray, list[_Strings]]] = {}
    for letters, sites, coefficient in terms:
        sites = np.asarray(sites, np.int32).reshape(-1, len(letters))
        flips = [k for k, p in enumerate(letters) if p in "XY"]
        signs = [k for k, p in enumerate(letters) if p in "ZY"]
        # <s|Y|-s> = -i s; an even number of Y keeps the element real.
        n_y = letters.count("Y")
        phase = (-1) ** (n_y // 2) if n_y % 2 == 0 else (-1j) ** n_y
        xp: Any = jnp if isinstance(coefficient, jax.Array) else np
        c = xp.broadcast_to(xp.asarray(coefficient), (len(sites),)) * phase
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


def _merged(terms: Sequence[Terms]) -> LocalOperator:
    """As `compile`, all strings of all letters in one array: the program does not grow with their number."""
    codes, c = table(terms), coefficients(terms)
    flips, signs, n_y = parts(codes)
    phase = np.array([1, -1j, -1, 1j])[n_y % 4]
    c = c * (phase if np.any(n_y % 2) else np.real(phase))
    owner = alike(flips)
    order = np.argsort(owner, kind="stable")
    order = order[flips[order, 0] >= 0]
    fixed, moving = np.flatnonzero(flips[:, 0] < 0), owner[order]
    first = np.flatnonzero(np.diff(moving, prepend=-1))
    diagonal = (_Strings(signs[fixed], c[fixed].real),) if len(fixed) else ()
    moves, owners = flips[order[first]].astype(np.int32), np.cumsum(np.diff(moving, prepend=moving[:1]) > 0)
    groups = ((_Strings(signs[order], c[order]),),) if len(order) else ()
    return LocalOperator(moves, diagonal, groups, owners.astype(np.int32) if groups else None)


def _check(letters: str, sites: np.ndarray, n_sites: int) -> None:
    if not letters or set(letters) - set("XYZ"):
        raise ValueError(f"Pauli string {letters!r}: letters must be X, Y or Z")
    if sites.size and (sites.min() < 0 or sites.max() >= n_sites):
        raise ValueError(f"Pauli string {letters!r}: sites must be 0..{n_sites - 1}, got {sites.min()}..{sites.max()}")
    if sites.size and np.any(np.diff(np.sort(sites, axis=1), axis=1) == 0):
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


def spectrum(terms: Sequence[Terms]) -> tuple[float, float]:
    """Bounds of every eigenvalue: tr H / 2^N ∓ Σ |c|; a Pauli string has the eigenvalues ±1 and no trace."""
    radius = sum(float(np.sum(_sizes(term))) for term in terms)
    return -radius, radius


def flip_energy(terms: Sequence[Terms], n_sites: int) -> float:
    """What turning one spin costs at most: twice the largest sum of |c| of the strings on a site."""
    sums = np.zeros(n_sites)
    for term in terms:
        for column in np.asarray(term.sites, np.int64).reshape(-1, len(term.operators)).T:
            np.add.at(sums, column, _sizes(term))
    return 2 * float(np.max(sums, initial=0.0))


def _sizes(term: Terms) -> np.ndarray:
    n_strings = np.asarray(term.sites).size // len(term.operators)
    return np.broadcast_to(np.abs(np.asarray(term.coefficient)), (n_strings,))


def is_invariant(terms: Sequence[Terms], permutation: Int32[np.ndarray, " n_sites"]) -> bool:
    """Whether Σ terms stays the same when site permutation[i] is called i; concrete coefficients, any size."""
    codes, c = table(terms), coefficients(terms)
    numbers = alike(np.concatenate([codes, renamed(codes, np.argsort(permutation))]))
    size = np.bincount(numbers, np.tile(np.abs(c), 2))
    # Σ terms - Σ renamed terms, string by string
    left = np.bincount(numbers, np.concatenate([np.real(c), -np.real(c)]))
    return bool(np.all(np.abs(left) <= 1e-12 * size))


def is_flip_invariant(terms: Sequence[Terms]) -> bool:
    """Whether Σ terms stays the same when every spin is flipped: Y and Z change their sign."""
    odd = [(letters.count("Y") + letters.count("Z")) % 2 for letters, _, _ in terms]
    return not any(np.any(coefficient) for (_, _, coefficient), o in zip(terms, odd, strict=True) if o)


def conserves_sz(groups: Sequence[Masks]) -> bool:
    """Whether every matrix element between states of different total S^z vanishes."""
    for flip, signs, amplitude in (g for g in groups if g.flip):
        flipped = [k for k in range(62) if flip >> k & 1]
        width = len(flipped)
        if width % 2 or width > MOST_FLIPPED:
            return False
        inside = np.sum([((signs >> k) & 1) << i for i, k in enumerate(flipped)], axis=0)
        patterns = np.arange(1 << width)
        changed = patterns[2 * np.bitwise_count(patterns) != width]
        # Signs of sites that are not flipped vary independently: each of their products must vanish by itself.
        outside = signs & ~flip
        for other in np.unique(outside):
            chosen = outside == other
            # A function that lives on half filled patterns alone has many Fourier components.
            if np.count_nonzero(chosen) * math.comb(width, width // 2) < 1 << width:
                return False
            part = Masks(flip, inside[chosen], amplitude[chosen])
            if np.any(np.abs(part.elements(changed)) > 1e-14 * np.abs(part.amplitude).sum()):
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
