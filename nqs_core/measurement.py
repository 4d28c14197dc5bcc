"""From samples to numbers with error bars: live diagnostics and the final measurement."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Int, PRNGKeyArray

from nqs_core import estimators, statistics
from nqs_core.operators import compile
from nqs_core.problem import Problem
from nqs_core.samplers.base import SamplerInfo, Samples
from nqs_core.samplers.exact import basis_index, log_amplitudes, probabilities
from nqs_core.types import Params

JSD_SAMPLES = 25_600
JSD_MAX_STATES = 2**16
JSD_MAX_FLOOR = 0.2  # above this the finite-sample floor says more about the sample size than about the sampler
PAIRS = 2**24  # spin pairs that observables may hold at once


class Measured(NamedTuple):
    """What the final measurement has collected."""

    n_batches: Int[Array, ""]
    energies: Float[Array, "n_batches n_chains n_draws"]  # real parts of the local energies
    imaginary: Float[Array, ""]  # weighted sum of their squared imaginary parts
    log_weights: Float[Array, "n_batches n_chains n_draws"]
    acceptance: Float[Array, ""]  # sum over batches
    sums: dict[str, Float[Array, "n_chains ..."]]  # of each observable's chain means over batches


def empty(problem: Problem, n_chains: int, n_draws: int) -> Measured:
    """Room for the configured number of final samples, rounded up to whole batches."""
    assert problem.config is not None
    n_batches = -(-problem.config.measure // (n_chains * n_draws))
    sigma = jax.ShapeDtypeStruct((problem.n_sites,), jnp.int8)
    shapes = jax.eval_shape(lambda s: _diagonal(problem, s), sigma)
    names = {name: s.shape for name, s in shapes.items()} | dict.fromkeys(_terms(problem), ())
    return Measured(
        n_batches=jnp.asarray(0, jnp.int64),
        energies=jnp.zeros((n_batches, n_chains, n_draws)),
        imaginary=jnp.asarray(0.0, jnp.float64),
        log_weights=jnp.zeros((n_batches, n_chains, n_draws)),
        acceptance=jnp.asarray(0.0, jnp.float64),
        sums={name: jnp.zeros((n_chains, *shape)) for name, shape in names.items()},
    )


def energy_scalars(
    problem: Problem,
    e_loc: Inexact[Array, "n_chains n_draws"],
    log_weight: Float[Array, "n_chains n_draws"],
    window: Float[Array, "n_chains n_window"],
) -> dict[str, Float[Array, ""]]:
    """energy, its standard error with the autocorrelation time, variance, V-score; r_hat, tau, ess of the chains.

    Traced: part of a jitted step.
    """
    tau, chains = jnp.zeros(()), {}
    if not problem.sampler.independent:
        filled = jnp.all(jnp.isfinite(window))
        r_hat = jnp.where(filled, statistics.split_r_hat(window), jnp.nan)
        chains = {"tau": statistics.autocorrelation_time(window), "r_hat": r_hat}  # NaN until the window is full
        tau = jnp.where(filled, chains["tau"], 0.0)
    e = statistics.estimate(e_loc, log_weight, tau)
    energy, v_score = e.mean.real, statistics.v_score(problem.n_sites, e.mean.real, e.variance)
    out = {"energy": energy, "energy_error": e.error, "variance": e.variance, "v_score": v_score, "ess": e.ess}
    return out | chains


def _terms(problem: Problem) -> dict[str, Any]:
    return {name: terms for o in problem.observables for name, terms in o.terms().items()}


def _diagonal(problem: Problem, sigma: Any) -> dict[str, Float[Array, "..."]]:
    return {name: value for o in problem.observables for name, value in o.diagonal(sigma).items()}


@jax.jit
def chain_means(problem: Problem, params: Params, samples: Samples) -> dict[str, Float[Array, "n_chains ..."]]:
    """Every observable's mean over the draws of each chain."""
    n_chains, n_draws, n_sites = samples.sigma.shape
    flat = samples.sigma.reshape(-1, n_sites)
    chunk = max(1, min(len(flat), PAIRS // n_sites**2))
    values = jax.lax.map(lambda s: _diagonal(problem, s), flat, batch_size=chunk)
    for name, terms in _terms(problem).items():
        values[name] = estimators.local_values(compile(terms, n_sites), problem.ansatz, params, flat).real
    weight = jnp.exp(samples.log_weight)

    def mean(value: Float[Array, " n ..."]) -> Float[Array, "n_chains ..."]:
        per_draw = value.reshape(n_chains, n_draws, -1).astype(jnp.float64)
        return jnp.mean(weight[..., None] * per_draw, axis=1).reshape(n_chains, *value.shape[1:])

    return {name: mean(value) for name, value in values.items()}


def live(problem: Problem, params: Params, samples: Samples) -> tuple[dict[str, float], dict[str, Any]]:
    """Observables of one batch for the stream: scalars, and arrays with their errors."""
    scalars: dict[str, float] = {}
    arrays: dict[str, Any] = {}
    for name, (mean, error) in _estimates(problem, jax.device_get(chain_means(problem, params, samples))).items():
        if mean.ndim == 0:
            scalars |= {name: float(mean), f"{name}_error": float(error)}
        else:
            arrays |= {name: mean.tolist(), f"{name}_error": error.tolist()}
    return scalars, arrays


def _estimates(problem: Problem, values: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean and standard error of every quantity from its chain means, derived ones by the jackknife."""
    out = {name: _mean_and_error(value) for name, value in values.items()}
    scalars = {name: value for name, value in values.items() if value.ndim == 1}
    n = len(next(iter(scalars.values()), ()))
    means = {name: np.asarray(value.mean()) for name, value in scalars.items()}
    left_out = {name: (value.sum() - value) / max(n - 1, 1) for name, value in scalars.items()}
    for observable in problem.observables:
        replicas = observable.derived(left_out)
        for name, value in observable.derived(means).items():
            error = np.sqrt((n - 1) * np.var(replicas[name])) if n > 1 else np.nan
            out[name] = (value, np.asarray(error))
    return out


def _mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chains are independent of each other: the spread of their means holds the autocorrelation within them."""
    spread = np.std(values, axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1:], np.nan)
    return np.asarray(np.mean(values, axis=0)), np.asarray(spread / np.sqrt(len(values)))


def add(
    measured: Measured,
    e_loc: Inexact[Array, "n_chains n_draws"],
    log_weight: Float[Array, "n_chains n_draws"],
    values: dict[str, Float[Array, "n_chains ..."]],
    info: SamplerInfo,
) -> Measured:
    """`measured` with one more batch."""
    k = measured.n_batches
    return Measured(
        n_batches=k + 1,
        energies=measured.energies.at[k].set(e_loc.real),
        imaginary=measured.imaginary + jnp.sum(jnp.exp(log_weight) * e_loc.imag**2),
        log_weights=measured.log_weights.at[k].set(log_weight),
        acceptance=measured.acceptance + info.scalars.get("acceptance", jnp.nan),
        sums={name: measured.sums[name] + value for name, value in values.items()},
    )


def result(problem: Problem, measured: Measured) -> dict[str, Any]:
    """The final numbers of a run: plain floats, None for what does not apply."""
    n_batches, n_chains, _ = measured.energies.shape
    chains = jnp.moveaxis(measured.energies, 0, 1).reshape(n_chains, -1)
    log_weights = jnp.moveaxis(measured.log_weights, 0, 1).reshape(n_chains, -1)
    tau = r_hat = None
    if not problem.sampler.independent:
        tau, r_hat = _number(statistics.autocorrelation_time(chains)), _number(statistics.split_r_hat(chains))
    e = statistics.estimate(chains, log_weights, tau or 0.0)
    energy, variance = float(e.mean), float(e.variance + measured.imaginary / chains.size)
    axes = {name: values for o in problem.observables for name, values in o.axes().items()}
    observables = {}
    averages = {name: np.asarray(value) / n_batches for name, value in measured.sums.items()}
    for name, (mean, error) in _estimates(problem, averages).items():
        if not np.all(np.isfinite(mean)):
            continue  # such as the Binder cumulant of a magnetisation that vanishes identically
        observables[name] = {"mean": mean.tolist(), "error": error.tolist()}
        if name in axes:
            observables[name]["axis"] = axes[name].tolist()
    return {
        "energy": energy,
        "energy_error": float(e.error),
        "energy_per_site": energy / problem.n_sites,
        "variance": variance,
        "v_score": float(statistics.v_score(problem.n_sites, energy, variance)),
        "n_samples_final": int(chains.size),
        "acceptance": _number(measured.acceptance / n_batches),
        "r_hat": r_hat,
        "tau": tau,
        "ess": float(e.ess),
        "observables": observables,
    }


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def divergence_due(problem: Problem, step: int, n_steps: int) -> bool:
    """About a dozen times a run, on systems that can be enumerated."""
    every = max(1, n_steps // 12)
    return problem.n_sites <= 20 and problem.sector.size <= JSD_MAX_STATES and (step % every == 0 or step == n_steps)


def divergence(problem: Problem, params: Params, sampler: Any, key: PRNGKeyArray) -> dict[str, float]:
    """Jensen-Shannon divergence of a separate draw from exact |ψ|², and the floor of a perfect sampler.

    Empty where the floor exceeds 0.2. The chains of the run are left alone.
    """
    values = jax.device_get(_divergence(problem, params, sampler, key))
    if not values["jsd_floor"] <= JSD_MAX_FLOOR:
        return {}
    return {name: float(value) for name, value in values.items()}


@jax.jit
def _divergence(problem: Problem, params: Params, sampler: Any, key: PRNGKeyArray) -> dict[str, Float[Array, ""]]:
    n_rounds = -(-JSD_SAMPLES // problem.sampler.n_samples)
    p = probabilities(log_amplitudes(problem.ansatz, params, problem.sector))

    def draw(state: Any, key: PRNGKeyArray) -> tuple[Any, tuple[Array, Array]]:
        samples, state, _ = problem.sampler.sample(key, problem.ansatz, params, state)
        index = basis_index(samples.sigma.reshape(-1, problem.n_sites), problem.sector)
        return state, (index, samples.log_weight.reshape(-1))

    key_draw, key_floor = jax.random.split(key)
    _, (index, log_weight) = jax.lax.scan(draw, sampler, jax.random.split(key_draw, n_rounds))
    drawn = statistics.empirical(index.reshape(-1), len(p), log_weight.reshape(-1))
    floor = statistics.jensen_shannon_floor(key_floor, p, index.size)
    return {"jsd": statistics.jensen_shannon(drawn, p), "jsd_floor": floor}
