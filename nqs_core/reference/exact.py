"""The lowest levels by sparse Lanczos, refused before anything is allocated where they would not fit."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.hamiltonians import Hamiltonian
from nqs_core.operators import Masks, conserves_sz, masks
from nqs_core.reference import momentum
from nqs_core.reference.blocks import Block, elements_per_row, field_product, is_field_only, matrix, split

Tick = Callable[[], None]
Product = Callable[[np.ndarray], np.ndarray]

MEMORY_LIMIT = 8e9
MAX_SITES = 40  # beyond this even one vector is refused, without looking at the terms
_DENSE = 256  # blocks up to this size are diagonalised in full


class Estimate(NamedTuple):
    """States and bytes of the largest block; seconds for all blocks on one ordinary core (within a factor 3)."""

    dim: int
    n_bytes: float
    seconds: float
    text: str


class Level(NamedTuple):
    """An eigenvalue and the norm of H ψ - E ψ, which bounds its error."""

    energy: float
    residual: float


class Labels(NamedTuple):
    """A subspace: total S^z, integers of the momentum k_a = 2π m_a / L_a, eigenvalue of the flip of all spins."""

    sz: float | None = None
    momentum: tuple[int, ...] | None = None
    spin_flip: int | None = None


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
        ConfigError: H does not have a symmetry that a label needs.
    """
    plan = _plan(hamiltonian, labels, levels, memory_limit)
    found: list[Level] = []
    for block in plan.blocks:
        project = None
        if labels.momentum is not None:
            project = momentum.projector(hamiltonian.lattice, labels.momentum, block)
        small = _is_small(block, levels, plan.n_parts)
        product = _product(plan.groups, block, tick)
        for level in _block_levels(product, plan.groups, block, min(levels, block.dim), plan.dtype, project, small):
            found += [level] * block.multiplicity
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
    n_parts: int
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
    n_parts = 1
    if labels.momentum is not None:
        n_parts = len(hamiltonian.lattice.translations())
        momentum.require_invariant(groups, hamiltonian.lattice)
        if momentum.is_complex(hamiltonian.lattice, labels.momentum):
            dtype = np.dtype(np.complex128)
    blocks = split(groups, n, sz, levels == 1, labels.spin_flip)
    costs = [_cost(groups, block, levels, dtype.itemsize, n_parts) for block in blocks]
    largest = max(range(len(blocks)), key=lambda k: costs[k][0])
    n_bytes = costs[largest][0]
    if n_bytes > memory_limit:
        raise TooLargeError(
            f"exact diagonalisation of {blocks[largest].text} needs {n_bytes / 1e9:.3g} GB "
            f"(limit {memory_limit / 1e9:.3g} GB)"
        )
    total = Estimate(blocks[largest].dim, n_bytes, sum(seconds for _, seconds in costs), blocks[largest].text)
    return _Plan(groups, blocks, dtype, n_parts, total)


def _log10_binomial(n: int, k: float) -> float:
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(10)


def _subspace(levels: int) -> int:
    return max(4 * levels, 24)


def _is_small(block: Block, levels: int, n_parts: int) -> bool:
    """Whether the block, of which one of `n_parts` momenta counts, is diagonalised in full.

    Always where a Krylov space would span it anyway.
    """
    return block.dim <= max(_DENSE, 4 * n_parts * _subspace(levels) if n_parts > 1 else _subspace(levels))


def _cost(groups: Sequence[Masks], block: Block, levels: int, width: int, n_parts: int) -> tuple[float, float]:
    """Bytes and seconds."""
    vectors = width * block.dim * (_subspace(levels) + 2.0)
    if _is_small(block, levels, n_parts):
        return 3.0 * width * block.dim**2, 1e-9 * block.dim**3
    products = 150 + 60 * levels
    if is_field_only(groups, block):
        return vectors + 8.0 * block.dim, products * block.dim * 1.5e-9 * block.n_sites
    stored = elements_per_row(groups, block) * block.dim
    seconds = stored * 5e-8 + products * (stored * 2e-9 + block.dim * 4e-8)
    return vectors + (width + 4.0) * stored + 8.0 * block.dim, seconds


def _product(groups: Sequence[Masks], block: Block, tick: Tick | None) -> Product:
    bare = field_product(groups, block, tick) if is_field_only(groups, block) else matrix(groups, block, tick).dot
    if tick is None:
        return bare

    def product(x: np.ndarray) -> np.ndarray:
        tick()
        return bare(x)

    return product


def _block_levels(
    product: Product,
    groups: Sequence[Masks],
    block: Block,
    levels: int,
    dtype: np.dtype,
    project: Product | None,
    small: bool,
) -> list[Level]:
    if project is None:
        if small:
            return _dense(_columns(product, block.dim), levels)
        return _lanczos(product, block.dim, levels, dtype)
    if small:
        weights, vectors = np.linalg.eigh(_columns(project, block.dim))
        inside = vectors[:, weights > 0.5]
        return _dense(inside.conj().T @ _columns(product, block.dim) @ inside, levels)
    # Below the bound c every level inside the subspace is negative as P (H - c) P, and everything outside is 0.
    c = 1.0 + sum(float(np.abs(g.amplitude).sum()) for g in groups)
    shifted = _lanczos(lambda x: project(product(x) - c * x), block.dim, levels, dtype, project)
    return [Level(level.energy + c, level.residual) for level in shifted if level.energy < -0.5]


def _columns(product: Product, dim: int) -> np.ndarray:
    return np.stack([product(e) for e in np.eye(dim)], axis=1)


def _dense(full: np.ndarray, levels: int) -> list[Level]:
    energies, vectors = np.linalg.eigh(full)
    residuals = np.linalg.norm(full @ vectors - vectors * energies, axis=0)
    return [Level(float(e), float(r)) for e, r in zip(energies[:levels], residuals[:levels], strict=True)]


def _lanczos(product: Product, dim: int, levels: int, dtype: np.dtype, project: Product | None = None) -> list[Level]:
    start = _start(1, dim, dtype, project)
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

        extra, vector = _eigsh(lifted, _start(2, dim, dtype, project), 1)
        if extra[0] > energies[-1] - 1e-10 * max(1.0, abs(energies[-1])):
            break
        order = np.argsort(np.append(energies, extra))
        vectors = np.concatenate([vectors, vector], axis=1)[:, order]
        energies = np.append(energies, extra)[order]
        energies, vectors = energies[:levels], vectors[:, :levels]
    residuals = [np.linalg.norm(product(v) - e * v) for e, v in zip(energies, vectors.T, strict=True)]
    return [Level(float(e), float(r)) for e, r in zip(energies, residuals, strict=True)]


def _start(seed: int, dim: int, dtype: np.dtype, project: Product | None) -> np.ndarray:
    start = np.random.default_rng(seed).normal(size=dim).astype(dtype)
    return start if project is None else project(start)


def _eigsh(product: Product, start: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    shape = (len(start), len(start))
    operator = LinearOperator(shape=shape, matvec=product, dtype=start.dtype)  # pyright: ignore[reportCallIssue]
    energies, vectors = eigsh(operator, k=levels, which="SA", v0=start, ncv=_subspace(levels), tol=0)
    order = np.argsort(energies)
    return energies[order], vectors[:, order]
