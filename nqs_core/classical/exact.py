"""What is known exactly about the Ising model on the square lattice without a field; energies in J, T in J/k_B."""

import math

import numpy as np
from scipy.special import ellipkm1

from nqs_core.classical.model import Ising

CRITICAL_TEMPERATURE = 2 / math.log(1 + math.sqrt(2))
FROZEN = 0.05  # below, the excitations' weight exp(-8 / T) is less than the rounding of -2


def onsager_energy(temperature: float) -> float:
    """Energy per site of the infinite lattice, -coth(2K) [1 + (2/π)(2 tanh²2K - 1) K₁(κ)], K = 1 / T.

    Here 1 - κ² = (2 tanh²2K - 1)².
    Source: Onsager, Phys. Rev. 65, 117 (1944).
    """
    _check(temperature)
    if temperature < FROZEN:
        return -2.0
    tanh = math.tanh(2 / temperature)
    q = 2 * tanh**2 - 1
    if q == 0:
        return -1 / tanh
    return -(1 + 2 / math.pi * q * float(ellipkm1(q**2))) / tanh


def spontaneous_magnetisation(temperature: float) -> float:
    """|m| of the infinite lattice: [1 - sinh⁻⁴(2 / T)]^(1/8) below the critical temperature, else 0.

    Source: Yang, Phys. Rev. 85, 808 (1952).
    """
    _check(temperature)
    if temperature >= CRITICAL_TEMPERATURE:
        return 0.0
    if temperature < FROZEN:
        return 1.0
    return (1 - math.sinh(2 / temperature) ** -4) ** 0.125


def kaufman_energy(size: int, temperature: float) -> float:
    """Energy per site of the periodic size × size lattice, -∂ ln Z / ∂K / n_sites with K = 1 / T.

    Z = ½ (2 sinh 2K)^(n_sites/2) (Π 2 cosh ½Lγ_odd + Π 2 sinh ½Lγ_odd + Π 2 cosh ½Lγ_even + Π 2 sinh ½Lγ_even),
    cosh γ_l = cosh 2K coth 2K - cos(πl / L), γ₀ = 2K + ln tanh K, which is negative above the critical temperature.
    Exact to rounding, about 1e-15 T. On the 2 × 2 lattice the formula counts each bond twice; here it counts once.
    Source: Kaufman, Phys. Rev. 76, 1232 (1949); in this form Ferdinand and Fisher, Phys. Rev. 185, 832 (1969).
    """
    Ising(size, temperature)  # refuses what is out of range
    if size == 2:
        return _torus_energy(2, 0.5 / temperature) / 2  # half the coupling, twice the bonds
    return _torus_energy(size, 1 / temperature)


def _torus_energy(size: int, k: float) -> float:
    if 1 / k < FROZEN:
        return -2.0
    sinh, cosh = math.sinh(2 * k), math.cosh(2 * k)
    level = np.arange(1, 2 * size)
    # cosh γ - 1 without cancellation
    excess = (sinh - 1) ** 2 / sinh + 2 * np.sin(np.pi * level / (2 * size)) ** 2
    gamma = 2 * np.arcsinh(np.sqrt(excess / 2))
    slope = 2 * cosh * (1 - sinh**-2) / np.sinh(gamma)  # ∂γ/∂K
    gamma_0 = 2 * k + math.log(math.tanh(k))
    slope_0 = 2 * (1 + 1 / sinh)

    half, odd = 0.5 * size, level % 2 == 1
    x, dx = half * gamma, half * slope
    x_0, dx_0 = abs(half * gamma_0), half * slope_0
    # ln cosh and ln sinh of x without a common exp(x), and their derivatives
    log_cosh, log_sinh = x + np.log1p(np.exp(-2 * x)), x + np.log1p(-np.exp(-2 * x))
    d_cosh, d_sinh = dx * np.tanh(x), dx / np.tanh(x)
    plus, minus = 1 + math.exp(-2 * x_0), math.copysign(-math.expm1(-2 * x_0), gamma_0)  # cosh and sinh of the level 0
    logs = np.array([log_cosh[odd].sum(), log_sinh[odd].sum(), log_cosh[~odd].sum() + x_0, log_sinh[~odd].sum() + x_0])
    value = np.array([1.0, 1.0, plus, minus])
    slopes = np.array([d_cosh[odd].sum(), d_sinh[odd].sum(), d_cosh[~odd].sum(), d_sinh[~odd].sum()])
    # Level 0 apart: its sinh passes through 0 at the critical temperature, where a logarithm has no derivative.
    derivative = value * slopes + np.array([0.0, 0.0, minus * dx_0, plus * dx_0])
    weight = np.exp(logs - logs.max())
    return float(-cosh / sinh - (weight @ derivative) / (weight @ value) / size**2)


def _check(temperature: float) -> None:
    Ising(2, temperature)
