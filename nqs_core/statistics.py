"""Error bars and diagnostics of Markov chains and of weighted samples; pure functions, all in float64.

One convention for autocorrelation: τ = Σ_{t>=1} ρ(t) in units of one draw, so that n draws are worth n / (1 + 2τ)
independent ones. Independent draws have τ = 0; an AR(1) chain has τ = φ / (1 - φ), that is 1 + 2τ = (1 + φ) / (1 - φ).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Inexact, Int, PRNGKeyArray

import nqs_core.types  # noqa: F401  switches float64 on, also for who imports this module alone

SOKAL = 5.0  # the sum over lags ends at the first lag of at least SOKAL (½ + τ)

# Extrapolation to zero variance.
MIN_STEPS, MAX_BLOCKS, MIN_RANGE = 64, 24, 2.0
SPANS = (64.0, 32.0, 16.0, 8.0, 4.0, 3.0)

Chains = Float[ArrayLike, "n_chains n_draws"]


class Estimate(NamedTuple):
    """A mean with its error bar."""

    mean: Inexact[Array, ""]
    error: Float[Array, ""]  # standard error of the real part of the mean
    variance: Float[Array, ""]  # ⟨|x - ⟨x⟩|²⟩
    ess: Float[Array, ""]  # of weights and chains together, as a fraction of the number of samples


def push(
    window: Float[Array, "n_chains n_window"], new: Float[Array, "n_chains n_draws"]
) -> Float[Array, "n_chains n_window"]:
    """The last n_window draws of every chain: batches of few draws add up to chains that are long enough to judge."""
    return jnp.concatenate([window, new.astype(window.dtype)], axis=1)[:, -window.shape[1] :]


def estimate(
    values: Inexact[Array, "*shape"], log_weight: Float[Array, "*shape"], tau: Float[ArrayLike, ""]
) -> Estimate:
    """Mean of `values` with weights exp(log_weight), and its error for an autocorrelation time τ in draws.

    error² = Σ w² (Re x - ⟨Re x⟩)² / (Σw)² · (1 + 2τ): of the ratio Σ w x / Σ w, whose weights fluctuate too.
    """
    weights = jax.nn.softmax(log_weight.astype(jnp.float64), axis=None)
    mean = jnp.sum(weights * values)
    ess = weight_ess(log_weight) / (1 + 2 * jnp.asarray(tau))
    error = jnp.sqrt(jnp.sum((weights * (values.real - mean.real)) ** 2) * (1 + 2 * jnp.asarray(tau)))
    return Estimate(mean, error, jnp.sum(weights * jnp.abs(values - mean) ** 2), ess)


def weight_ess(log_weight: Float[ArrayLike, "..."]) -> Float[Array, ""]:
    """(Σw)² / (n Σw²): the effective fraction of weighted samples, 1 for equal weights."""
    flat = jnp.asarray(log_weight, jnp.float64).reshape(-1)
    log_ess = 2 * jax.nn.logsumexp(flat) - jax.nn.logsumexp(2 * flat)
    return jnp.exp(log_ess) / flat.size


def autocorrelation_time(chains: Chains, n_known: Int[ArrayLike, ""] | None = None) -> Float[Array, ""]:
    """τ = Σ_{t>=1} ρ(t) in draws, never below 0; NaN for fewer than 2 draws or where a value is NaN.

    Only the last `n_known` draws count, where a window is not full yet; default: all of them.
    ρ is averaged over the chains about their common mean, so chains that disagree count as correlated. The sum ends at
    Sokal's window, or takes every lag where the chains are shorter than that: n_chains / 2 effective samples at worst.
    A constant has τ = 0.
    Source: Sokal, "Monte Carlo methods in statistical mechanics" (1996); window as in Madras and Sokal,
    J. Stat. Phys. 50, 109 (1988).
    """
    x = jnp.asarray(chains, jnp.float64)
    n_draws = x.shape[1]
    if n_draws < 2:
        return jnp.asarray(jnp.nan)
    n_known = jnp.asarray(n_draws if n_known is None else n_known)
    known = jnp.arange(n_draws) >= n_draws - n_known
    x = jnp.where(known[None], x, 0.0)
    rounding = _rounding(x)
    mean = jnp.sum(x) / (x.shape[0] * n_known)
    x = jnp.where(known[None], x - mean, 0.0)
    spectrum = jnp.fft.rfft(x, 2 * n_draws, axis=1)  # padded: circular correlations would wrap around
    products = jnp.fft.irfft(jnp.mean(jnp.abs(spectrum) ** 2, axis=0), 2 * n_draws)[:n_draws]
    lag = jnp.arange(n_draws)
    covariance = jnp.where(lag < n_known, products, 0.0) / jnp.maximum(n_known - lag, 1)
    rho = jnp.where(covariance[0] <= rounding, 0.0, covariance / jnp.maximum(covariance[0], rounding))
    tau = jnp.cumsum(rho.at[0].set(0.0))
    enough = lag >= SOKAL * (0.5 + tau)
    last = jnp.where(jnp.any(enough), jnp.argmax(enough), n_draws - 1)
    # argmax and maximum would lose a NaN.
    unknown = jnp.isnan(covariance[0]) | (n_known < 2)
    return jnp.where(unknown, jnp.nan, jnp.maximum(tau[last], 0.0))


def _rounding(x: Float[Array, "..."]) -> Float[Array, ""]:
    """The variance that rounding alone may give to a constant; never 0."""
    return (16 * jnp.finfo(jnp.float64).eps * jnp.max(jnp.abs(x))) ** 2 + jnp.finfo(jnp.float64).tiny


def v_score(n_sites: int, energy: Float[ArrayLike, ""], variance: Float[ArrayLike, ""]) -> Float[Array, ""]:
    """V = n_sites Var(H) / E², 0 for an eigenstate; for Hamiltonians of trace 0.

    Source: Wu et al., Science 386, 296 (2024), arXiv:2302.04919.
    """
    return n_sites * jnp.asarray(variance) / jnp.asarray(energy) ** 2


def empirical(
    index: Int[Array, " n"], n_states: int, log_weight: Float[Array, " n"] | None = None
) -> Float[Array, " n_states"]:
    """How often each state of an enumerated basis was drawn, normalised; index: positions in that basis."""
    weights = jnp.ones(index.shape) if log_weight is None else jax.nn.softmax(log_weight.astype(jnp.float64))
    counts = jnp.zeros(n_states).at[index].add(weights)
    return counts / jnp.sum(counts)


def jensen_shannon(p: Float[Array, " n"], q: Float[Array, " n"]) -> Float[Array, ""]:
    """JSD = ½ D(p‖m) + ½ D(q‖m), m = (p + q) / 2, base 2: 0 for equal distributions, 1 for disjoint ones."""
    middle = 0.5 * (p + q)

    def divergence(r: Float[Array, " n"]) -> Float[Array, ""]:
        positive = r > 0
        return jnp.sum(jnp.where(positive, r * jnp.log2(jnp.where(positive, r / middle, 1.0)), 0.0))

    return 0.5 * (divergence(p) + divergence(q))


def jensen_shannon_floor(key: PRNGKeyArray, p: Float[Array, " n_states"], n_samples: int) -> Float[Array, ""]:
    """The JSD between p and `n_samples` independent draws of p: what a perfect sampler shows."""
    index = jax.random.choice(key, len(p), (n_samples,), p=p)
    return jensen_shannon(empirical(index, len(p)), p)


class Extrapolation(NamedTuple):
    """Energy at zero variance with its error, totals; None where it is refused, for the reason given.

    systematic: half of how far the line goes beyond the last points; a part of the error, added in quadrature.
    points: (variance, energy, standard error) of the blocks that were fitted, in the order of the run.
    """

    accepted: bool
    reason: str
    energy: float | None
    error: float | None
    systematic: float | None
    slope: float | None
    n_points: int
    points: list[tuple[float, float, float]]


def zero_variance(
    energy: Float[ArrayLike, " n_steps"], error: Float[ArrayLike, " n_steps"], variance: Float[ArrayLike, " n_steps"]
) -> Extrapolation:
    """E₀ of the line E = E₀ + slope · σ², σ² = ⟨H²⟩ - ⟨H⟩², through the steps of a run, in their order.

    Both E - E₀ and σ² are of first order in the weight of other eigenstates, so the line holds late in a run. Of the
    last stretches in which σ² stays below 64, 32, ... 3 times its final value the longest is taken that a parabola does
    not fit better by two standard errors. Weighted least squares of up to 24 block averages, in which noise of σ²
    hardly tilts the line. Their errors hold the scatter of the steps about it and its autocorrelation,
    error_block² = Σ error² / n² · ⟨z²⟩ (1 + 2τ), z = (E - fit) / error. The error of E₀ also holds, in quadrature, how
    far the parabola ends from it, and half of slope · σ² at the end: noise of the optimisation can leave a variance
    that costs less energy than what fell before, which no fit sees, and E₀ then lies above the line. NumPy only.
    Source: Kashima and Imada, J. Phys. Soc. Jpn. 70, 2287 (2001); Becca and Sorella, Quantum Monte Carlo Approaches for
    Correlated Systems (2017).
    """
    steps = np.stack([np.asarray(x, np.float64) for x in (variance, energy, error)])
    steps = steps[:, np.all(np.isfinite(steps), axis=0) & (steps[2] > 0)]
    points, why = np.zeros((3, 0)), f"{steps.shape[1]} steps are too few: {MIN_STEPS} are needed"
    for span in SPANS:
        late = _stretch(steps, span)
        if late.shape[1] < MIN_STEPS:
            if steps.shape[1] >= MIN_STEPS and not points.size:
                why = "the variance still falls too fast at the end of the run"
            break  # shorter ones hold fewer
        points = _blocks(late)
        if np.max(points[0]) < MIN_RANGE * np.min(points[0]):
            why = f"the variance changes by less than a factor {MIN_RANGE:g} over the late steps"
            break
        line = _fit(late, points, 1)
        points = points * np.array([[1.0], [1.0], [line.inflation]])
        parabola = _fit(late, _blocks(late), 2)
        if abs(parabola.coefficients[2]) > 2 * parabola.errors[2]:
            why = "the energy is not linear in the variance"
        elif line.coefficients[1] < 3 * line.errors[1]:
            why = "the energy does not rise with the variance by more than its noise"
        else:
            energy0, slope = line.coefficients.tolist()
            off, systematic = energy0 - parabola.coefficients[0], 0.5 * slope * float(np.mean(points[0, -3:]))
            error0 = float(np.sqrt(line.errors[0] ** 2 + off**2 + systematic**2))
            return Extrapolation(True, "", energy0, error0, systematic, slope, points.shape[1], _rows(points))
    return Extrapolation(False, why, None, None, None, None, points.shape[1], _rows(points))


class _Fit(NamedTuple):
    coefficients: np.ndarray
    errors: np.ndarray
    inflation: float  # of the errors of independent steps


def _stretch(steps: np.ndarray, span: float) -> np.ndarray:
    """The last steps, from where the running median of the variance stays below `span` times its final value."""
    if steps.shape[1] < MIN_STEPS:
        return steps
    width = 9
    running = np.median(np.lib.stride_tricks.sliding_window_view(steps[0], width), axis=1)
    above = np.flatnonzero(running > span * np.median(steps[0, -MIN_STEPS // 4 :]))
    return steps[:, above[-1] + width :] if len(above) else steps


def _blocks(steps: np.ndarray) -> np.ndarray:
    """Averages over blocks of consecutive steps, with the errors that independent steps would have."""
    blocks = np.array_split(steps, min(MAX_BLOCKS, steps.shape[1] // 8), axis=1)
    return np.array([[b[0].mean(), b[1].mean(), np.sqrt(np.sum(b[2] ** 2)) / b.shape[1]] for b in blocks]).T


def _fit(steps: np.ndarray, points: np.ndarray, degree: int) -> _Fit:
    """A polynomial of the variance through the points, its errors from the scatter of the steps about it."""
    scale = points[0].max()
    powers = scale ** np.arange(degree + 1)
    design = np.vander(points[0] / scale, degree + 1, increasing=True) / points[2][:, None]
    inverse = np.linalg.pinv(design)
    coefficients = inverse @ (points[1] / points[2]) / powers
    z = (steps[1] - np.polynomial.polynomial.polyval(steps[0], coefficients)) / steps[2]
    inflation = float(np.sqrt(np.mean(z**2) * (1 + 2 * _tau(z))))
    return _Fit(coefficients, inflation * np.linalg.norm(inverse, axis=1) / powers, inflation)


def _tau(x: np.ndarray) -> float:
    """`autocorrelation_time` of one series, without JAX."""
    spectrum = np.fft.rfft(x - x.mean(), 2 * len(x))
    covariance = np.fft.irfft(np.abs(spectrum) ** 2)[: len(x)] / np.arange(len(x), 0, -1)
    tau = np.cumsum(covariance / max(covariance[0], np.finfo(float).tiny)) - 1
    enough = np.flatnonzero(np.arange(len(x)) >= SOKAL * (0.5 + tau))
    return max(float(tau[enough[0] if len(enough) else -1]), 0.0)


def _rows(points: np.ndarray) -> list[tuple[float, float, float]]:
    return [(float(v), float(e), float(error)) for v, e, error in points.T]
