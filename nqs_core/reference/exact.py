"""The lowest levels by sparse Lanczos, refused before anything is allocated where they would not fit."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import LinearOperator, eigsh

from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.hamiltonians import Hamiltonian
from nqs_core.operators import Masks, conserves_sz, masks
from nqs_core.reference.blocks import Block, elements_per_row, field_product, is_field_only, matrix, split
from nqs_core.reference.projection import Projection, basis, projection, require_invariant

Tick = Callable[[], None]
Product = Callable[[np.ndarray], np.ndarray]

MEMORY_LIMIT = 8e9
MAX_SITES = 40  # beyond this even one vector is refused, without looking at the terms
_DENSE = 256  # blocks up to this size are diagonalised in full


class Estimate(NamedTuple):
    """States and bytes of the largest block; seconds for all blocks on one ordinary core (within a factor 3).

    Of momenta and irreps the number of states is about right: their share of the block.
    """

    dim: int
    n_bytes: float
    seconds: float
    text: str


class Level(NamedTuple):
    """An eigenvalue and the norm of H ψ - E ψ, which bounds its error."""

    energy: float
    residual: float


class Labels(NamedTuple):
    """A subspace: total S^z, integers of the momentum k_a = 2π m_a / L_a, eigenvalue of the flip of all spins, irrep.

    The irrep is one of the little group of the momentum, without a momentum one of the whole point group.
    """

    sz: float | None = None
    momentum: tuple[int, ...] | None = None
    spin_flip: int | None = None
    point_group: str | None = None


WHOLE = Labels()


def lowest_levels(
    hamiltonian: Hamiltonian,
    labels: Labels = WHOLE,
    levels: int = 1,
    memory_limit: float = MEMORY_LIMIT,
    tick: Tick | None = None,
) -> list[Level]:
    """The `levels` lowest levels of a subspace, with multiplicity.

    Args:
        memory_limit: in bytes.
        tick: called before each product with H and each chunk of its matrix; what it raises ends the computation.

    Raises:
        TooLargeError: the estimate of the memory exceeds `memory_limit` bytes.
        ConfigError: H does not have a symmetry that a label needs, or no state has all labels.
    """
    plan = _plan(hamiltonian, labels, levels, memory_limit)
    found: list[Level] = []
    for block in plan.blocks:
        inside = None if plan.projection is None else basis(plan.projection, block)
        product, dim = _product(plan.groups, block, tick), block.dim
        if inside is not None:
            real = not any(np.iscomplexobj(g.amplitude) for g in plan.groups)
            product, dim = restricted(product, inside, real), inside.get_shape()[1]
        for level in _block_levels(product, dim, min(levels, dim), plan.dtype):
            found += [level] * block.multiplicity
    if not found:
        raise ConfigError(f"no state of {hamiltonian.lattice.n_sites} spins has all labels of the sector")
    return sorted(found)[:levels]


def estimate(hamiltonian: Hamiltonian, labels: Labels = WHOLE, levels: int = 1) -> Estimate:
    """What `lowest_levels` would take.

    Raises:
        TooLargeError: more than 40 spins, or a sector with more states than that.
    """
    return _plan(hamiltonian, labels, levels, math.inf).estimate


class _Plan(NamedTuple):
    groups: list[Masks]
    blocks: list[Block]
    dtype: np.dtype
    projection: Projection | None
    estimate: Estimate


def _plan(hamiltonian: Hamiltonian, labels: Labels, levels: int, memory_limit: float) -> _Plan:
    n, sz = hamiltonian.lattice.n_sites, labels.sz
    if n > MAX_SITES:  # before the terms, which a large lattice cannot even list
        exponent = n * math.log10(2) if sz is None else _log10_binomial(n, n / 2 + sz)
        where = "" if sz is None else f" in Sz = {sz:g}"
        limit = f" (limit {memory_limit / 1e9:.3g} GB)" if math.isfinite(memory_limit) else ""
        raise TooLargeError(
            f"exact diagonalisation of {n} spins{where} needs about 10^{exponent + math.log10(2e-7):.0f} GB{limit}"
        )
    groups = masks(hamiltonian.terms(), n)
    if sz is not None and not conserves_sz(groups):
        raise ConfigError(f"sector.sz = {sz:g} needs a Hamiltonian that conserves S^z; {hamiltonian!r} does not")
    dtype = np.result_type(np.float64, *(g.amplitude.dtype for g in groups))
    part = None
    if labels.momentum is not None or labels.point_group is not None:
        where = hamiltonian.lattice, labels.momentum, labels.point_group
        require_invariant(groups, *where)
        part = projection(*where)
        dtype = np.result_type(dtype, np.float64 if part.width == 8 else np.complex128)
    blocks = split(groups, n, sz, levels == 1, labels.spin_flip)
    costs = [_cost(groups, block, levels, dtype.itemsize, part) for block in blocks]
    largest = max(range(len(blocks)), key=lambda k: costs[k][0])
    n_bytes = costs[largest][0]
    if n_bytes > memory_limit:
        raise TooLargeError(
            f"exact diagonalisation of {blocks[largest].text} needs {n_bytes / 1e9:.3g} GB "
            f"(limit {memory_limit / 1e9:.3g} GB)"
        )
    dim = math.ceil(blocks[largest].dim / (part.parts if part else 1.0))
    total = Estimate(dim, n_bytes, sum(seconds for _, seconds in costs), blocks[largest].text)
    return _Plan(groups, blocks, dtype, part, total)


def _log10_binomial(n: int, k: float) -> float:
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(10)


def _subspace(levels: int) -> int:
    return max(4 * levels, 24)


def _is_small(dim: float, levels: int) -> bool:
    """Whether a space is diagonalised in full; always where a Krylov space would span it anyway."""
    return dim <= max(_DENSE, _subspace(levels))


def _cost(
    groups: Sequence[Masks], block: Block, levels: int, width: int, part: Projection | None
) -> tuple[float, float]:
    """Bytes and seconds."""
    n_bytes, seconds, dim = 0.0, 0.0, float(block.dim)
    if part is not None:
        n_bytes, seconds, dim = part.bytes(block), part.seconds(block), block.dim / part.parts
    vectors = width * dim * (_subspace(levels) + 2.0)
    products = 150 + 60 * levels
    if _is_small(dim, levels):
        vectors, products, seconds = 3.0 * width * dim**2, dim, seconds + 1e-9 * dim**3
    if is_field_only(groups, block):
        return n_bytes + vectors + 8.0 * block.dim, seconds + products * block.dim * 1.5e-9 * block.n_sites
    stored = elements_per_row(groups, block) * block.dim
    seconds += stored * 5e-8 + products * (stored * 2e-9 + block.dim * 4e-8)
    return n_bytes + vectors + (width + 4.0) * stored + 8.0 * block.dim, seconds


def _product(groups: Sequence[Masks], block: Block, tick: Tick | None) -> Product:
    bare = field_product(groups, block, tick) if is_field_only(groups, block) else matrix(groups, block, tick).dot
    if tick is None:
        return bare

    def product(x: np.ndarray) -> np.ndarray:
        tick()
        return bare(x)

    return product


def restricted(product: Product, inside: scipy.sparse.csr_matrix, real: bool) -> Product:
    """H between the columns of `inside`, whose span it keeps."""
    adjoint = inside.conj().T.tocsr()

    def restricted(x: np.ndarray) -> np.ndarray:
        x = inside @ x
        if real and np.iscomplexobj(x):  # SciPy would copy the real matrix into a complex one each time
            return adjoint @ (product(np.real(x)) + 1j * product(np.imag(x)))
        return adjoint @ product(x)

    return restricted


def _block_levels(product: Product, dim: int, levels: int, dtype: np.dtype) -> list[Level]:
    if dim == 0:
        return []
    if _is_small(float(dim), levels):
        return _dense(_columns(product, dim), levels)
    return _lanczos(product, dim, levels, dtype)


def _columns(product: Product, dim: int) -> np.ndarray:
    return np.stack([product(e) for e in np.eye(dim)], axis=1)


def _dense(full: np.ndarray, levels: int) -> list[Level]:
    energies, vectors = np.linalg.eigh(full)
    residuals = np.linalg.norm(full @ vectors - vectors * energies, axis=0)
    return [Level(float(e), float(r)) for e, r in zip(energies[:levels], residuals[:levels], strict=True)]


def _lanczos(product: Product, dim: int, levels: int, dtype: np.dtype) -> list[Level]:
    start = _start(1, dim, dtype)
    if not np.any(product(start)):  # H = 0, where ARPACK gives up
        return [Level(0.0, 0.0)] * levels
    energies, vectors = _eigsh(product, start, levels)
    # One Krylov space may hold a degenerate level once only: look again above what was found until nothing lower comes.
    while levels > 1:
        shift = energies[-1] - energies[0] + max(1.0, abs(energies[0]))
        known = vectors

        def lifted(x: np.ndarray, known: np.ndarray = known, shift: float = shift) -> np.ndarray:
            x = x.reshape(-1)
            return product(x) + shift * (known @ (known.conj().T @ x))

        extra, vector = _eigsh(lifted, _start(2, dim, dtype), 1)
        if extra[0] > energies[-1] - 1e-10 * max(1.0, abs(energies[-1])):
            break
        order = np.argsort(np.append(energies, extra))
        vectors = np.concatenate([vectors, vector], axis=1)[:, order]
        energies = np.append(energies, extra)[order]
        energies, vectors = energies[:levels], vectors[:, :levels]
    residuals = [np.linalg.norm(product(v) - e * v) for e, v in zip(energies, vectors.T, strict=True)]
    return [Level(float(e), float(r)) for e, r in zip(energies, residuals, strict=True)]


def _start(seed: int, dim: int, dtype: np.dtype) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=dim).astype(dtype)


def _eigsh(product: Product, start: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    shape = (len(start), len(start))
    operator = LinearOperator(shape=shape, matvec=product, dtype=start.dtype)  # pyright: ignore[reportCallIssue]
    energies, vectors = eigsh(operator, k=levels, which="SA", v0=start, ncv=_subspace(levels), tol=0)
    order = np.argsort(energies)
    return energies[order], vectors[:, order]
