"""Stochastic reconfiguration in the space of samples."""

from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.operations import Effort, Operations
from nqs_core.jacobian import bytes_of, describe, kernel_bytes, kernel_effort
from nqs_core.optimizers.base import Batch, Optimizer, gradient_effort, normalised_weights, report, unstable
from nqs_core.registry import component, context, param
from nqs_core.types import Coupling, Info, Params, Shapes


@component
class MinSR(Optimizer):
    """θ ← θ - η (S + λ)⁻¹ F, solved as Ōᵀ (Ō Ōᵀ + λ)⁻¹ ε̄ in the space of samples.

    Ō are the centred log-derivatives / √n (real parts above imaginary parts), ε̄ = (E_loc - E) / √n, S = ŌᵀŌ, F = Ōᵀε̄.
    The step is shortened where its Fubini-Study length η √(dᵀ S d) would exceed `max_fs_step`.
    Source: Chen and Heyl, Nat. Phys. 20, 1476 (2024), arXiv:2302.01941; Rende et al., Commun. Phys. 7, 260 (2024).
    """

    learning_rate: Coupling = param(0.02, gt=0, le=10, title="Learning rate η", help="Imaginary-time step.", unit="1/J")
    diag_shift: Coupling = param(1e-3, ge=1e-12, le=10, title="Diagonal shift λ", help="Regularises the metric S.")
    max_fs_step: Coupling = param(
        0.1, gt=0, le=10, title="Largest Fubini-Study step", help="Bound on the distance between successive states."
    )
    n_steps: Coupling = context(1.0)
    remedy: ClassVar[str] = (
        "a smaller learning_rate, a smaller max_fs_step or a larger diag_shift keeps the steps short"
    )

    def doubts(self, flip_energy: float) -> list[str]:
        return unstable(float(self.learning_rate), flip_energy)

    def init(self, params: Params) -> None:
        return None

    def update(self, key: PRNGKeyArray, batch: Batch, state: None) -> tuple[Params, None, Info]:
        psi = batch.psi
        weights = normalised_weights(batch)
        kernel = centred_kernel(psi.tangent_kernel(batch.sigma), weights)
        centred = jnp.sqrt(weights) * (batch.e_loc - jnp.sum(weights * batch.e_loc))
        residual = jnp.concatenate([centred.real, centred.imag]) if psi.signed else centred.real
        x = solve_shifted(kernel, self.diag_shift, residual)
        # Ō d = T x = ε̄ - λ x: the length of the step in the space of states.
        fs_step = self.learning_rate * jnp.linalg.norm(residual - self.diag_shift * x)
        rate = self.learning_rate * jnp.minimum(1.0, self.max_fs_step / jnp.maximum(fs_step, 1e-30))
        direction = psi.log_derivative_sum(batch.sigma, _coefficients(x, weights))
        updates = jax.tree.map(lambda p, d: (-rate * d).astype(p.dtype), psi.params, direction)
        info = report(
            learning_rate=rate,
            fs_step=jnp.minimum(fs_step, self.max_fs_step),
            update_norm=optax.tree.norm(updates),
        )
        return optax.apply_updates(psi.params, updates), state, info

    def workspace(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> int:
        return 2 * bytes_of(params) + kernel_bytes(ansatz, params, n_samples)

    def effort(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> Effort:
        """The kernel, its Cholesky decomposition, and a backward pass."""
        kernel, gradient = kernel_effort(ansatz, params, n_samples), gradient_effort(ansatz, n_samples)
        m = n_samples * (2 if ansatz.signed else 1)
        solve = Operations(products=m**3 / 3 + 4 * m**2, elements=6 * m**2, calls=40)
        return Effort(
            forwards=kernel.forwards + gradient.forwards,
            rounds=kernel.rounds + gradient.rounds,
            beside=kernel.beside.plus(solve),
        )

    def describe(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> str:
        return describe(ansatz, params, n_samples)


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


def _coefficients(x: Float[Array, " m"], weights: Float[Array, " n"]) -> Array:
    """c with Σ_s Re(c_s* O_s) = Ōᵀ x for the centred rows √w (O - ⟨O⟩)."""
    root = jnp.sqrt(weights)
    parts = [root * part - weights * jnp.sum(root * part) for part in x.reshape(-1, len(weights))]
    return parts[0] + 1j * parts[1] if len(parts) == 2 else parts[0]
