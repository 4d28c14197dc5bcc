"""From samples to numbers with error bars: live diagnostics and the final measurement."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Int, PRNGKeyArray

from nqs_core import r_hat, statistics
from nqs_core.observables import averages
from nqs_core.problem import Problem
from nqs_core.reference import system
from nqs_core.reference.ground_space import ground_space
from nqs_core.samplers.base import Samples
from nqs_core.samplers.exact import basis_index, log_amplitudes, probabilities
from nqs_core.types import Info, Params
from nqs_core.wavefunction import bind

JSD_SAMPLES = 25_600
MAX_SITES, MAX_STATES = 20, 2**16  # of what is enumerated
JSD_MAX_FLOOR = 0.2  # above this the finite-sample floor says more about the sample size than about the sampler


class Measured(NamedTuple):
    """What the final measurement has collected."""

    n_batches: Int[Array, ""]
    energies: Float[Array, "n_batches n_chains n_draws"]  # real parts of the local energies
    imaginary: Float[Array, ""]  # weighted sum of their squared imaginary parts
    log_weights: Float[Array, "n_batches n_chains n_draws"]
    acceptance: Float[Array, ""]  # sum over batches
    sums: averages.Sums  # over batches


def empty(problem: Problem, params: Params, samples: Samples) -> Measured:
    """Room for the configured number of final samples, rounded up to whole batches; of `samples` only shapes count."""
    assert problem.config is not None
    n_chains, n_draws = samples.log_psi.shape
    n_batches = -(-problem.config.measure // (n_chains * n_draws))
    shapes = jax.eval_shape(group_sums, problem, params, samples)
    return Measured(
        n_batches=jnp.asarray(0, jnp.int64),
        energies=jnp.zeros((n_batches, n_chains, n_draws)),
        imaginary=jnp.asarray(0.0, jnp.float64),
        log_weights=jnp.zeros((n_batches, n_chains, n_draws)),
        acceptance=jnp.asarray(0.0, jnp.float64),
        sums=jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes),
    )


def energy_scalars(
    problem: Problem,
    e_loc: Inexact[Array, "n_chains n_draws"],
    log_weight: Float[Array, "n_chains n_draws"],
    window: Float[Array, "n_rows n_window"],
    info: Info,
) -> dict[str, Float[Array, ""]]:
    """energy, its standard error with the autocorrelation time, variance, V-score; tau, ess of the chains.

    Of chains that did not move at all nothing is known but the energy where they are: error, tau and ess are NaN.
    Traced: part of a jitted step.
    """
    tau, chains = jnp.zeros(()), {}
    if not problem.sampler.independent:
        n_known = jnp.sum(jnp.all(jnp.isfinite(window), axis=0))
        moved = info.scalars.get("acceptance", jnp.ones(())) > 0
        tau = jnp.where(moved, statistics.autocorrelation_time(window, n_known), jnp.nan)
        chains = {"tau": tau}
        tau = jnp.where(moved & (n_known < 2), 0.0, tau)  # one draw of each chain: the chains are independent
    e = statistics.estimate(e_loc, log_weight, tau)
    energy, v_score = e.mean.real, statistics.v_score(problem.n_sites, e.mean.real, e.variance)
    out = {"energy": energy, "energy_error": e.error, "variance": e.variance, "v_score": v_score, "ess": e.ess}
    return out | chains


def agreement(
    problem: Problem, window: Float[Array, "n_chains n_window"], scalars: dict[str, float]
) -> dict[str, float]:
    """r_hat and, of 16 chains or more, r_hat_nested of a window that is full; nothing before.

    Chains that did not move are judged by where they are: ∞ where they differ, NaN where they are all alike, up to
    rounding of the energy; `scalars` are those of the step. On the host: ranks need sorting.
    """
    if problem.sampler.independent:
        return {}
    chains = np.asarray(window)
    if scalars.get("acceptance", 1.0) == 0:
        apart = float(np.ptp(chains[:, -1])) > 1e-12 * abs(scalars["energy"])
        return dict.fromkeys(_r_hat_names(len(chains)), math.inf if apart else math.nan)
    return _r_hats(chains) if np.isfinite(chains).all() else {}


def _r_hat_names(n_chains: int) -> tuple[str, ...]:
    return ("r_hat", "r_hat_nested") if n_chains >= r_hat.MIN_CHAINS else ("r_hat",)


def _r_hats(chains: Float[np.ndarray, "n_chains n_draws"]) -> dict[str, float]:
    both = {"r_hat": r_hat.largest, "r_hat_nested": r_hat.nested}
    return {name: both[name](chains) for name in _r_hat_names(len(chains))}


def distinct(samples: Samples) -> Float[Array, ""]:
    """How many different configurations a batch holds; by a hash, so that two may rarely count as one."""
    flat = samples.sigma.reshape(-1, samples.sigma.shape[-1])
    words = np.random.default_rng(0).integers(0, 2**32, flat.shape[1], np.uint32)
    ordered = jnp.sort(jnp.sum(jnp.where(flat > 0, words[None, :], np.uint32(0)), axis=1, dtype=jnp.uint32))
    return 1.0 + jnp.count_nonzero(jnp.diff(ordered)).astype(jnp.float64)


@jax.jit
def group_sums(problem: Problem, params: Params, samples: Samples) -> averages.Sums:
    """Every observable's weighted sum over the draws of each group of chains."""
    return averages.group_sums(problem.observables, bind(problem.ansatz, params), samples)


