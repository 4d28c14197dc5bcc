"""The lowest levels by sparse Lanczos, refused before anything is allocated where they would not fit."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.hamiltonians import Hamiltonian
from nqs_core.operators import Masks, conserves_sz, masks
from nqs_core.reference.blocks import Block, elements_per_row, field_product, is_field_only, matrix, split

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


def lowest_levels(
    hamiltonian: Hamiltonian, sz: float | None = None, levels: int = 1, memory_limit: float = MEMORY_LIMIT
) -> list[Level]:
    """The `levels` lowest levels of the sector of total S^z = `sz` (None: whole space), with multiplicity.

    Raises:
        TooLargeError: the estimate of the memory exceeds `memory_limit` bytes.
        ConfigError: H does not conserve S^z.
    """
    plan = _plan(hamiltonian, sz, levels, memory_limit)
    found: list[Level] = []
    for block in plan.blocks:
        for level in _block_levels(plan.groups, block, min(levels, block.dim)):
            found += [level] * block.multiplicity
    return sorted(found)[:levels]


def estimate(hamiltonian: Hamiltonian, sz: float | None = None, levels: int = 1) -> Estimate:
    """What `lowest_levels` would take.

    Raises:
        TooLargeError: more than 40 spins, or a sector with more states than that.
    """
    return _plan(hamiltonian, sz, levels, math.inf).estimate


class _Plan(NamedTuple):
    groups: list[Masks]
    blocks: list[Block]
    estimate: Estimate


def _plan(hamiltonian: Hamiltonian, sz: float | None, levels: int, memory_limit: float) -> _Plan:
    n = hamiltonian.lattice.n_sites
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
    blocks = split(groups, n, sz, ground=levels == 1)
    costs = [_cost(groups, block, levels) for block in blocks]
    largest = max(range(len(blocks)), key=lambda k: costs[k][0])
    n_bytes = costs[largest][0]
    if n_bytes > memory_limit:
        raise TooLargeError(
            f"exact diagonalisation of {blocks[largest].text} needs {n_bytes / 1e9:.3g} GB "
            f"(limit {memory_limit / 1e9:.3g} GB)"
        )
    total = Estimate(blocks[largest].dim, n_bytes, sum(seconds for _, seconds in costs), blocks[largest].text)
    return _Plan(groups, blocks, total)


def _log10_binomial(n: int, k: float) -> float:
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(10)


def _subspace(levels: int) -> int:
    return max(4 * levels, 24)


def _is_small(block: Block, levels: int) -> bool:
    """Whether the block is diagonalised in full: always where Lanczos would span it anyway."""
    return block.dim <= max(_DENSE, _subspace(levels))


def _cost(groups: Sequence[Masks], block: Block, levels: int) -> tuple[float, float]:
    """Bytes and seconds."""
    width = max((g.amplitude.itemsize for g in groups), default=8)
    vectors = width * block.dim * (_subspace(levels) + 2.0)
    if _is_small(block, levels):
        return 3.0 * width * block.dim**2, 1e-9 * block.dim**3
    products = 150 + 60 * levels
    if is_field_only(groups, block):
        return vectors + 8.0 * block.dim, products * block.dim * 1.5e-9 * block.n_sites
    stored = elements_per_row(groups, block) * block.dim
    seconds = stored * 5e-8 + products * (stored * 2e-9 + block.dim * 4e-8)
    return vectors + (width + 4.0) * stored + 8.0 * block.dim, seconds


def _block_levels(groups: Sequence[Masks], block: Block, levels: int) -> list[Level]:
    dtype = np.result_type(np.float64, *(g.amplitude.dtype for g in groups))
    if is_field_only(groups, block):
        product = field_product(groups, block)
        if _is_small(block, levels):
            return _dense(np.stack([product(e) for e in np.eye(block.dim)], axis=1), levels)
    else:
        csr = matrix(groups, block)
        if _is_small(block, levels):
            return _dense(csr.toarray(), levels)
        product = csr.dot
    return _lanczos(product, block.dim, levels, dtype)


def _dense(full: np.ndarray, levels: int) -> list[Level]:
    energies, vectors = np.linalg.eigh(full)
    residuals = np.linalg.norm(full @ vectors - vectors * energies, axis=0)
    return [Level(float(e), float(r)) for e, r in zip(energies[:levels], residuals[:levels], strict=True)]


def _lanczos(product: Callable[[np.ndarray], np.ndarray], dim: int, levels: int, dtype: np.dtype) -> list[Level]:
    energies, vectors = _eigsh(product, dim, levels, dtype, seed=1)
    # One Krylov space may hold a degenerate level once only: look again above what was found until nothing lower comes.
    while levels > 1:
        shift = energies[-1] - energies[0] + max(1.0, abs(energies[0]))
        known = vectors

        def lifted(x: np.ndarray, known: np.ndarray = known, shift: float = shift) -> np.ndarray:
            x = x.reshape(-1)
            return product(x) + shift * (known @ (known.conj().T @ x))

        extra, vector = _eigsh(lifted, dim, 1, dtype, seed=2 + vectors.shape[1])
        if extra[0] > energies[-1] - 1e-10 * max(1.0, abs(energies[-1])):
            break
        order = np.argsort(np.append(energies, extra))
        vectors = np.concatenate([vectors, vector], axis=1)[:, order]
        energies = np.append(energies, extra)[order]
        energies, vectors = energies[:levels], vectors[:, :levels]
    residuals = [np.linalg.norm(product(v) - e * v) for e, v in zip(energies, vectors.T, strict=True)]
    return [Level(float(e), float(r)) for e, r in zip(energies, residuals, strict=True)]


def _eigsh(
    product: Callable[[np.ndarray], np.ndarray], dim: int, levels: int, dtype: np.dtype, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    start = np.random.default_rng(seed).normal(size=dim).astype(dtype)
    operator = LinearOperator(shape=(dim, dim), matvec=product, dtype=dtype)  # pyright: ignore[reportCallIssue]
    energies, vectors = eigsh(operator, k=levels, which="SA", v0=start, ncv=_subspace(levels), tol=0)
    order = np.argsort(energies)
    return energies[order], vectors[:, order]
