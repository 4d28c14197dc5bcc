"""The ground states of a small system, all of a degenerate level."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from nqs_core.errors import ConfigError
from nqs_core.hamiltonians import Hamiltonian
from nqs_core.operators import Masks, masks
from nqs_core.reference.blocks import Block, Codes, elements_per_row, field_product, is_field_only, matrix, split
from nqs_core.reference.exact import WHOLE, Labels, Product, restricted
from nqs_core.reference.projection import Projection, basis, projection, require_invariant
from nqs_core.sector import Sector

WORK = 6e8  # numbers that the products may touch: about two seconds of one core
NCV = 32  # Lanczos vectors
MAX_DEGENERACY = 32
TOLERANCE = 1e-9  # relative to a bound of the norm of H: what counts as one level
_DENSE = 256


@lru_cache(maxsize=4)
def ground_space(hamiltonian: Hamiltonian, labels: Labels = WHOLE) -> np.ndarray | None:
    """Orthonormal lowest states of H in a subspace, as columns (size, degeneracy), in the order of `Sector.indices`.

    By Lanczos in the blocks of S^z and of the flip of all spins, which splits the nearly degenerate pairs of a symmetry
    that breaks. None where they would take more than about two seconds, are more than 32, or where H does not have the
    symmetry.

    Raises:
        TooLargeError: the sector of S^z cannot be enumerated.
    """
    lattice = hamiltonian.lattice
    states = Sector(lattice.n_sites, labels.sz).indices()
    groups = masks(hamiltonian.terms(), lattice.n_sites)
    width = TOLERANCE * sum(float(np.abs(g.amplitude).sum()) for g in groups)
    levels: list[tuple[float, Block, np.ndarray]] = []
    budget = _Budget(WORK)
    try:
        part = None
        if labels.momentum is not None or labels.point_group is not None:
            require_invariant(groups, lattice, labels.momentum, labels.point_group)
            part = projection(lattice, labels.momentum, labels.point_group)
        blocks = split(groups, lattice.n_sites, labels.sz, ground=False, spin_flip=labels.spin_flip)
        for block in sorted(blocks, key=lambda block: -block.dim):
            limit = min((level[0] for level in levels), default=np.inf) + width
            energy, vectors = _lowest(groups, block, limit, width, budget, part)
            levels.append((energy, block, vectors))
    except (_TooMuchWork, ConfigError):
        return None
    limit = min(level[0] for level in levels) + width
    lowest = [(block, vectors) for energy, block, vectors in levels if energy <= limit]
    if not 0 < sum(block.multiplicity * vectors.shape[1] for block, vectors in lowest) <= MAX_DEGENERACY:
        return None
    columns = [
        _whole(block, vector, states, turned, labels.spin_flip)
        for block, vectors in lowest
        for vector in vectors.T
        for turned in range(block.multiplicity)
    ]
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


def _lowest(
    groups: list[Masks], block: Block, limit: float, width: float, budget: _Budget, part: Projection | None
) -> tuple[float, np.ndarray]:
    """The lowest level of a block and its states; infinity and none where it is above the limit."""
    if part is None and all(g.flip == 0 for g in groups):
        diagonal = matrix(groups, block).diagonal()
        at = np.flatnonzero(diagonal <= diagonal.min() + width)[: MAX_DEGENERACY + 1]
        states = np.zeros((block.dim, len(at)))
        states[at, np.arange(len(at))] = 1.0
        return float(diagonal.min()), states
    dtype = np.result_type(np.float64, *(g.amplitude.dtype for g in groups))
    work = block.dim * (elements_per_row(groups, block) + NCV)
    budget.spend(30 * work)  # the matrix
    product: Product = field_product(groups, block) if is_field_only(groups, block) else matrix(groups, block).dot
    inside = None
    if part is not None:
        budget.spend(part.seconds(block) * WORK / 2)
        inside = basis(part, block)
        dtype = np.result_type(dtype, inside.dtype)
        real = not any(np.iscomplexobj(g.amplitude) for g in groups)
        product = restricted(product, inside, real)
    dim = block.dim if inside is None else inside.get_shape()[1]
    energy, vectors = _lowest_of(product, dim, dtype, limit, width, lambda: budget.spend(work))
    return energy, vectors if inside is None else inside @ vectors


def _lowest_of(
    product: Product, dim: int, dtype: np.dtype, limit: float, width: float, spend: Callable[[], None]
) -> tuple[float, np.ndarray]:
    if dim <= _DENSE:
        full = np.stack([product(e) for e in np.eye(dim, dtype=dtype)], axis=1) if dim else np.zeros((0, 0))
        energies, vectors = np.linalg.eigh(full)
        if not dim or energies[0] > limit:
            return np.inf, np.zeros((dim, 0))
        return float(energies[0]), vectors[:, energies <= energies[0] + width]
    # Above the largest level, whatever that is: the norm of H is at most width / TOLERANCE.
    lift = 2 * width / TOLERANCE + 1.0
    found, lowest = np.zeros((dim, 0), dtype), np.inf
    while found.shape[1] <= MAX_DEGENERACY:

        def lifted(x: np.ndarray, found: np.ndarray = found) -> np.ndarray:
            spend()
            # One Krylov space holds one state of a level: those that were found are moved away.
            return product(x) + lift * (found @ (found.conj().T @ x))

        start = np.random.default_rng(found.shape[1]).normal(size=dim).astype(dtype)
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


def _whole(block: Block, vector: np.ndarray, states: np.ndarray, turned: int, spin_flip: int | None) -> np.ndarray:
    """A vector of the block, or what the flip of all spins makes of it, in the basis `states`."""
    codes, full = Codes(block).codes, (1 << block.n_sites) - 1
    out = np.zeros(len(states), vector.dtype)
    parity = block.parity or (spin_flip if block.multiplicity == 1 else None)
    if parity is None:
        out[np.searchsorted(states, full ^ codes if turned else codes)] = vector
    else:
        out[np.searchsorted(states, codes)] = vector / np.sqrt(2)
        out[np.searchsorted(states, full ^ codes)] = parity * vector / np.sqrt(2)
    return out
