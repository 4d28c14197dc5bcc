"""The vocabulary that every module of the core shares."""

from typing import NamedTuple

import jax
from jaxtyping import Array, Bool, Float, Int8, Num, PyTree

# Energy statistics and solves need float64; networks state their own precision explicitly.
jax.config.update("jax_enable_x64", True)

Sigma = Int8[Array, " n_sites"]  # one basis configuration, entries +1 / -1 (eigenvalues of σᶻ)
Params = PyTree[Array]
Shapes = PyTree  # parameters, or only their jax.ShapeDtypeStruct

Coupling = float | Float[Array, ""]  # a number in a configuration, a tracer under jit: sweeping it does not recompile


class Info(NamedTuple):
    """What a sampler or an optimizer reports of one call; `scalars` and `arrays` are streamed under their names.

    ready: False where this batch or this step does not count: nothing is updated by it.
    """

    ready: Bool[Array, ""]
    scalars: dict[str, Float[Array, ""]]
    arrays: dict[str, Num[Array, "..."]]
