"""The states of a block that have a momentum and belong to an irrep of the point group."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from nqs_core.errors import ConfigError
from nqs_core.lattices import Lattice, symmetry
from nqs_core.operators import Masks
from nqs_core.reference.blocks import Block, Codes

_ZERO = 1e-8  # singular values of a few random states of one orbit; true ones are of order 1


class Projection(NamedTuple):
    """P = Π_a (1/L_a Σ_j (phase_a T_a)ʲ) · Σ_g weight_g g, with (g ψ)(σ) = ψ(g⁻¹ σ).

    shifts: (permutation, phase = exp(-i k_a), length) for each periodic axis; elements: (permutation, weight) with
    weight = d/|G| χ*(g), equal permutations taken together; parts: about the number of states for each one inside;
    width: bytes of a number.
    """

    shifts: list[tuple[np.ndarray, complex, int]]
    elements: list[tuple[np.ndarray, complex]]
    dimension: int
    parts: float
    width: int

    def bytes(self, block: Block) -> float:
        """What `basis` takes for a block at its largest, and stores."""
        gathers = len(self.shifts) + len(self.elements)
        return block.dim * (17.0 * gathers + self.dimension**2 * (6.0 * self.width + 8.0))

    def seconds(self, block: Block) -> float:
        gathers = len(self.shifts) + len(self.elements)
        return block.dim * (6e-9 * block.n_sites * gathers + 2e-6)


def projection(lattice: Lattice, momentum: tuple[int, ...] | None, irrep: str | None) -> Projection:
    """The projection on a momentum (None: all) and on an irrep of its little group (of the whole point group)."""
    shifts, parts = [], 1.0
    if momentum is not None:
        for perm, m, length in zip(symmetry.translation_generators(lattice), momentum, lattice.extent, strict=True):
            if perm is not None:
                phase = np.exp(-2j * np.pi * m / length)
                shifts.append((perm, phase if 2 * m % length else phase.real, length))
                parts *= length
    weights: dict[bytes, complex] = {}
    dimension = 1
    if irrep is not None:
        group = symmetry.point_group(lattice, momentum)
        dimension = group.dimensions[irrep]
        for perm, chi in zip(group.permutations, group.irreps[irrep], strict=True):
            weight = dimension / len(group.permutations) * np.conj(chi)
            weights[perm.tobytes()] = weights.get(perm.tobytes(), 0.0) + weight
        parts *= len(group.permutations) / dimension**2
    else:
        weights[np.arange(lattice.n_sites, dtype=np.int32).tobytes()] = 1.0
    elements = [(np.frombuffer(row, np.int32), w) for row, w in weights.items() if abs(w) > 1e-12]
    real = all(np.isrealobj(c) or c.imag == 0 for _, c, *_ in [*shifts, *elements])
    return Projection(shifts, elements, dimension, parts, 8 if real else 16)


def require_invariant(
    groups: Sequence[Masks], lattice: Lattice, momentum: tuple[int, ...] | None, irrep: str | None
) -> None:
    """Raises:
    ConfigError: H changes under a translation, or under an element of the point group.
    """
    flips = np.concatenate([np.full(len(g.signs), g.flip) for g in groups] or [np.zeros(0, int)])
    signs = np.concatenate([g.signs for g in groups] or [np.zeros(0, int)])
    values = np.concatenate([g.amplitude for g in groups] or [np.zeros(0)])

    def check(perm: np.ndarray, message: str) -> None:
        here = np.lexsort((signs, flips))
        moved_flips, moved_signs = _moved(flips, perm), _moved(signs, perm)
        there = np.lexsort((moved_signs, moved_flips))
        same = np.array_equal(flips[here], moved_flips[there]) and np.array_equal(signs[here], moved_signs[there])
        if not same or np.any(np.abs(values[here] - values[there]) > 1e-12 * np.abs(values[here])):
            raise ConfigError(message)

    if momentum is not None:
        for perm in symmetry.translation_generators(lattice):
            if perm is not None:
                check(perm, "sector.momentum needs a Hamiltonian that is invariant under translations")
    if irrep is not None:
        group = symmetry.point_group(lattice, momentum)
        for perm in group.permutations:
            check(perm, f"sector.point_group needs a Hamiltonian that is invariant under its group, {group.name}")


def _moved(masks: np.ndarray, perm: np.ndarray) -> np.ndarray:
    out = np.zeros_like(masks)
    for site, source in enumerate(perm.tolist()):
        out |= ((masks >> source) & 1) << site
    return out


def basis(found: Projection, block: Block) -> scipy.sparse.csr_matrix:
    """Orthonormal states that span the range of P in a block, as columns, (dim, number of states).

    P mixes the states of one orbit only. In each its range, of dimension d² at most, is that of P on a few random
    states.
    """
    table = Codes(block)
    shifts = [(*_gather(table, block, perm), phase, length) for perm, phase, length in found.shifts]
    elements = [(*_gather(table, block, perm), weight) for perm, weight in found.elements]
    if not elements:
        return scipy.sparse.csr_matrix((block.dim, 0))
    sources = [step[0] for step in (*shifts, *elements)]
    starts = np.arange(block.dim + 1, dtype=np.int64) * len(sources)
    joined = np.ones(block.dim * len(sources), np.int8), np.stack(sources, axis=1).ravel(), starts
    _, orbit = connected_components(scipy.sparse.csr_array(joined, shape=(block.dim, block.dim)), directed=False)
    seeds = np.random.default_rng(0).normal(size=(block.dim, 2 * found.dimension**2))
    for source, sign, phase, length in shifts:
        moved, total = seeds, seeds
        for _ in range(length - 1):
            moved = phase * (sign[:, None] * moved[source])
            total = total + moved
        seeds = total / length
    terms = (weight * (sign[:, None] * seeds[source]) for source, sign, weight in elements)
    return _span(sum(terms, start=np.zeros((1, 1))), orbit)


def _gather(table: Codes, block: Block, perm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position and sign of g⁻¹ s for every basis state s: (g⁻¹ σ)[perm[i]] = σ[i]."""
    full, top = (1 << block.n_sites) - 1, 1 << (block.n_sites - 1)
    source = np.zeros_like(table.codes)
    for site, target in enumerate(perm.tolist()):
        source |= ((table.codes >> site) & 1) << target
    sign = np.ones(block.dim, np.int8)
    if block.parity is not None:
        crossed = (source & top) != 0
        source = np.where(crossed, full ^ source, source)
        sign[crossed] = block.parity
    return table.position(source).astype(np.int32), sign


def _span(vectors: np.ndarray, orbit: np.ndarray) -> scipy.sparse.csr_matrix:
    """Orthonormal columns with the range of `vectors`, separately on each orbit."""
    order, sizes = np.argsort(orbit, kind="stable"), np.bincount(orbit)
    starts = np.cumsum(sizes) - sizes
    rows, columns, values, filled = [], [], [], 0
    for size in np.unique(sizes):
        members = order[starts[sizes == size][:, None] + np.arange(size)]  # (orbit, member)
        left, singular, _ = np.linalg.svd(vectors[members], full_matrices=False)
        which, k = np.nonzero(singular > _ZERO)
        rows.append(members[which].ravel())
        columns.append(np.repeat(np.arange(filled, filled + len(which)), size))
        values.append(left[which, :, k].ravel())
        filled += len(which)
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return scipy.sparse.csr_matrix(entries, shape=(len(orbit), filled))
