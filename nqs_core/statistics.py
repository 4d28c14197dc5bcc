"""Error bars and diagnostics of Markov chains and of weighted samples; pure functions, all in float64.

One convention for autocorrelation: τ = Σ_{t>=1} ρ(t) in units of one draw, so that n draws are worth n / (1 + 2τ)
independent ones. Independent draws have τ = 0; an AR(1) chain has τ = φ / (1 - φ), that is 1 + 2τ = (1 + φ) / (1 - φ).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Inexact, Int, PRNGKeyArray

SOKAL = 5.0  # the sum over lags ends at the first lag of at least SOKAL (½ + τ)

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

    error² = Var(Re x) · (Σw² / (Σw)²) · (1 + 2τ).
    """
    weights = jax.nn.softmax(log_weight.astype(jnp.float64), axis=None)
    mean = jnp.sum(weights * values)
    ess = weight_ess(log_weight) / (1 + 2 * jnp.asarray(tau))
    real = jnp.sum(weights * (values.real - mean.real) ** 2)
    return Estimate(mean, jnp.sqrt(real / (ess * values.size)), jnp.sum(weights * jnp.abs(values - mean) ** 2), ess)


def weight_ess(log_weight: Float[ArrayLike, "..."]) -> Float[Array, ""]:
    """(Σw)² / (n Σw²): the effective fraction of weighted samples, 1 for equal weights."""
    flat = jnp.asarray(log_weight, jnp.float64).reshape(-1)
    log_ess = 2 * jax.nn.logsumexp(flat) - jax.nn.logsumexp(2 * flat)
    return jnp.exp(log_ess) / flat.size


def autocorrelation_time(chains: Chains) -> Float[Array, ""]:
    """τ = Σ_{t>=1} ρ(t) in draws, never below 0; NaN for fewer than 2 draws or where a value is NaN.

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
    rounding = _rounding(x)
    x = x - jnp.mean(x)
    spectrum = jnp.fft.rfft(x, 2 * n_draws, axis=1)  # padded: circular correlations would wrap around
    products = jnp.fft.irfft(jnp.mean(jnp.abs(spectrum) ** 2, axis=0), 2 * n_draws)[:n_draws]
    covariance = products / (n_draws - jnp.arange(n_draws))
    rho = jnp.where(covariance[0] <= rounding, 0.0, covariance / jnp.maximum(covariance[0], rounding))
    tau = jnp.cumsum(rho.at[0].set(0.0))
    enough = jnp.arange(n_draws) >= SOKAL * (0.5 + tau)
    last = jnp.where(jnp.any(enough), jnp.argmax(enough), n_draws - 1)
    # argmax and maximum would lose a NaN.
    return jnp.where(jnp.isnan(covariance[0]), jnp.nan, jnp.maximum(tau[last], 0.0))


def split_r_hat(chains: Chains) -> Float[Array, ""]:
    """R̂ = √(((n - 1) W + B) / (n W)) of the 2 n_chains half chains of n draws; NaN for fewer than 4 draws.

    W: mean variance within half chains, B / n: variance of their means. 1 for equal constants, ∞ for different ones.
    Chains that mix have R̂² - 1 ≈ 2τ / n: short chains exceed 1.01 without disagreeing.
    Source: Gelman et al., Bayesian Data Analysis, 3rd ed. (2013), section 11.4.
    """
    x = jnp.asarray(chains, jnp.float64)
    n = x.shape[1] // 2
    if n < 2:
        return jnp.asarray(jnp.nan)
    halves = jnp.concatenate([x[:, :n], x[:, x.shape[1] - n :]])
    within = jnp.mean(jnp.var(halves, axis=1, ddof=1))
    between = jnp.var(jnp.mean(halves, axis=1), ddof=1)
    rounding = _rounding(x)
    r_hat = jnp.sqrt((n - 1) / n + between / jnp.maximum(within, rounding))
    stuck = jnp.where(between <= rounding, 1.0, jnp.inf)
    return jnp.where(within <= rounding, stuck, r_hat)


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
