"""Run an algorithm, and judge what it measured."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nqs_core.classical.base import Algorithm, Counts
from nqs_core.classical.model import Ising, Spins

SOKAL = 5.0  # the sum over lags ends at the first lag of at least SOKAL (½ + τ)


class Sweep(NamedTuple):
    """The configuration after a sweep and what was measured on it."""

    sigma: Spins
    energy_per_site: float  # in J
    magnetisation_per_site: float
    counts: Counts
    equilibrating: bool  # not for averages


class Estimate(NamedTuple):
    """A mean, its standard error and the autocorrelation time τ in sweeps; NaN where the values do not tell."""

    mean: float
    error: float
    tau: float


def simulate(
    model: Ising, algorithm: Algorithm, sigma: Spins, rng: np.random.Generator, n_discarded: int, n_measured: int
) -> Iterator[Sweep]:
    """n_discarded sweeps towards equilibrium, during which the algorithm is tuned, then n_measured with it fixed."""
    total = Counts()
    for i in range(n_discarded + n_measured):
        sigma, counts = algorithm.sweep(model, sigma, rng)
        yield Sweep(sigma, model.energy_per_site(sigma), model.magnetisation_per_site(sigma), counts, i < n_discarded)
        if i < n_discarded:
            total = total.plus(counts)
            algorithm = algorithm.tuned(model, total)


def estimate(values: Float[np.ndarray, " n"]) -> Estimate:
    """Mean ± √(variance (1 + 2τ) / n), τ = Σ_{t≥1} ρ(t) up to Sokal's window.

    The error is that of values in equilibrium that were followed for many τ; from shorter series it is too small.
    Error and τ are NaN for fewer than 2 values, and for a constant: what never moved may be certain or stuck.
    Source: Sokal, "Monte Carlo methods in statistical mechanics" (1996);
    Madras and Sokal, J. Stat. Phys. 50, 109 (1988).
    """
    n = len(values)
    if n < 2:
        return Estimate(float(np.mean(values)) if n else float("nan"), float("nan"), float("nan"))
    mean = float(np.mean(values))
    x = values - mean
    spectrum = np.fft.rfft(x, 2 * n)  # padded: circular correlations would wrap around
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, 2 * n)[:n] / (n - np.arange(n))
    if covariance[0] <= (16 * np.finfo(float).eps * max(np.abs(values).max(), 1e-300)) ** 2:
        return Estimate(mean, float("nan"), float("nan"))
    rho = covariance / covariance[0]
    rho[0] = 0.0
    taus = np.cumsum(rho)
    enough = np.arange(n) >= SOKAL * (0.5 + taus)
    tau = max(float(taus[np.argmax(enough) if enough.any() else n - 1]), 0.0)
    return Estimate(mean, float(np.sqrt(covariance[0] * (1 + 2 * tau) / n)), tau)
