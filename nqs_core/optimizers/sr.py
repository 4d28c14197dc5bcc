"""Stochastic reconfiguration in the space of parameters."""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.operations import Effort, Operations
from nqs_core.derivatives import as_vector, n_real, vector_to_tree
from nqs_core.jacobian import bytes_of
from nqs_core.optimizers.base import Batch, Optimizer, gradient_effort, unstable
from nqs_core.optimizers.minsr import RATE, SHIFT, Solved
from nqs_core.optimizers.moves import TINY, Sampled, cotangent, first, move, tangent, usable
from nqs_core.optimizers.solve import decomposition, diagnose, solve_shifted, solver_told, unknown
from nqs_core.registry import component, context, param
from nqs_core.schedules import SCHEDULES, Schedule
from nqs_core.types import Coupling, Info, Params, Shapes

MOST_DENSE = 2048  # real parameters whose metric is built and decomposed


@component
class SR(Optimizer):
    """θ ← θ - η (S + λ)⁻¹ F with the metric S = Re⟨O* O⟩ - Re⟨O*⟩⟨O⟩ of the parameters: the quantum geometric tensor.

    Dense S is decomposed; the matrix-free solver multiplies by it, one product with a tangent and one backward pass in
    every iteration of conjugate gradients, and needs no memory beyond the parameters.
    Source: Sorella, Phys. Rev. Lett. 80, 4558 (1998); Phys. Rev. B 64, 024512 (2001).
    """

    learning_rate: Schedule = param(
        RATE, family=SCHEDULES, gt=0, le=10, title="Learning rate η", help="Imaginary-time step.", unit="1/J"
    )
    diag_shift: Schedule = param(
        SHIFT, family=SCHEDULES, ge=1e-12, le=10, title="Diagonal shift λ", help="Regularises the metric S."
    )
    solver: Literal["auto", "dense", "cg"] = param(
        "auto",
        title="Solver",
        help=f"Auto builds S up to {MOST_DENSE} parameters, and uses conjugate gradients beyond.",
    )
    tolerance: Coupling = param(1e-4, ge=1e-14, lt=1, title="Tolerance", help="Relative residual of the cg solver.")
    iterations: int = param(100, ge=1, le=10_000, title="Iterations", help="At most, of the cg solver.")
    max_fs_step: Coupling = param(
        0.1, gt=0, le=100, title="Largest Fubini-Study step", help="Bound on the distance between successive states."
    )
    spectrum_every: Coupling = param(
        50.0, ge=1, le=1e9, title="Spectrum every", help="Steps between looks at the spectrum of S.", unit="steps"
    )
    n_steps: Coupling = context(1.0)
    flip_energy: Coupling = context(1.0)

    def doubts(self, flip_energy: float) -> list[str]:
        return unstable(self.learning_rate, flip_energy)

    def init(self, params: Params) -> Solved:
        return Solved(first(), unknown())

    def update(self, key: PRNGKeyArray, batch: Batch, state: Solved) -> tuple[Params, Solved, Info]:
        sampled, n = usable(batch), state.track.n_updates
        shift, rate = self.diag_shift.at(n), self.learning_rate.at(n)
        force = as_vector(cotangent(sampled, sampled.residual)).astype(jnp.float64)
        diagnosis, known = state.diagnosis, {}
        if self._dense(sampled.psi.params):
            metric = _metric(sampled)
            solution = solve_shifted(metric, shift, force)
            diagnosis = diagnose(metric, shift, diagnosis, n, self.spectrum_every)
            left = metric @ solution + shift * solution - force
            known = solver_told(diagnosis, shift)
        else:
            product, tolerance = partial(_product, sampled, shift), jnp.asarray(self.tolerance, jnp.float64)
            solution, _ = jax.scipy.sparse.linalg.cg(product, force, tol=tolerance, maxiter=self.iterations)  # pyright: ignore[reportArgumentType]
            left = product(solution) - force
        direction = vector_to_tree(solution, sampled.psi.params)
        change = tangent(sampled, direction)
        norm = jnp.maximum(jnp.linalg.norm(sampled.residual), TINY)
        told: dict[str, Any] = known | {
            "sr/residual": jnp.linalg.norm(left) / jnp.maximum(jnp.linalg.norm(force), TINY),
            "sr/unexplained": jnp.linalg.norm(change - sampled.residual) / norm,
        }
        params, track, info = move(sampled, state.track, direction, change, rate, self.max_fs_step, **told)
        return params, Solved(track, diagnosis), info

    def workspace(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> int:
        rows = n_samples * (2 if ansatz.signed else 1)
        if self._dense(params):
            return 3 * bytes_of(params) + 8 * n_real(params) * (3 * n_real(params) + 3 * rows)
        return 8 * bytes_of(params)

    def effort(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> Effort:
        rows = n_samples * (2 if ansatz.signed else 1)
        if not self._dense(params):
            n = self.iterations + 1
            return gradient_effort(ansatz, n_samples, backward=n, tangent=n)
        passes = gradient_effort(ansatz, n_samples, backward=3 if ansatz.signed else 2, tangent=1)
        build = Operations(products=2.0 * rows * n_real(params) ** 2)
        return passes._replace(beside=build.plus(decomposition(n_real(params))))

    def describe(self, ansatz: Ansatz, params: Shapes, n_samples: int) -> str:
        if self._dense(params):
            return f"the metric of {n_real(params)} parameters from per-sample gradients"
        return f"products with the metric, at most {self.iterations} of a tangent and a backward pass each"

    def _dense(self, params: Shapes) -> bool:
        return self.solver == "dense" or (self.solver == "auto" and n_real(params) <= MOST_DENSE)


def _metric(sampled: Sampled) -> Float[Array, "n_params n_params"]:
    rows = sampled.psi.log_derivatives(sampled.sigma).astype(jnp.float64)
    w = sampled.weights[:, None]
    parts = rows.reshape(-1, len(sampled.weights), rows.shape[1])
    centred = [jnp.sqrt(w) * (part - jnp.sum(w * part, axis=0, keepdims=True)) for part in parts]
    return sum(x.T @ x for x in centred)  # pyright: ignore[reportReturnType]


def _product(sampled: Sampled, shift: Coupling, v: Float[Array, " n_params"]) -> Float[Array, " n_params"]:
    """(S + λ) v."""
    tree = vector_to_tree(v, sampled.psi.params)
    return as_vector(cotangent(sampled, tangent(sampled, tree))).astype(jnp.float64) + shift * v
