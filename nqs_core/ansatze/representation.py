"""The symmetry of a run as a group of permutations and spin flips with characters."""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Complex, Int, Int32

from nqs_core.config import SectorConfig
from nqs_core.errors import ConfigError
from nqs_core.lattices import Lattice, momenta, symmetry
from nqs_core.lattices.crystal import Crystal
from nqs_core.sector import Sector


class Elements(NamedTuple):
    """g = (translation or identity) · (point operation) · (flip of all spins): (g σ)[i] = ±σ[perm[i]].

    characters: χ(g) of ψ(g⁻¹ σ) = χ(g) ψ(σ), times the dimension of the irrep.
    """

    permutations: Int32[np.ndarray, "n_elements n_sites"]
    flips: Bool[np.ndarray, " n_elements"]
    characters: Complex[np.ndarray, " n_elements"]


@dataclass(frozen=True)
class Representation:
    """What is known of ψ: momentum k (None: no translations), irrep of the point group, eigenvalue of the flip.

    The point group is the little group of k, that of the lattice without k.
    `staggered`: an element that exchanges the two sublattices has its character times -1.
    """

    lattice: Lattice
    momentum: tuple[int, ...] | None = None
    irrep: str | None = None
    spin_flip: int | None = None
    staggered: bool = False

    def elements(self, steps: tuple[int, ...] | None = None) -> Elements:
        """Every element; of the translations those by less than `steps` cells along each axis, where these are given.

        Different elements may be the same permutation on small lattices.
        """
        return _elements(self, steps)

    def counts(self) -> tuple[int, ...]:
        """Translations along each axis; they are ordered with the last axis fastest."""
        extent, periodic = self.lattice.extent, self.lattice.periodicity
        return tuple(n if p and self.momentum is not None else 1 for n, p in zip(extent, periodic, strict=True))

    def translations(self) -> Int32[np.ndarray, "n n_sites"]:
        """The translations along periodic axes, or the identity."""
        whole = self.lattice.translations()
        return whole if self.momentum is not None else whole[:1]

    def phases(self) -> Complex[np.ndarray, " n"]:
        """exp(i k·r) of the `translations`."""
        if self.momentum is None:
            return np.ones(1, complex)
        counts = np.array(self.counts())
        # The remainder before the division: a phase of exactly 1 must not depend on the size of r.
        turns = (_shifts(self.counts()) * np.array(self.momentum) % counts / counts).sum(axis=1)
        return np.exp(2j * np.pi * turns)

    def point_group(self) -> tuple[Int32[np.ndarray, "n n_sites"], Complex[np.ndarray, " n"]]:
        """The point operations and their characters times the dimension, or the identity."""
        if self.irrep is None:
            return self.lattice.translations()[:1], np.ones(1, complex)
        group = symmetry.point_group(self.lattice, self.momentum)
        name = symmetry.resolve(group, self.irrep)
        return group.permutations, group.dimensions[name] * group.irreps[name].astype(complex)

    def little_group(self) -> Int[np.ndarray, " n"]:
        """Which operations of the lattice's point group are those of `point_group`."""
        operations = self.lattice.operations() if isinstance(self.lattice, Crystal) else None
        if operations is None or self.momentum is None:
            return np.arange(len(self.lattice.point_group()))
        turned = np.einsum("i,wij->wj", np.array(self.momentum) / self.lattice.extent, operations.matrices)
        change = (turned - turned[0])[:, np.array(self.lattice.periodicity)]
        return np.flatnonzero(np.all(np.abs(change - np.round(change)) < 1e-9, axis=1))

    def swaps(self, permutations: np.ndarray) -> Bool[np.ndarray, " n"]:
        """Which permutations exchange the sublattices, as far as it matters."""
        colour = self.lattice.sublattice() if self.staggered else None
        if colour is None:
            return np.zeros(len(permutations), bool)
        return colour[permutations[:, 0]] != colour[0]


def representation(lattice: Lattice, sector: SectorConfig | None, marshall: bool = False) -> Representation | None:
    """The symmetry that a run's sector asks for; None where it asks for none.

    Labels mean the unrotated Hamiltonian. The Marshall rotation multiplies ψ by M(σ) = Π σ_i over one sublattice. An
    element that exchanges the sublattices turns M into M Π_i σ_i = (-1)^n_down M, a flip of all spins into
    (-1)^(n_sites / 2) M.

    Raises:
        ConfigError: a label that the lattice does not have, spin_flip at S^z ≠ 0, or the Marshall rotation at unknown
            S^z together with an element that exchanges the sublattices.
    """
    if sector is None or (sector.momentum, sector.point_group, sector.spin_flip) == (None, None, None):
        return None
    if sector.spin_flip is not None and sector.sz:
        raise ConfigError(f"sector.spin_flip = {sector.spin_flip:+d} needs sz = 0 or none, not {sector.sz:g}")
    momentum = None if sector.momentum is None else momenta.resolve(lattice, sector.momentum)
    irrep, flip = sector.point_group, sector.spin_flip
    if irrep is not None:
        irrep = symmetry.resolve(symmetry.point_group(lattice, momentum), irrep)
    if not marshall:
        return Representation(lattice, momentum, irrep, flip)
    if flip is not None and lattice.n_sites // 2 % 2:
        flip = -flip
    staggered = Representation(lattice, momentum, irrep, flip, staggered=True)
    exchanged = staggered.swaps(staggered.elements().permutations).any()
    if not exchanged:
        return Representation(lattice, momentum, irrep, flip)
    n_up = Sector(lattice.n_sites, sector.sz).n_up
    if n_up is None:
        raise ConfigError(
            "sector.momentum or sector.point_group with marshall = true needs sector.sz: whether the rotation changes "
            "them depends on the number of down spins"
        )
    return staggered if (lattice.n_sites - n_up) % 2 else Representation(lattice, momentum, irrep, flip)


def _shifts(counts: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.unravel_index(np.arange(math.prod(counts)), counts), axis=-1)


@functools.lru_cache(maxsize=32)
def _elements(rep: Representation, steps: tuple[int, ...] | None) -> Elements:
    kept = slice(None) if steps is None else np.all(_shifts(rep.counts()) < np.array(steps), axis=1)
    shifts, phases = rep.translations()[kept], rep.phases()[kept]
    operations, characters = rep.point_group()
    # (t p σ)[i] = (p σ)[perm_t[i]] = σ[perm_p[perm_t[i]]].
    permutations = operations[:, shifts].transpose(1, 0, 2).reshape(-1, rep.lattice.n_sites)
    chi = (phases[:, None] * characters).reshape(-1) * np.where(rep.swaps(permutations), -1, 1)
    flips = np.zeros(len(chi), bool)
    if rep.spin_flip is not None:
        permutations = np.concatenate([permutations, permutations])
        flips, chi = np.concatenate([flips, ~flips]), np.concatenate([chi, rep.spin_flip * chi])
    chi = np.round(chi, 14) + 0.0  # signs are exact signs, zeros exact zeros
    for array in (permutations, flips, chi):
        array.flags.writeable = False
    return Elements(permutations, flips, chi)
