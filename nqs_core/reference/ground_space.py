"""The ground states of a small system, all of a degenerate level."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from nqs_core.hamiltonians import Hamiltonian
from nqs_core.operators import Masks, masks
from nqs_core.reference.blocks import Block, Codes, elements_per_row, field_product, is_field_only, matrix, split
from nqs_core.sector import Sector

WORK = 3e8  # numbers that the products may touch: about two seconds of one core
NCV = 32  # Lanczos vectors
MAX_DEGENERACY = 32
TOLERANCE = 1e-9  # relative to a bound of the norm of H: what counts as one level
_DENSE = 256

Product = Callable[[np.ndarray], np.ndarray]


@lru_cache(maxsize=4)
def ground_space(hamiltonian: Hamiltonian, sector: Sector) -> np.ndarray | None:
    """Orthonormal ground states of H in the sector, as columns (size, degeneracy) in the order of `sector.indices()`.

    By Lanczos in the blocks of S^z and of the flip of all spins, which splits the nearly degenerate pairs of a symmetry
    that breaks. None where they would take more than about two seconds, or are more than 32.

    Raises:
        TooLargeError: the sector cannot be enumerated.
    """
    states = sector.indices()
    groups = masks(hamiltonian.terms(), sector.n_sites)
    blocks = sorted(split(groups, sector.n_sites, sector.sz, ground=False), key=lambda b: -b.dim)
    budget = _Budget(WORK)
    width = TOLERANCE * sum(float(np.abs(g.amplitude).sum()) for g in groups)
    levels: list[tuple[float, Block, np.ndarray]] = []
    for block in blocks:
        limit = min((level[0] for level in levels), default=np.inf) + width
        try:
            energy, vectors = _lowest(groups, block, limit, width, budget)
        except _TooMuchWork:
            return None
        levels.append((energy, block, vectors))
    limit = min(level[0] for level in levels) + width
    lowest = [(block, vectors) for energy, block, vectors in levels if energy <= limit]
    if sum(block.multiplicity * vectors.shape[1] for block, vectors in lowest) > MAX_DEGENERACY:
        return None
    columns = [_whole(b, v, states, turned) for b, vs in lowest for v in vs.T for turned in range(b.multiplicity)]
    space = np.stack(columns, axis=1)
    space.flags.writeable = False
    return space


class _TooMuchWork(Exception):
    pass


class _Budget:
    """Counts work, not time, so that a run that is resumed reports the same."""

    def __init__(self, left: float) -> None:
        self._left = left

    def spend(self, work: float) -> None:
        self._left -= work
        if self._left < 0:
            raise _TooMuchWork


def _lowest(groups: list[Masks], block: Block, limit: float, width: float, budget: _Budget) -> tuple[float, np.ndarray]:
    """The lowest level of a block and its states; infinity and none where it is above the limit."""
    if all(g.flip == 0 for g in groups):
        diagonal = matrix(groups, block).diagonal()
        at = np.flatnonzero(diagonal <= diagonal.min() + width)[: MAX_DEGENERACY + 1]
        states = np.zeros((block.dim, len(at)))
        states[at, np.arange(len(at))] = 1.0
        return float(diagonal.min()), states
    product = field_product(groups, block) if is_field_only(groups, block) else matrix(groups, block).dot
    if block.dim <= _DENSE:
        energies, vectors = np.linalg.eigh(np.stack([product(e) for e in np.eye(block.dim)], axis=1))
        return float(energies[0]), vectors[:, energies <= energies[0] + width]
    dtype = np.result_type(np.float64, *(g.amplitude.dtype for g in groups))
    work = block.dim * (elements_per_row(groups, block) + NCV)
    budget.spend(30 * work)  # the matrix
    lift = 2 * sum(float(np.abs(g.amplitude).sum()) for g in groups) + 1.0
    found, lowest = np.zeros((block.dim, 0), dtype), np.inf
    while found.shape[1] <= MAX_DEGENERACY:

        def lifted(x: np.ndarray, found: np.ndarray = found) -> np.ndarray:
            budget.spend(work)
            # One Krylov space holds one state of a level: those that were found are moved away.
            return product(x) + lift * (found @ (found.conj().T @ x))

        start = np.random.default_rng(found.shape[1]).normal(size=block.dim).astype(dtype)
        energy, vector = _ground(lifted, start, limit)
        if energy > limit:
            return lowest, found
        lowest, limit = min(lowest, energy), min(limit, energy + width)
        found = np.linalg.qr(np.column_stack([found, vector]))[0]
    return lowest, found


def _ground(product: Product, start: np.ndarray, limit: float) -> tuple[float, np.ndarray]:
    """The lowest level and its vector, roughly where it is clearly above the limit."""
    shape, energy = (len(start), len(start)), np.inf

    def vector_product(x: np.ndarray) -> np.ndarray:
        return product(x.reshape(-1))

    operator = LinearOperator(shape, matvec=vector_product, dtype=start.dtype)  # pyright: ignore[reportCallIssue]
    for tolerance in (1e-3, 1e-12):
        energies, vectors = eigsh(operator, k=1, which="SA", v0=start, ncv=NCV, tol=tolerance, maxiter=10**6)  # pyright: ignore[reportArgumentType]
        energy, start = float(energies[0]), vectors[:, 0]
        if energy - np.linalg.norm(product(start) - energy * start) > limit:
            break
    return energy, start


def _whole(block: Block, vector: np.ndarray, states: np.ndarray, turned: int) -> np.ndarray:
    """A vector of the block, or what the flip of all spins makes of it, in the basis `states`."""
    codes, full = Codes(block).codes, (1 << block.n_sites) - 1
    out = np.zeros(len(states), vector.dtype)
    if block.parity is None:
        out[np.searchsorted(states, full ^ codes if turned else codes)] = vector
    else:
        out[np.searchsorted(states, codes)] = vector / np.sqrt(2)
        out[np.searchsorted(states, full ^ codes)] = block.parity * vector / np.sqrt(2)
    return out
