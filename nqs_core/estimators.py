"""Local estimators: what an operator gives on one configuration."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, Int8

from nqs_core.ansatze.base import Cache, LocalUpdates, Prepared
from nqs_core.operators import LocalOperator
from nqs_core.sector import Sector
from nqs_core.types import Sigma
from nqs_core.wavefunction import Psi

BYTES_PER_MOVE = 48  # a matrix element and a ratio, complex, and what they are computed from


def local_value(
    operator: LocalOperator,
    updates: LocalUpdates,
    prepared: Prepared,
    cache: Cache,
    sigma: Sigma,
    sector: Sector,
) -> Inexact[Array, ""]:
    """O_loc(σ) = ⟨σ|O|σ⟩ + Σ_k ⟨σ|O|flip(σ, k)⟩ ψ(flip(σ, k)) / ψ(σ), ψ = 0 outside the sector."""
    diagonal = operator.diagonal(sigma)
    if len(operator.moves) == 0:
        return diagonal
    return diagonal + jnp.sum(_moved(operator, updates, prepared, cache, sigma, sector))


def local_values(psi: Psi, operator: LocalOperator, sigma: Int8[Array, "n n_sites"]) -> Inexact[Array, " n"]:
    """`local_value` of every configuration, in float64; real where the network and the operator are."""

    def one(updates: LocalUpdates, prepared: Prepared, s: Sigma) -> Inexact[Array, ""]:
        return local_value(operator, updates, prepared, updates.cache(prepared, s), s, psi.sector)

    return psi.map(one, sigma, bytes_each=_bytes_each(operator))


def resolved_values(psi: Psi, operator: LocalOperator, sigma: Int8[Array, "n n_sites"]) -> Inexact[Array, "n n_rows"]:
    """The local values of the sums of the k-th strings of all terms, for every k, from one call of `log_ratios`.

    All terms of the operator have n_rows strings.
    """

    def one(updates: LocalUpdates, prepared: Prepared, s: Sigma) -> Inexact[Array, " n_rows"]:
        diagonal = operator.diagonal_rows(s)
        if len(operator.moves) == 0:
            return diagonal
        moved = _moved(operator, updates, prepared, updates.cache(prepared, s), s, psi.sector)
        return diagonal + jnp.sum(moved.reshape(-1, operator.n_rows), axis=0)

    return psi.map(one, sigma, bytes_each=_bytes_each(operator))


def _bytes_each(operator: LocalOperator) -> int:
    return BYTES_PER_MOVE * len(operator.moves)


def _moved(
    operator: LocalOperator,
    updates: LocalUpdates,
    prepared: Prepared,
    cache: Cache,
    sigma: Sigma,
    sector: Sector,
) -> Inexact[Array, " n_moves"]:
    """⟨σ|O|flip(σ, k)⟩ ψ(flip(σ, k)) / ψ(σ) for every move k."""
    with jax.ensure_compile_time_eval():  # local updates may look at the moves themselves
        moves = jnp.asarray(operator.moves)
    mel = operator.mel(sigma)
    allowed = mel != 0
    if sector.sz is not None:
        # A network may give anything outside the sector of its run.
        allowed &= jnp.sum(jnp.where(moves < 0, 0, sigma[moves]), axis=1, dtype=jnp.int32) == 0
    ratios = updates.log_ratios(prepared, cache, sigma, moves, allowed)
    # A ratio of a forbidden move may be anything: it must not meet a zero as infinity.
    return jnp.where(allowed, mel, 0) * jnp.exp(jnp.where(allowed, ratios, 0))
