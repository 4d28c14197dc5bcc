"""Log-derivatives O_k(σ) = ∂ log ψ(σ) / ∂θ_k without a kernel: along a direction, pulled back, and written out.

Parameters count as real numbers, a complex one as two: its real part, then its imaginary part.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Int8

from nqs_core.ansatze import taps
from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.memory import backward_at_once
from nqs_core.batching import in_blocks
from nqs_core.jacobian import log_derivative_sum, real_size
from nqs_core.types import Params, Shapes


def log_derivative_product(
    ansatz: Ansatz, params: Params, sigma: Int8[Array, "n n_sites"], direction: Params
) -> Inexact[Array, " n"]:
    """O v of every configuration, by forward differentiation; v is shaped like θ."""
    v = jax.tree.map(lambda p, d: d.astype(p.dtype), params, direction)

    def one(sigma: Int8[Array, " n_sites"]) -> Inexact[Array, ""]:
        return jax.jvp(lambda p: ansatz.log_psi(p, sigma), (params,), (v,))[1]

    return in_blocks(one, sigma, backward_at_once(ansatz, len(sigma)))


def pull_back(
    ansatz: Ansatz,
    params: Params,
    sigma: Int8[Array, "n n_sites"],
    slopes: Callable[[Inexact[Array, " n"]], tuple[Inexact[Array, " n"], Any]],
) -> tuple[Params, Any]:
    """Σ_s Re(c_s* O(σ_s)) with c, and whatever else, from slopes(log ψ); one forward pass if all samples go at once."""
    chunk = backward_at_once(ansatz, len(sigma))
    log_psi = partial(jax.vmap(ansatz.log_psi, in_axes=(None, 0)))
    if chunk < len(sigma):
        blocks = in_blocks(lambda s: ansatz.log_psi(params, s), sigma, chunk)
        coefficients, rest = slopes(blocks)
        return log_derivative_sum(ansatz, params, sigma, coefficients), rest
    values, pull = jax.vjp(lambda p: log_psi(p, sigma), params)
    coefficients, rest = slopes(values)
    # JAX transposes without conjugation: what pulls back Re(c* O) is c*, and of a complex parameter the conjugate.
    seed = jnp.conj(coefficients if jnp.iscomplexobj(values) else coefficients.real).astype(values.dtype)
    return jax.tree.map(jnp.conj, pull(seed)[0]), rest


def log_derivatives(ansatz: Ansatz, params: Params, sigma: Int8[Array, "n n_sites"]) -> Float[Array, "m n_params"]:
    """Rows Re O, and below them Im O where log ψ is complex; columns as in `as_vector`."""
    names = tuple(taps.leaves(params))
    one = partial(taps.tape, ansatz, params, {}, names)
    rest = in_blocks(one, sigma, backward_at_once(ansatz, len(sigma))).rest
    # O of a complex parameter is a derivative by z = x + iy: along y it is i O, of which the real part is -Im O.
    parts = [p for g in rest.values() for p in ([g.real, -g.imag] if jnp.iscomplexobj(g) else [g])]
    columns = jnp.concatenate(parts, axis=-1)
    return jnp.swapaxes(columns, 0, 1).reshape(-1, columns.shape[-1])


def n_real(params: Shapes) -> int:
    """Real numbers in all parameters."""
    return sum(map(real_size, jax.tree.leaves(params)))


def as_vector(tree: Params) -> Float[Array, " n_params"]:
    """All leaves in a row, of a complex one the real part and then the imaginary part."""
    leaves = [leaf.reshape(-1) for leaf in jax.tree.leaves(tree)]
    return jnp.concatenate([p for x in leaves for p in ([x.real, x.imag] if jnp.iscomplexobj(x) else [x])])


def vector_to_tree(vector: Float[Array, " n_params"], like: Params) -> Params:
    """The inverse of `as_vector` in the precision of `vector`, shaped like the parameters `like`."""
    leaves, structure = jax.tree.flatten(like)
    out, start = [], 0
    for leaf in leaves:
        size = leaf.size
        if jnp.iscomplexobj(leaf):
            real, imaginary = vector[start : start + size], vector[start + size : start + 2 * size]
            part, start = jax.lax.complex(real, imaginary), start + 2 * size
        else:
            part, start = vector[start : start + size], start + size
        out.append(part.reshape(leaf.shape))
    return jax.tree.unflatten(structure, out)
