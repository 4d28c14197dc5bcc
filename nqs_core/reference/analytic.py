"""Closed forms and integrable models: exact at any size."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.linalg

from nqs_core.hamiltonians import J1J2, XXZ, Hamiltonian, Heisenberg, TransverseFieldIsing
from nqs_core.lattices import Chain
from nqs_core.lattices.crystal import freeze

FREE_FERMIONS = "P. Pfeuty, Ann. Phys. 57, 79 (1970), doi:10.1016/0003-4916(70)90270-8"
FREE_EXCHANGE = "E. Lieb, T. Schultz and D. Mattis, Ann. Phys. 16, 407 (1961), doi:10.1016/0003-4916(61)90115-4"
BETHE = "H. Bethe, Z. Phys. 71, 205 (1931), doi:10.1007/BF01341708"
MAJUMDAR_GHOSH = "C. K. Majumdar and D. K. Ghosh, J. Math. Phys. 10, 1388 (1969), doi:10.1063/1.1664978"
FERMIONS = "Jordan-Wigner free fermions"
MAX_LEVELS = 64  # of the XX chain
MAX_SITES = 4096  # the work grows with the square (open chain) or the cube (Bethe) of the size


class Closed(NamedTuple):
    """The lowest levels, total energies in rising order, how they are found and where the formula comes from."""

    energies: np.ndarray
    detail: str
    source: str


def closed_form(hamiltonian: Hamiltonian, sz: float | None, levels: int) -> Closed | None:
    """The lowest `levels` of the sector of total S^z = `sz` (None: the whole space); None where no formula is known."""
    chain = hamiltonian.lattice
    if not isinstance(chain, Chain) or chain.n_sites > MAX_SITES:
        return None
    n, ring = chain.length, chain.periodic and chain.length > 2  # the wrap of two sites adds no bond
    if isinstance(hamiltonian, TransverseFieldIsing) and hamiltonian.h_z == 0 and sz is None:
        J, h = float(hamiltonian.J), float(hamiltonian.h)
        energies = tfim_ring(n, J, h, levels) if ring else tfim_open(n, J, h, levels)
        return Closed(energies, FERMIONS, FREE_FERMIONS)
    if isinstance(hamiltonian, XXZ) and hamiltonian.Delta == 0 and levels <= MAX_LEVELS:
        numbers = range(n + 1) if sz is None else [round(n / 2 + sz)]
        return Closed(xx_chain(n, float(hamiltonian.J), ring, numbers, levels), FERMIONS, FREE_EXCHANGE)
    if isinstance(hamiltonian, J1J2) and _is_dimerised(hamiltonian, n, ring) and sz in (None, 0) and levels == 1:
        return Closed(np.array([-3 / 8 * float(hamiltonian.J1) * n]), "product of singlets", MAJUMDAR_GHOSH)
    even_ring = ring and n % 2 == 0 and n <= MAX_SITES // 4
    if isinstance(hamiltonian, Heisenberg) and hamiltonian.J > 0 and sz in (None, 0) and levels == 1 and even_ring:
        return Closed(
            np.array([float(hamiltonian.J) * heisenberg_ring(n)]), "Bethe equations by Newton's method", BETHE
        )
    return None


def _is_dimerised(model: J1J2, n: int, ring: bool) -> bool:
    """J2 = J1/2 > 0 at even length: a product of singlets on every second bond is the ground state.

    On the ring of 4 the two second neighbours of a site are one, so that J2 counts half as much there.
    """
    return bool(model.J1 > 0 and 2 * model.J2 == model.J1) and n % 2 == 0 and not (ring and n == 4)


@functools.lru_cache(maxsize=64)
def tfim_ring(n: int, J: float, h: float, levels: int) -> np.ndarray:
    """-J Σ σᶻσᶻ - h Σ σˣ on a ring of n > 2: quasi-particles ε(q) = 2 √(J² + h² - 2 J h cos q) in both fermion sectors.

    Spin-flip even: antiperiodic momenta and an even number of quasi-particles; odd: periodic momenta and an odd number.
    The unpaired momenta q = 0 and π carry the signed energy 2 (h - J cos q): without the sign the vacuum of the odd
    sector would have the wrong parity for h > J.
    """
    m = np.arange(n)
    found = []
    for doubled, odd in ((2 * m + 1, False), (2 * m, True)):  # momentum q = π · doubled / n
        q = np.pi * doubled / n
        energy = 2 * np.sqrt(np.maximum(J * J + h * h - 2 * J * h * np.cos(q), 0.0))
        energy = np.where(doubled == 0, 2 * (h - J), np.where(doubled == n, 2 * (h + J), energy))
        found.append(_lowest(energy, -energy.sum() / 2, levels, odd))
    return freeze(np.sort(np.concatenate(found))[:levels])


@functools.lru_cache(maxsize=64)
def tfim_open(n: int, J: float, h: float, levels: int) -> np.ndarray:
    """The open chain: quasi-particle energies are twice the singular values of the bidiagonal matrix with h and J."""
    # ± the singular values are the eigenvalues of the zero-diagonal tridiagonal matrix with h, J, h, ..., h beside it.
    beside = np.full(2 * n - 1, h)
    beside[1::2] = J
    singular = np.maximum(scipy.linalg.eigh_tridiagonal(np.zeros(2 * n), beside, eigvals_only=True)[n:], 0.0)
    both = [_lowest(2 * singular, -singular.sum(), levels, odd) for odd in (False, True)]
    return freeze(np.sort(np.concatenate(both))[:levels])


def _lowest(modes: np.ndarray, vacuum: float, levels: int, odd: bool) -> np.ndarray:
    """The lowest sums of `vacuum` and an odd or even number of modes, which may be negative."""
    vacuum += modes[modes < 0].sum()  # fill what lowers the energy; from there each mode is a positive excitation
    odd ^= bool(np.count_nonzero(modes < 0) % 2)
    sums = [np.zeros(1), np.zeros(0)]  # even, odd number of excitations
    for mode in np.sort(np.abs(modes)):
        grown = [np.sort(np.concatenate([sums[p], sums[1 - p] + mode]))[:levels] for p in (0, 1)]
        if all(len(g) == len(s) == levels and mode > s[-1] for g, s in zip(grown, sums, strict=True)):
            break
        sums = grown
    return vacuum + sums[odd]


def xx_chain(n: int, J: float, ring: bool, numbers: Sequence[int], levels: int) -> np.ndarray:
    """J Σ (SˣSˣ + SʸSʸ): free fermions of energy J cos q, one for each up spin; `numbers`: of up spins, any of them.

    Open chain: q = π k / (n + 1), k = 1 ... n. Ring: q = 2π k / n for an odd number, 2π (k + 1/2) / n for an even one.
    """
    if ring:
        modes = [np.sort(J * np.cos(np.pi * (2 * np.arange(n) + 1 - odd) / n)) for odd in (0, 1)]
    else:
        modes = [np.sort(J * np.cos(np.pi * np.arange(1, n + 1) / (n + 1)))] * 2
    # No number whose ground state lies above `levels` other ground states matters.
    sums = [np.concatenate([[0.0], np.cumsum(m)]) for m in modes]
    chosen = sorted(numbers, key=lambda number: sums[number % 2][number])[:levels]
    return np.sort(np.concatenate([_fillings(modes[k % 2], k, levels) for k in chosen]))[:levels]


def _fillings(modes: np.ndarray, number: int, levels: int) -> np.ndarray:
    """The lowest sums of `number` different modes, which are in rising order.

    A filling whose particles are moved up by a total of s steps lies above s others, which are moved less: only the
    modes within `levels` of the last filled one can matter.
    """
    first, last = max(0, number - levels), min(len(modes), number + levels)
    sums = [np.zeros(1), *[np.zeros(0)] * (number - first)]  # by the number of filled modes
    for mode in modes[first:last]:
        for k in range(number - first, 0, -1):
            sums[k] = np.sort(np.concatenate([sums[k], sums[k - 1] + mode]))[:levels]
    return modes[:first].sum() + sums[-1]


@functools.lru_cache(maxsize=64)
def heisenberg_ring(n: int) -> float:
    """Ground state energy of Σ S·S on a ring of even n > 2: logarithmic Bethe equations by Newton's method.

    n 2 arctan(2 λ_j) = 2π I_j + Σ_k 2 arctan(λ_j - λ_k), I_j = -(n/2 - 1)/2 ... (n/2 - 1)/2.
    E = n/4 - Σ_j ½ / (λ_j² + ¼), in units of J.
    """
    m = n // 2
    quantum = np.arange(m) - (m - 1) / 2
    rapidity = 0.5 * np.tan(np.pi * quantum / n)
    for _ in range(100):
        difference = rapidity[:, None] - rapidity[None, :]
        residual = 2 * n * np.arctan(2 * rapidity) - 2 * np.pi * quantum - 2 * np.arctan(difference).sum(axis=1)
        kernel = 2 / (1 + difference**2)
        np.fill_diagonal(kernel, 0.0)
        jacobian = kernel + np.diag(4 * n / (1 + 4 * rapidity**2) - kernel.sum(axis=1))
        step = np.linalg.solve(jacobian, residual)
        rapidity = rapidity - step
        if np.abs(step).max() < 1e-13 * max(1.0, float(np.abs(rapidity).max())):
            return float(n / 4 - (0.5 / (rapidity**2 + 0.25)).sum())
    raise ArithmeticError(f"the Bethe equations of {n} sites did not converge")