def live(
    problem: Problem, params: Params, samples: Samples, moved: bool = True
) -> tuple[dict[str, float], dict[str, Any]]:
    """Observables of one batch for the stream: scalars and arrays with their errors, NaN where chains did not move.

    A single group of chains has no errors.
    """
    scalars: dict[str, float] = {}
    arrays: dict[str, Any] = {}
    sums = jax.device_get(group_sums(problem, params, samples))
    for name, (mean, error) in averages.estimates(problem.observables, sums).items():
        pairs = [(name, mean), (f"{name}_error", error if moved else error * math.nan)]
        for key, value in pairs[: 1 if len(samples.sigma) == 1 else 2]:
            if value.ndim == 0:
                scalars[key] = float(value)
            else:
                arrays[key] = short(value)
    return scalars, arrays


def short(values: np.ndarray) -> list[Any]:
    """As lists, with seven digits of the largest: many arrays are stored in a run."""
    largest = np.max(np.abs(values), initial=0.0, where=np.isfinite(values))
    return (np.round(values, 7 - math.ceil(math.log10(largest))) if largest > 0 else values).tolist()


def add(
    measured: Measured,
    e_loc: Inexact[Array, "n_chains n_draws"],
    log_weight: Float[Array, "n_chains n_draws"],
    info: Info,
) -> Measured:
    """`measured` with the energies of one more batch."""
    k = measured.n_batches
    return measured._replace(
        n_batches=k + 1,
        energies=measured.energies.at[k].set(e_loc.real),
        imaginary=measured.imaginary + jnp.sum(jnp.exp(log_weight) * e_loc.imag**2),
        log_weights=measured.log_weights.at[k].set(log_weight),
        acceptance=measured.acceptance + info.scalars.get("acceptance", jnp.nan),
    )


def add_observables(measured: Measured, sums: averages.Sums) -> Measured:
    """`measured` with the observables of one more batch."""
    return measured._replace(sums=jax.tree.map(jnp.add, measured.sums, sums))


def result(problem: Problem, measured: Measured, params: Params) -> dict[str, Any]:
    """The final numbers of a run: plain floats, None for what does not apply, NaN for what is undefined.

    Chains that never moved have no error, tau and ess, as in `energy_scalars`.
    """
    n_batches, n_chains, _ = measured.energies.shape
    chains = jnp.moveaxis(measured.energies, 0, 1).reshape(n_chains, -1)
    log_weights = jnp.moveaxis(measured.log_weights, 0, 1).reshape(n_chains, -1)
    acceptance = float(measured.acceptance / n_batches)
    moved = acceptance != 0
    found: dict[str, float | None] = {"r_hat": None, "r_hat_nested": None, "tau": None}
    tau = 0.0
    if not problem.sampler.independent:
        found |= _r_hats(np.asarray(chains))
        found["tau"] = float(statistics.autocorrelation_time(chains)) if moved else math.nan
        tau = found["tau"] if chains.shape[1] > 1 or not moved else 0.0
        if not moved:
            found |= {name: math.nan for name, value in found.items() if value == 1}  # equal, but nothing was drawn
    e = statistics.estimate(chains, log_weights, tau)
    energy, variance = float(e.mean), float(e.variance + measured.imaginary / jnp.sum(jnp.exp(log_weights)))
    return {
        "energy": energy,
        "energy_error": float(e.error),
        "energy_per_site": energy / problem.n_sites,
        "variance": variance,
        "v_score": float(statistics.v_score(problem.n_sites, energy, variance)),
        "n_samples_final": int(chains.size),
        "acceptance": None if math.isnan(acceptance) else acceptance,
        **found,
        "ess": float(e.ess),
        "infidelity": final_infidelity(problem, params),
        "observables": _observables(problem, measured, n_chains, moved),
    }


