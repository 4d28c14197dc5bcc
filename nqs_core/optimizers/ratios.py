"""Several steps on the samples of one batch: what pwo and prox share.

After each step the state is compared with the one that was sampled by log ψ - log ψ_old: r = |ψ|² / |ψ_old|² and the
phase α between them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Inexact

from nqs_core.optimizers.moves import TINY, Sampled, Track, conclude, is_normalised, tangent
from nqs_core.schedules import Schedule
from nqs_core.types import Coupling, Info, Params

LARGEST = 20.0  # of |log r|: exp stays finite


class Compared(NamedTuple):
    """½ log r and α of every sample; where ψ is not normalised r has the mean 1 over the samples."""

    half_log: Float[Array, " n"]
    phase: Float[Array, " n"]


Loss = Callable[[Compared], Float[Array, ""]]


class Inner(NamedTuple):
    """Of the optimizer of the inner steps."""

    params: Params
    moments: Any
    active: Bool[Array, ""]


def compare(sampled: Sampled, log_psi: Inexact[Array, " n"], normalised: bool) -> Compared:
    """The state `log_psi` on the samples of the old one; the mean phase, which has no meaning, is taken away."""
    wide = jnp.complex128 if jnp.iscomplexobj(log_psi) else jnp.float64
    change = log_psi.astype(wide) - sampled.log_psi.astype(wide)
    half = jnp.clip(change.real, -LARGEST / 2, LARGEST / 2)
    if not normalised:
        half = half - 0.5 * jax.lax.stop_gradient(jnp.log(jnp.sum(sampled.weights * jnp.exp(2 * half))))
    if not jnp.iscomplexobj(change):
        return Compared(half, jnp.zeros_like(half))
    mean = jax.lax.stop_gradient(jnp.angle(jnp.sum(sampled.weights * jnp.exp(1j * change.imag))))
    turned = change.imag - mean
    return Compared(half, jnp.arctan2(jnp.sin(turned), jnp.cos(turned)))


def distance(sampled: Sampled, moved: Compared) -> dict[str, Float[Array, ""]]:
    """How far the state has moved: infidelity, effective part of the samples, Kullback-Leibler divergence."""
    w, half, phase = sampled.weights, moved.half_log, moved.phase
    r = jnp.exp(2 * half)
    mean = jnp.maximum(jnp.sum(w * r), TINY)
    overlap = jnp.abs(jnp.sum(w * jnp.exp(half) * jnp.exp(1j * phase))) / jnp.sqrt(mean)
    return {
        "infidelity": jnp.clip(1 - overlap**2, 0.0, 1.0),
        "ess": mean**2 / jnp.sum(w * r**2),
        "kl": jnp.sum(w * (r / mean - 1 - jnp.log(jnp.maximum(r / mean, TINY)))),
    }


def loss_gradient(sampled: Sampled, params: Params, loss: Loss, normalised: bool) -> tuple[Params, Compared]:
    """The gradient of loss(½ log r, α) by the parameters, and what it was taken at."""
    signed = sampled.psi.signed

    def slopes(log_psi: Inexact[Array, " n"]) -> tuple[Inexact[Array, " n"], Compared]:
        def of(parts: tuple[Array, Array]) -> tuple[Float[Array, ""], Compared]:
            whole = jax.lax.complex(parts[0], parts[1]) if signed else parts[0]
            moved = compare(sampled, whole, normalised)
            return loss(moved), moved

        parts = (log_psi.real.astype(jnp.float64), log_psi.imag.astype(jnp.float64))
        (real, imaginary), moved = jax.grad(of, has_aux=True)(parts)
        return (jax.lax.complex(real, imaginary) if signed else real), moved

    return sampled.psi.at(params).pull_back(sampled.sigma, slopes)


def change_of_energy(sampled: Sampled, moved: Compared) -> Float[Array, ""]:
    """2 Re⟨z* (E_loc - E)⟩, z = √r e^{iα}: the change of the energy but for the term of second order in the step."""
    w, z = sampled.weights, jnp.exp(moved.half_log) * jnp.exp(1j * moved.phase)
    overlap = jnp.sum(w * z)
    z = z * jnp.conj(overlap) / jnp.maximum(jnp.abs(overlap), TINY)
    norm = jnp.sqrt(jnp.maximum(jnp.sum(w * jnp.abs(z) ** 2), TINY))
    e_loc = sampled.e_loc if sampled.psi.signed else sampled.e_loc.real
    return 2 * jnp.sum(w * jnp.conj(z) * e_loc).real / norm


def epochs(
    sampled: Sampled,
    track: Track,
    moments: Any,
    rule: optax.GradientTransformation,
    rate: Schedule,
    loss: Loss,
    n_epochs: int,
    max_infidelity: Coupling,
    min_ess: Coupling,
    space: str,
    told: Callable[[Compared], dict[str, Array]],
) -> tuple[Params, Track, Any, Info]:
    """θ ← θ - η rule(∂ loss), `n_epochs` times or until the state has moved too far for the samples.

    Too far is an infidelity above `max_infidelity` or an effective part of the samples below `min_ess`; the whole step
    is shortened to a Fubini-Study length of √max_infidelity. The rate advances with every inner step.

    Args:
        sampled: at the parameters before.
        track: of the updates before.
        moments: of `rule`.
        rule: turns a gradient into a direction.
        rate: η.
        loss: of ½ log r and α.
        n_epochs: inner steps.
        max_infidelity: the bound.
        min_ess: the bound.
        space: what the names of the rule's own numbers begin with.
        told: what else is to be reported of the state after the last step.
    """
    normalised = is_normalised(sampled.psi)

    def inside(moved: Compared) -> Bool[Array, ""]:
        far = distance(sampled, moved)
        return (far["infidelity"] <= max_infidelity) & (far["ess"] >= min_ess)

    def epoch(inner: Inner, k: Array) -> tuple[Inner, tuple[Array, Array]]:
        gradient, moved = loss_gradient(sampled, inner.params, loss, normalised)
        active = inner.active & ((k == 0) | inside(moved))
        direction, moments = rule.update(gradient, inner.moments)
        eta = rate.at(track.n_updates + k / n_epochs)
        params = jax.tree.map(lambda p, d: p - (eta * d).astype(p.dtype), inner.params, direction)
        new, old = Inner(params, moments, active), inner._replace(active=active)
        far = distance(sampled, moved)
        chosen = jax.tree.map(lambda a, b: jnp.where(active, a, b), new, old)
        return chosen, (active, far["infidelity"])

    start = Inner(sampled.psi.params, moments, jnp.asarray(True))
    last, (taken, infidelities) = jax.lax.scan(epoch, start, jnp.arange(n_epochs))
    moved = compare(sampled, sampled.psi.at(last.params).log_psi(sampled.sigma), normalised)
    far, step = distance(sampled, moved), jax.tree.map(jnp.subtract, last.params, sampled.psi.params)
    change = tangent(sampled, step)
    # Where amplitudes overlap hardly any more only the length of the step tells how far it went.
    longest = jnp.maximum(jnp.linalg.norm(change), jnp.sqrt(far["infidelity"]))
    shorter = jnp.minimum(1.0, jnp.sqrt(max_infidelity) / jnp.maximum(longest, TINY))
    params = jax.tree.map(lambda old, d: old + (shorter * d).astype(old.dtype), sampled.psi.params, step)
    linear = 2 * shorter * jnp.vdot(sampled.residual, change)
    expected = jnp.where(shorter < 1, linear, change_of_energy(sampled, moved))
    scalars = told(moved) | {name: far[name] for name in ("infidelity", "ess", "kl")}
    scalars |= {"epochs": jnp.sum(taken).astype(jnp.float64), "infidelity_by_epoch": infidelities}
    common = {"learning_rate": rate.at(track.n_updates), "fs_step": shorter * jnp.linalg.norm(change)}
    params, track, info = conclude(
        sampled, track, params, expected, **common, **{f"{space}/{name}": x for name, x in scalars.items()}
    )
    return params, track, last.moments, info
