"""Local estimators: what an operator gives on one configuration."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, Int8

from nqs_core.ansatze.base import Ansatz, Cache, LocalUpdates, Prepared
from nqs_core.operators import LocalOperator
from nqs_core.types import Params, Sigma

CHUNK = 4096  # configurations evaluated at once: bounds the memory of caches and activations


def local_value(
    operator: LocalOperator, updates: LocalUpdates, prepared: Prepared, cache: Cache, sigma: Sigma
) -> Inexact[Array, ""]:
    """O_loc(σ) = ⟨σ|O|σ⟩ + Σ_k ⟨σ|O|flip(σ, k)⟩ ψ(flip(σ, k)) / ψ(σ)."""
    diagonal = operator.diagonal(sigma)
    if len(operator.moves) == 0:
        return diagonal
    mel = operator.mel(sigma)
    allowed = mel != 0
    ratios = updates.log_ratios(prepared, cache, sigma, jnp.asarray(operator.moves), allowed)
    # A ratio of a forbidden move may be anything: it must not meet a zero as infinity.
    return diagonal + jnp.sum(mel * jnp.exp(jnp.where(allowed, ratios, 0)))


def local_values(
    operator: LocalOperator, ansatz: Ansatz, params: Params, sigma: Int8[Array, "n n_sites"]
) -> Inexact[Array, " n"]:
    """`local_value` of every configuration, in float64, in chunks; real where the ansatz and the operator are."""
    updates = ansatz.local_updates()
    prepared = updates.prepare(params)

    def one(s: Sigma) -> Inexact[Array, ""]:
        return local_value(operator, updates, prepared, updates.cache(prepared, s), s)

    return jax.vmap(one)(sigma) if len(sigma) <= CHUNK else jax.lax.map(one, sigma, batch_size=CHUNK)
