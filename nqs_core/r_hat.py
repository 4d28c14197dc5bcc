"""R̂, whether Markov chains have forgotten where they began; NumPy, since ranks are sorted on the host.

1 for chains that agree, ∞ for chains that each stay at their own value. Equal constants agree, too: whether the chains
moved at all is the caller's to know. Chains are (n_chains, n_draws).
"""

import math

import numpy as np
from jaxtyping import ArrayLike, Float
from scipy.special import ndtri

MIN_DRAWS = 4
MIN_CHAINS = 16  # of `nested`: four groups of four

Chains = Float[ArrayLike, "n_chains n_draws"]


def largest(chains: Chains) -> float:
    """The larger of `split` and `ranked`; NaN for fewer than 4 draws or where a value is NaN."""
    return float(np.maximum(split(chains), ranked(chains)))


def split(chains: Chains) -> float:
    """R̂ = √(((n - 1) W + B) / (n W)) of the 2 n_chains half chains of n draws; NaN for fewer than 4 draws.

    W: mean variance within half chains, B / n: variance of their means. 1 for equal constants, ∞ for different ones.
    Chains that mix have R̂² - 1 ≈ 2τ / n: short chains exceed 1.01 without disagreeing.
    Source: Gelman et al., Bayesian Data Analysis, 3rd ed. (2013), section 11.4.
    """
    x = np.asarray(chains, np.float64)
    n = x.shape[1] // 2
    if n < MIN_DRAWS // 2:
        return math.nan
    halves = np.concatenate([x[:, :n], x[:, x.shape[1] - n :]])
    within = float(np.mean(np.var(halves, axis=1, ddof=1)))
    between = float(np.var(np.mean(halves, axis=1), ddof=1))
    return _ratio((n - 1) / n, between, within, x)


def ranked(chains: Chains) -> float:
    """The larger R̂ of the ranks of x and of |x - median|, both turned into normal scores: sees tails and scales.

    Ties share their mean rank r, the score is Φ⁻¹((r - 3/8) / (n + 1/4)) for n values.
    Source: Vehtari et al., Bayesian Analysis 16, 667 (2021), arXiv:1903.08008.
    """
    x = np.asarray(chains, np.float64)
    if np.var(x) <= _rounding(x):  # the order would be that of rounding errors
        return split(x)
    return max(split(_scores(x)), split(_scores(np.abs(x - np.median(x)))))


def nested(chains: Chains) -> float:
    """R̂ = √(1 + B / W) over groups of chains that began at neighbouring values; for many chains of few draws.

    About √n_chains groups are formed by the order of the first draws, the second half of the draws is compared: groups
    whose means still differ remember where they began. B: variance of the means of the groups; W: variance of the means
    of the chains of a group plus variance within chains. Chains that mix have R̂² - 1 ≈ (1 + 2τ) / draws of a group,
    far less than the 2τ / n of `split`. The source starts the chains of a group at one configuration; here they share
    the value alone, hence what the value does not show is not seen. NaN for fewer than 16 chains or 4 draws.
    Source: Margossian et al., Bayesian Analysis (2024), arXiv:2110.13017.
    """
    x = np.asarray(chains, np.float64)
    n_chains, n_draws = x.shape
    if n_chains < MIN_CHAINS or n_draws < MIN_DRAWS or np.isnan(x).any():
        return math.nan
    size = math.isqrt(n_chains)
    order = np.argsort(x[:, 0], kind="stable")
    spare = n_chains % size  # those in the middle tell least
    order = np.delete(order, np.s_[(n_chains - spare) // 2 : (n_chains + spare) // 2])
    groups = x[order, n_draws // 2 :].reshape(-1, size, n_draws - n_draws // 2)
    means = groups.mean(axis=2)
    between = float(np.var(means.mean(axis=1), ddof=1))
    within = float(np.mean(np.var(means, axis=1, ddof=1)) + np.mean(np.var(groups, axis=2, ddof=1)))
    return _ratio(1.0, between, within, x)


def _ratio(offset: float, between: float, within: float, x: np.ndarray) -> float:
    """√(offset + between / within); 1 or ∞ where nothing but rounding is left within."""
    rounding = _rounding(x)
    if within <= rounding:
        return 1.0 if between <= rounding else math.inf
    return math.sqrt(offset + between / within)


def _scores(x: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return ndtri((ranks - 3 / 8) / (x.size + 1 / 4))[inverse].reshape(x.shape)


def _rounding(x: np.ndarray) -> float:
    """The variance that rounding alone may give to a constant; never 0."""
    return float((16 * np.finfo(np.float64).eps * np.max(np.abs(x))) ** 2 + np.finfo(np.float64).tiny)
