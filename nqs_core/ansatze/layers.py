"""What several networks share: types of numbers and the activation of Boltzmann machines."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Inexact


def dtype_of(precision: str, complex: bool = False) -> Any:
    """The number type of a network: "float32" or "float64", or the complex type of that precision."""
    if complex:
        return jnp.complex64 if precision == "float32" else jnp.complex128
    return jnp.float32 if precision == "float32" else jnp.float64


def log_cosh(x: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """log cosh x without overflow; for complex x up to a multiple of 2πi."""
    # cosh is even: the half plane Re x >= 0 is enough, and there exp(-2x) is bounded.
    right = jnp.where(x.real < 0, -x, x) if jnp.iscomplexobj(x) else jnp.abs(x)
    return right + jnp.log(0.5 + 0.5 * jnp.exp(-2 * right))
