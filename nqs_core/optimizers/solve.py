"""Linear systems of stochastic reconfiguration: one place for all rules that solve one."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nqs_core.ansatze.operations import Operations
from nqs_core.optimizers.moves import TINY
from nqs_core.types import Coupling

BINS = 32
LOWEST, HIGHEST = -14.0, 4.0  # decades that the histogram of a spectrum covers


class Diagnosis(NamedTuple):
    """Of the spectrum s_k of the metric: a histogram of log₁₀ s_k, Σ s / (s + λ), and the largest and the smallest s.

    Looked at now and then: a spectrum costs ten times a solution.
    """

    histogram: Float[Array, " bins"]
    effective_dimension: Float[Array, ""]
    largest: Float[Array, ""]
    smallest: Float[Array, ""]


def unknown() -> Diagnosis:
    """Before the first look."""
    zero = jnp.asarray(0.0, jnp.float64)
    return Diagnosis(jnp.zeros(BINS, jnp.float64), zero, zero, zero)


def diagnose(
    matrix: Float[Array, "m m"], shift: Coupling, last: Diagnosis, n: Int[Array, ""], every: Coupling
) -> Diagnosis:
    """The spectrum at every `every`-th update, that of the last look otherwise."""

    def look(matrix: Float[Array, "m m"]) -> Diagnosis:
        values = jnp.maximum(jnp.linalg.eigvalsh(matrix), 0.0).astype(jnp.float64)
        decades = jnp.clip(jnp.log10(jnp.maximum(values, TINY)), LOWEST, HIGHEST)
        index = jnp.minimum((decades - LOWEST) / (HIGHEST - LOWEST) * BINS, BINS - 1).astype(jnp.int32)
        histogram = jnp.zeros(BINS, jnp.float64).at[index].add(1.0)
        dimension = jnp.sum(values / (values + shift))
        return Diagnosis(histogram, dimension, jnp.max(values), jnp.min(values))

    return jax.lax.cond(jnp.mod(n, every) < 1, look, lambda _: last, matrix)


def solver_told(diagnosis: Diagnosis, shift: Coupling, **told: Any) -> dict[str, Any]:
    """What every rule that solves reports."""
    named = {
        "spectrum": diagnosis.histogram,
        "effective_dimension": diagnosis.effective_dimension,
        "eigenvalue_max": diagnosis.largest,
        "eigenvalue_min": diagnosis.smallest,
        "condition": (diagnosis.largest + shift) / (diagnosis.smallest + shift),
        "diag_shift": jnp.asarray(shift, jnp.float64),
        **told,
    }
    return {f"sr/{name}": value for name, value in named.items()}


def decomposition(m: int) -> Operations:
    """Of a Cholesky decomposition of m rows and the solution by it."""
    return Operations(products=m**3 / 3 + 4 * m**2, elements=6 * m**2, calls=40)


def centred_kernel(kernel: Float[Array, "m m"], weights: Float[Array, " n"]) -> Float[Array, "m m"]:
    """The kernel of √w (O - ⟨O⟩) from that of O, block by block where real and imaginary rows are stacked."""
    n = len(weights)
    w = weights.astype(kernel.dtype)
    blocks = kernel.reshape(len(kernel) // n, n, -1, n)
    means = jnp.einsum("anbm,m->anb", blocks, w, precision="highest")
    means = means - jnp.einsum("anb,n->ab", means, w, precision="highest")[:, None] / 2
    # The kernel is symmetric: the means of its columns are those of its rows.
    centred = blocks - means[..., None] - means.transpose(2, 0, 1)[:, None]
    scale = jnp.sqrt(w)
    return (centred * scale[None, :, None, None] * scale[None, None, None, :]).reshape(kernel.shape)


def solve_shifted(kernel: Float[Array, "m m"], shift: Coupling, residual: Float[Array, " m"]) -> Float[Array, " m"]:
    """x = (T + λ)⁻¹ ε̄: Cholesky in the kernel's precision, or by eigenvalues in float64 where that fails."""
    diagonal = jnp.asarray(shift, kernel.dtype) * jnp.eye(len(kernel), dtype=kernel.dtype)
    factor, _ = jax.scipy.linalg.cho_factor(kernel + diagonal)
    # Backward stable, and the kernel itself is known to its own precision only: refining would gain nothing.
    x = _substitute(factor, residual.astype(kernel.dtype)).astype(jnp.float64)

    def by_eigenvalues(kernel: Float[Array, "m m"]) -> Float[Array, " m"]:
        values, vectors = jnp.linalg.eigh(kernel.astype(jnp.float64))
        return vectors @ ((vectors.T @ residual) / (jnp.maximum(values, 0.0) + shift))

    return jax.lax.cond(jnp.all(jnp.isfinite(x)), lambda _: x, by_eigenvalues, kernel)


def _substitute(factor: Float[Array, "m m"], b: Float[Array, " m"]) -> Float[Array, " m"]:
    """x with Uᵀ U x = b for the upper triangular `factor` U.

    In blocks: with one right-hand side, XLA's triangular solve on a CPU copies U for longer than it computes.
    """
    m = len(b)
    starts = range(0, m, max(256, -(-m // 16)))
    stops = [*starts[1:], m]
    product = partial(jnp.matmul, precision="highest")
    y = jnp.zeros(0, b.dtype)
    for i, j in zip(starts, stops, strict=True):
        y = jnp.concatenate([y, _triangular(factor[i:j, i:j], b[i:j] - product(y, factor[:i, i:j]), transpose=True)])
    x = jnp.zeros(0, b.dtype)
    for i, j in reversed(list(zip(starts, stops, strict=True))):
        x = jnp.concatenate([_triangular(factor[i:j, i:j], y[i:j] - product(factor[i:j, j:], x), transpose=False), x])
    return x


def _triangular(block: Float[Array, "k k"], b: Float[Array, " k"], *, transpose: bool) -> Float[Array, " k"]:
    return jax.lax.linalg.triangular_solve(block, b[:, None], left_side=True, transpose_a=transpose)[:, 0]
