"""The vocabulary that every module of the core shares."""

import jax
from jaxtyping import Array, Float, Int8, PyTree

# Energy statistics and solves need float64; networks state their own precision explicitly.
jax.config.update("jax_enable_x64", True)

Sigma = Int8[Array, " n_sites"]  # one basis configuration, entries +1 / -1 (eigenvalues of σᶻ)
Params = PyTree[Array]
Shapes = PyTree  # parameters, or only their jax.ShapeDtypeStruct

Coupling = float | Float[Array, ""]  # a number in a configuration, a tracer under jit: sweeping it does not recompile
