"""Symmetry blocks of the space of n spins 1/2: which there are, their bases, and H in each."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from nqs_core.errors import ConfigError
from nqs_core.operators import Masks, conserves_sz

CHUNK = 2**15  # rows built at a time, so that work arrays stay small


@dataclass(frozen=True)
class Block:
    """States with `n_up` up spins (None: any), even or odd (`parity` ±1) under the flip of all spins (None: not used).

    `multiplicity` blocks of the whole space have this spectrum. A basis state with a parity stands for
    (|s⟩ + parity |flipped s⟩) / √2, where s has site n-1 up.
    """

    n_sites: int
    n_up: int | None
    parity: int | None
    multiplicity: int = 1

    @property
    def dim(self) -> int:
        """Number of basis states."""
        whole = 2**self.n_sites if self.n_up is None else math.comb(self.n_sites, self.n_up)
        return whole if self.parity is None else whole // 2

    @property
    def text(self) -> str:
        """For messages."""
        sz = "" if self.n_up is None else f" in Sz = {self.n_up - self.n_sites / 2:g}"
        return f"{self.n_sites} spins{sz}"


def split(
    groups: Sequence[Masks], n_sites: int, sz: float | None, ground: bool, spin_flip: int | None = None
) -> list[Block]:
    """The blocks that hold the levels of a sector: total S^z = `sz`, eigenvalue `spin_flip` of the flip of all spins.

    With `ground`, blocks that are not needed for the lowest level are left out: every multiplet of an SU(2) invariant H
    has a member with the smallest |S^z|.

    Raises:
        ConfigError: an eigenvalue of the flip of all spins is asked for where it is no symmetry.
    """
    flips = all(not np.any(np.bitwise_count(group.signs) % 2) for group in groups)
    if spin_flip is not None and not (flips and sz in (None, 0.0)):
        raise ConfigError(f"sector.spin_flip = {spin_flip:+d} needs S^z = 0 (or none) and no field along z")
    parities = (1, -1) if spin_flip is None else (spin_flip,)

    def at(n_up: int, multiplicity: int = 1) -> list[Block]:
        if flips and 2 * n_up == n_sites:
            return [Block(n_sites, n_up, parity, multiplicity) for parity in parities]
        return [Block(n_sites, n_up, None, multiplicity)]

    if sz is not None:
        return at(round(n_sites / 2 + sz))
    if not conserves_sz(groups):
        return [Block(n_sites, None, p) for p in (parities if flips else (None,))]
    if ground and spin_flip is None and is_su2_invariant(groups):
        return at((n_sites + 1) // 2)
    if flips:
        # ±S^z: both, or the one combination with the given eigenvalue.
        twice = len(parities)
        half = (n_sites + 1) // 2
        return [b for n_up in range(half, n_sites + 1) for b in at(n_up, 1 if 2 * n_up == n_sites else twice)]
    return [b for n_up in range(n_sites + 1) for b in at(n_up)]


def is_su2_invariant(groups: Sequence[Masks]) -> bool:
    """Whether H is a sum of pair terms a_ij σ_i·σ_j."""
    diagonal: dict[int, complex] = {}
    for group in groups:
        if group.flip == 0:
            diagonal.update(zip(group.signs.tolist(), group.amplitude.tolist(), strict=True))
    for group in groups:
        if group.flip == 0:
            continue
        strings = dict(zip(group.signs.tolist(), group.amplitude.tolist(), strict=True))
        # XX has no sign mask and amplitude a; YY has both sites and amplitude a (-i)² = -a.
        a = diagonal.pop(group.flip, 0.0)
        if group.flip.bit_count() != 2 or set(strings) != {0, group.flip}:
            return False
        if abs(strings[0] - a) > 1e-14 * abs(a) or abs(strings[group.flip] + a) > 1e-14 * abs(a):
            return False
    return not diagonal


def elements_per_row(groups: Sequence[Masks], block: Block) -> float:
    """Mean number of stored elements of a row, from above; exact for exchange terms."""
    total = 1.0
    for group in groups:
        flipped = group.flip.bit_count()
        if flipped == 0:
            continue
        if block.n_up is None:
            total += 1.0
        else:
            rest = block.n_up - flipped // 2
            if 0 <= rest <= block.n_sites - flipped:
                share = math.comb(flipped, flipped // 2) * math.comb(block.n_sites - flipped, rest)
                total += share / math.comb(block.n_sites, block.n_up)
    return total


def is_field_only(groups: Sequence[Masks], block: Block) -> bool:
    """Whether H = diagonal - Σ_i h_i σˣ_i, for which no matrix is needed."""
    single = all(g.flip == 0 or (g.flip.bit_count() == 1 and g.signs.tolist() == [0]) for g in groups)
    return single and block.n_up is None


def field_product(
    groups: Sequence[Masks], block: Block, tick: Callable[[], None] | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """x ↦ H x without a matrix, by strided views: (σˣ_i x)[s] = x[s ^ 2^i]; `tick` per chunk of the diagonal."""
    n, top = block.n_sites, 1 << (block.n_sites - 1)
    fields = {g.flip: float(g.amplitude[0]) for g in groups if g.flip}
    diagonal = np.zeros(block.dim)
    for start in range(0, block.dim, CHUNK):
        if tick:
            tick()
        states = np.arange(start, min(start + CHUNK, block.dim))
        for group in groups:
            if group.flip == 0:
                diagonal[start : start + CHUNK] += group.elements(states)

    def product(x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x).reshape(-1)
        out = diagonal * x
        for site in range(n if block.parity is None else n - 1):
            if (h := fields.get(1 << site, 0.0)) != 0:
                view = x.reshape(-1, 2, 1 << site)
                out.reshape(view.shape)[...] += h * view[:, ::-1]
        if block.parity is not None and (h := fields.get(top, 0.0)) != 0:
            out += h * block.parity * x[::-1]  # flipping the last site = complement of the others, times the parity
        return out

    return product


class Codes:
    """The states of a block in rising order, and the position of a state by two small tables.

    A state is high bits over low bits; within equal high bits the states are those low patterns that have the right
    number of down spins, so that position = offset[high] + rank[low].
    """

    def __init__(self, block: Block) -> None:
        n, half = block.n_sites, block.n_sites // 2
        self.half, self.mask = half, (1 << half) - 1
        lows = np.arange(1 << half)
        if block.n_up is None:
            self.rank, self.offset = lows, np.arange(1 << (n - half)) << half
            self.codes = np.arange(block.dim)
            return
        n_down = n - block.n_up
        by_count = [lows[np.bitwise_count(lows) == c] for c in range(half + 1)]
        self.rank = np.zeros(1 << half, np.int64)
        for members in by_count:
            self.rank[members] = np.arange(len(members))
        self.offset = np.zeros(1 << (n - half), np.int64)
        self.codes = np.empty(block.dim, np.int64)
        filled = 0
        for high in range(1 << (n - half)):
            self.offset[high] = filled
            need = n_down - high.bit_count()
            if filled < block.dim and 0 <= need <= half:
                members = by_count[need]
                self.codes[filled : filled + len(members)] = (high << half) | members
                filled += len(members)

    def position(self, states: np.ndarray) -> np.ndarray:
        return self.offset[states >> self.half] + self.rank[states & self.mask]


def matrix(groups: Sequence[Masks], block: Block, tick: Callable[[], None] | None = None) -> scipy.sparse.csr_matrix:
    """H in the basis of the block, filled chunk by chunk into arrays of the estimated size; `tick` per chunk."""
    table = Codes(block)
    dtype = np.result_type(np.float64, *(g.amplitude.dtype for g in groups))
    offdiagonal = [g for g in groups if g.flip]
    room = int(elements_per_row(groups, block) * block.dim * 1.001) + len(groups) + 1
    values, columns = np.empty(room, dtype), np.empty(room, np.int32)
    starts = np.zeros(block.dim + 1, np.int64)
    full, top = (1 << block.n_sites) - 1, 1 << (block.n_sites - 1)
    filled = 0
    for start in range(0, block.dim, CHUNK):
        if tick:
            tick()
        states = table.codes[start : start + CHUNK]
        chunk_values = np.zeros((len(states), len(offdiagonal) + 1), dtype)
        chunk_columns = np.zeros(chunk_values.shape, np.int32)
        chunk_columns[:, 0] = np.arange(start, start + len(states))
        for group in groups:
            if group.flip == 0:
                chunk_values[:, 0] = group.elements(states)
        for k, group in enumerate(offdiagonal, start=1):
            elements, targets = group.elements(states), states ^ group.flip
            if block.parity is not None:
                crossed = (targets & top) != 0
                targets = np.where(crossed, full ^ targets, targets)
                elements = np.where(crossed, block.parity * elements, elements)
            chunk_values[:, k] = elements
            kept = elements != 0
            chunk_columns[kept, k] = table.position(targets[kept])
        keep = chunk_values != 0
        count = np.count_nonzero(keep)
        values[filled : filled + count], columns[filled : filled + count] = chunk_values[keep], chunk_columns[keep]
        starts[start + 1 : start + 1 + len(states)] = filled + np.cumsum(keep.sum(axis=1))
        filled += count
    shape = (block.dim, block.dim)
    return scipy.sparse.csr_matrix((values[:filled], columns[:filled], starts), shape=shape, copy=False)
