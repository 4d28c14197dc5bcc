"""Projection of a block on a momentum of the translation group."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nqs_core.errors import ConfigError
from nqs_core.lattices import Lattice
from nqs_core.operators import Masks
from nqs_core.reference.blocks import Block, Codes


def generators(lattice: Lattice) -> list[np.ndarray | None]:
    """The shift by one cell along each axis as a permutation of the sites; None where it is the identity."""
    counts = [n if periodic else 1 for n, periodic in zip(lattice.extent, lattice.periodicity, strict=True)]
    rows = lattice.translations().reshape(*counts, lattice.n_sites)
    unit = np.eye(len(counts), dtype=int)
    return [rows[tuple(unit[axis])] if count > 1 else None for axis, count in enumerate(counts)]


def require_invariant(groups: Sequence[Masks], lattice: Lattice) -> None:
    """Raises:
    ConfigError: H changes under a translation of the lattice.
    """

    def strings(perm: np.ndarray | None) -> dict[tuple[int, int], Any]:
        return {
            (_moved(g.flip, perm), _moved(sign, perm)): value
            for g in groups
            for sign, value in zip(g.signs.tolist(), g.amplitude.tolist(), strict=True)
        }

    here = strings(None)
    for perm in generators(lattice):
        there = strings(perm)
        if set(there) != set(here) or any(abs(there[s] - here[s]) > 1e-12 * abs(here[s]) for s in here):
            raise ConfigError("sector.momentum needs a Hamiltonian that is invariant under translations")


def _moved(mask: int, perm: np.ndarray | None) -> int:
    return mask if perm is None else sum(1 << i for i, source in enumerate(perm.tolist()) if mask >> source & 1)


def projector(lattice: Lattice, momentum: tuple[int, ...], block: Block) -> Callable[[np.ndarray], np.ndarray]:
    """Ψ ↦ 1/|T| Σ_t exp(-i k r_t) Ψ(t⁻¹ σ) on vectors over the basis of the block."""
    table = Codes(block)
    full, top = (1 << block.n_sites) - 1, 1 << (block.n_sites - 1)
    steps = []
    for perm, m, length in zip(generators(lattice), momentum, lattice.extent, strict=True):
        if perm is None:
            continue
        # (t⁻¹ σ)[perm[i]] = σ[i].
        source = np.zeros_like(table.codes)
        for i, target in enumerate(perm.tolist()):
            source |= ((table.codes >> i) & 1) << target
        sign = np.ones(block.dim, np.int8)
        if block.parity is not None:
            crossed = (source & top) != 0
            source = np.where(crossed, full ^ source, source)
            sign[crossed] = block.parity
        phase = np.exp(-2j * np.pi * m / length)
        steps.append((table.position(source).astype(np.int32), sign, phase if 2 * m % length else phase.real, length))

    def project(x: np.ndarray) -> np.ndarray:
        for source, sign, phase, length in steps:
            moved, total = x, x
            for _ in range(length - 1):
                moved = phase * (sign * moved[source])
                total = total + moved
            x = total / length
        return x

    return project


def is_complex(lattice: Lattice, momentum: tuple[int, ...]) -> bool:
    """Whether exp(-i k r) has imaginary parts."""
    return any(2 * m % length for m, length in zip(momentum, lattice.extent, strict=True))
