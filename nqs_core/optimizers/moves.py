"""What every update shares: samples that can be used, the length of the step, and what is reported of it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Inexact, Int, Int8

from nqs_core.ansatze.sequential import SequentialAnsatz
from nqs_core.optimizers.base import Batch
from nqs_core.types import Coupling, Info, Params
from nqs_core.wavefunction import Psi

TINY = 1e-30


class Track(NamedTuple):
    """What every optimizer remembers: its updates, the energy before the last one, and its expected change."""

    n_updates: Int[Array, ""]
    energy: Float[Array, ""]
    expected: Float[Array, ""]


def first() -> Track:
    """Before the first update."""
    return Track(jnp.asarray(0, jnp.int64), jnp.asarray(0.0, jnp.float64), jnp.asarray(0.0, jnp.float64))


class Sampled(NamedTuple):
    """The samples of a batch that can be used, the others with weight 0.

    weights sum to 1; e_loc is centred on the energy; residual f is √w e_loc, real parts above imaginary ones where ψ is
    signed; spread is √⟨|e_loc|²⟩. All float64.
    """

    psi: Psi
    sigma: Int8[Array, "n n_sites"]
    log_psi: Inexact[Array, " n"]
    weights: Float[Array, " n"]
    e_loc: Inexact[Array, " n"]
    residual: Float[Array, " m"]
    energy: Float[Array, ""]
    spread: Float[Array, ""]
    n_nonfinite: Float[Array, ""]


def usable(batch: Batch) -> Sampled:
    """The batch without samples whose amplitude, weight or local energy is no finite number.

    Their place is taken by a usable one: a derivative that is no number stays none when it is multiplied by 0.
    """
    finite = jnp.isfinite(batch.e_loc) & jnp.isfinite(batch.log_psi) & ~jnp.isnan(batch.log_weight)
    index = jnp.where(finite, jnp.arange(len(finite)), jnp.argmax(finite))
    log_weight = jnp.where(finite, batch.log_weight.astype(jnp.float64), -jnp.inf)
    weights = jax.nn.softmax(log_weight)
    e_loc = batch.e_loc[index].astype(jnp.complex128 if jnp.iscomplexobj(batch.e_loc) else jnp.float64)
    mean = jnp.sum(weights * e_loc)
    centred = e_loc - mean
    return Sampled(
        psi=batch.psi,
        sigma=batch.sigma[index],
        log_psi=batch.log_psi[index],
        weights=weights,
        e_loc=centred,
        residual=rows(batch.psi, jnp.sqrt(weights) * centred),
        energy=mean.real,
        spread=jnp.sqrt(jnp.sum(weights * jnp.abs(centred) ** 2)),
        n_nonfinite=jnp.sum(~finite).astype(jnp.float64),
    )


def rows(psi: Psi, values: Inexact[Array, " n"]) -> Float[Array, " m"]:
    """Real parts above imaginary ones where ψ is signed, the real parts alone otherwise; float64."""
    parts = [values.real, values.imag] if psi.signed else [values.real]
    return jnp.concatenate(parts).astype(jnp.float64)


def tangent(sampled: Sampled, direction: Params) -> Float[Array, " m"]:
    """X d for the rows √w (O - ⟨O⟩) of X: how log ψ changes along a direction; its norm is the Fubini-Study length."""
    change = sampled.psi.log_derivative_product(sampled.sigma, direction)
    change = change.astype(jnp.complex128 if jnp.iscomplexobj(change) else jnp.float64)
    change = change - jnp.sum(sampled.weights * change)
    return rows(sampled.psi, jnp.sqrt(sampled.weights) * change)


def cotangent(sampled: Sampled, x: Float[Array, " m"]) -> Params:
    """Xᵀ x, shaped like the parameters."""
    weights = sampled.weights
    root = jnp.sqrt(weights)
    parts = [root * part - weights * jnp.sum(root * part) for part in x.reshape(-1, len(weights))]
    coefficients = jax.lax.complex(parts[0], parts[1]) if len(parts) == 2 else parts[0]
    return sampled.psi.log_derivative_sum(sampled.sigma, coefficients)


def move(
    sampled: Sampled,
    track: Track,
    direction: Params,
    change: Float[Array, " m"],
    learning_rate: Coupling,
    max_fs_step: Coupling,
    **told: Any,
) -> tuple[Params, Track, Info]:
    """θ ← θ - η d, η shortened where the Fubini-Study length η |X d| of the step would exceed `max_fs_step`.

    Args:
        sampled: at the parameters θ.
        track: of the updates before.
        direction: d, shaped like θ.
        change: X d, by `tangent`.
        learning_rate: η.
        max_fs_step: the bound.
        told: what else is to be reported.
    """
    length = learning_rate * jnp.linalg.norm(change)
    rate = learning_rate * jnp.minimum(1.0, max_fs_step / jnp.maximum(length, TINY))
    params = jax.tree.map(lambda p, d: p - (rate * d).astype(p.dtype), sampled.psi.params, direction)
    expected = -2 * rate * jnp.vdot(sampled.residual, change)
    told = {"learning_rate": rate, "fs_step": rate * jnp.linalg.norm(change), **told}
    return conclude(sampled, track, params, expected, **told)


def conclude(
    sampled: Sampled, track: Track, params: Params, expected: Float[Array, ""], **told: Any
) -> tuple[Params, Track, Info]:
    """New parameters with what is reported of the step to them, and of the change of energy by the one before.

    A step to something that is no number does not take place.
    """
    moved = optax.tree.norm(jax.tree.map(jnp.subtract, params, sampled.psi.params))
    ready = jnp.isfinite(moved) & jnp.isfinite(sampled.energy)
    before = track.n_updates > 0
    scalars = {
        "update_norm": moved,
        "nonfinite_samples": sampled.n_nonfinite,
        "energy_change": jnp.where(before, sampled.energy - track.energy, 0.0),
        "energy_change_expected": jnp.where(before, track.expected, 0.0),
        **{name: value for name, value in told.items() if jnp.ndim(value) == 0},
    }
    arrays = {name: value for name, value in told.items() if jnp.ndim(value) > 0}
    info = Info(ready, {name: jnp.asarray(value) for name, value in scalars.items()}, arrays)
    return params, Track(track.n_updates + 1, sampled.energy, expected.astype(jnp.float64)), info


def is_normalised(psi: Psi) -> bool:
    """Whether Σ |ψ|² = 1 at all parameters."""
    return isinstance(psi.ansatz, SequentialAnsatz)
