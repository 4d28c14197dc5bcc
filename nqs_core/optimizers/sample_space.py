"""Stochastic reconfiguration in the space of samples: what minsr, spring and march share."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.operations import Effort
from nqs_core.jacobian import kernel_effort
from nqs_core.optimizers.base import gradient_effort
from nqs_core.optimizers.moves import TINY, Sampled
from nqs_core.optimizers.solve import Diagnosis, centred_kernel, decomposition, diagnose, solve_shifted, solver_told
from nqs_core.types import Coupling, Params, Shapes


class Solution(NamedTuple):
    """x = (T + λ)⁻¹ r, and what is known of the solution."""

    x: Float[Array, " m"]
    diagnosis: Diagnosis
    told: dict[str, Array]


def solve(
    sampled: Sampled,
    right: Float[Array, " m"],
    shift: Coupling,
    last: Diagnosis,
    n: Array,
    every: Coupling,
    scale: Params | None = None,
) -> Solution:
    """x = (X D⁻² Xᵀ + λ)⁻¹ r for the rows X = √w (O - ⟨O⟩).

    Args:
        sampled: the samples.
        right: r.
        shift: λ.
        last: the diagnosis before this one.
        n: updates before this one.
        every: updates between looks at the spectrum.
        scale: D⁻¹, shaped like the parameters; 1 where None.
    """
    kernel = centred_kernel(sampled.psi.tangent_kernel(sampled.sigma, scale), sampled.weights)
    x = solve_shifted(kernel, shift, right)
    diagnosis = diagnose(kernel, shift, last, n, every)
    left = (kernel @ x.astype(kernel.dtype)).astype(jnp.float64) + shift * x - right
    norm = jnp.maximum(jnp.linalg.norm(sampled.residual), TINY)
    told = solver_told(
        diagnosis,
        shift,
        residual=jnp.linalg.norm(left) / jnp.maximum(jnp.linalg.norm(right), TINY),
        unexplained=shift * jnp.linalg.norm(x) / norm,  # X d = f - λ x
    )
    return Solution(x, diagnosis, told)


def solve_effort(ansatz: Ansatz, params: Shapes, n_samples: int, tangent: int = 0, plain: bool = True) -> Effort:
    """The kernel, its Cholesky decomposition, a backward pass and products with a tangent."""
    kernel = kernel_effort(ansatz, params, n_samples, scaled=not plain)
    gradient = gradient_effort(ansatz, n_samples, tangent=tangent)
    m = n_samples * (2 if ansatz.signed else 1)
    return Effort(
        forwards=kernel.forwards + gradient.forwards,
        rounds=kernel.rounds + gradient.rounds,
        beside=kernel.beside.plus(decomposition(m)),
    )