def _observables(problem: Problem, measured: Measured, n_chains: int, moved: bool) -> dict[str, Any]:
    """Mean, error (None for a single chain, NaN where none moved) and axis of every quantity that has a value."""
    axes = {name: axis for o in problem.observables for name, axis in o.axes().items()}
    out: dict[str, Any] = {}
    for name, (mean, error) in averages.estimates(problem.observables, jax.device_get(measured.sums)).items():
        error = error if moved else error * math.nan
        out[name] = {"mean": mean.tolist(), "error": None if n_chains == 1 else error.tolist()}
        if name in axes:
            out[name]["axis"] = axes[name].tolist()
    return out


def is_enumerable(problem: Problem) -> bool:
    """Whether exact |ψ|² and the exact ground states are compared with."""
    return problem.n_sites <= MAX_SITES and problem.sector.size <= MAX_STATES


def exact_due(problem: Problem, step: int) -> bool:
    """Where the system can be enumerated, at the interval of the observables if it is given, else a dozen times."""
    assert problem.config is not None
    every, n_steps = problem.config.observe_every, problem.config.n_steps
    return is_enumerable(problem) and (step % (every or max(1, n_steps // 12)) == 0 or step == n_steps)


def ground_states(problem: Problem) -> np.ndarray | None:
    """The lowest states of the run's H, Marshall rotation included, with the labels of the run's sector, as columns.

    All states of a degenerate level; None where finding them takes too long.
    """
    assert problem.config is not None
    found = ground_space(*system(problem.config))
    if found is None or not getattr(problem.hamiltonian, "marshall", False):
        return found
    # The reference is not rotated, which multiplies ψ by Π σᵢ over one sublattice.
    colour = problem.hamiltonian.lattice.sublattice()
    assert colour is not None
    return found * np.prod(problem.sector.enumerate()[:, colour == 1], axis=1)[:, None]


def infidelity(problem: Problem, log_psi: Inexact[np.ndarray, " size"]) -> float | None:
    """1 - |⟨φ₀|ψ⟩|² / ⟨ψ|ψ⟩ from log ψ on the enumerated sector; of a degenerate level the whole space counts.

    None of several states, and where the exact ones take too long.
    """
    ground = ground_states(problem) if problem.n_states == 1 else None
    if ground is None:
        return None
    psi = np.exp(log_psi.astype(np.complex128) - np.max(np.real(log_psi)))
    psi /= np.linalg.norm(psi)
    # The part outside, not 1 - overlap: it keeps its digits when it is small.
    return float(np.linalg.norm(psi - ground @ (ground.conj().T @ psi)) ** 2)


def against_exact(problem: Problem, params: Params, sampler: Any, key: PRNGKeyArray) -> dict[str, float]:
    """Infidelity; Jensen-Shannon divergence of a separate draw from exact |ψ|², and the floor of a perfect sampler.

    No divergence where the floor exceeds 0.2. The chains of the run are left alone.
    """
    values, log_psi = jax.device_get(_divergence(problem, params, sampler, key))
    out = {name: float(value) for name, value in values.items()} if values["jsd_floor"] <= JSD_MAX_FLOOR else {}
    found = infidelity(problem, log_psi)
    return out if found is None else out | {"infidelity": found}


def final_infidelity(problem: Problem, params: Params) -> float | None:
    """`infidelity` of the final state, None where the system is not enumerable."""
    if not is_enumerable(problem):
        return None
    return infidelity(problem, np.asarray(_log_psi(problem, params)))


@jax.jit
def _log_psi(problem: Problem, params: Params) -> Inexact[Array, " size"]:
    return log_amplitudes(bind(problem.ansatz, params), problem.sector)


@jax.jit
def _divergence(
    problem: Problem, params: Params, sampler: Any, key: PRNGKeyArray
) -> tuple[dict[str, Float[Array, ""]], Inexact[Array, " size"]]:
    n_rounds = -(-JSD_SAMPLES // problem.sampler.n_samples)
    psi, measuring = bind(problem.ansatz, params), problem.sampler.for_measurement()
    log_psi = log_amplitudes(psi, problem.sector)
    p = probabilities(log_psi)

    def draw(state: Any, key: PRNGKeyArray) -> tuple[Any, tuple[Array, Array]]:
        samples, state, _ = measuring.sample(key, psi, state)
        index = basis_index(samples.sigma.reshape(-1, problem.n_sites), problem.sector)
        return state, (index, samples.log_weight.reshape(-1))

    key_draw, key_floor = jax.random.split(key)
    _, (index, log_weight) = jax.lax.scan(draw, sampler, jax.random.split(key_draw, n_rounds))
    drawn = statistics.empirical(index.reshape(-1), len(p), log_weight.reshape(-1))
    floor = statistics.jensen_shannon_floor(key_floor, p, index.size)
    return {"jsd": statistics.jensen_shannon(drawn, p), "jsd_floor": floor}, log_psi
