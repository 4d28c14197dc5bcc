"""Products with the log-derivatives O_k(σ) = ∂ log ψ(σ) / ∂θ_k; the one place that knows how a kernel is computed.

Parameters count as real numbers (a complex one as two), so that one code serves real and complex networks.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Int8

from nqs_core.ansatze.base import Ansatz
from nqs_core.types import Params, Shapes


class _Tape(NamedTuple):
    """Per sample: inputs A and signals G = ∂ log ψ / ∂(output) of the dense layers, gradients of all other leaves."""

    inputs: dict[str, Array]  # (in,)
    signals: dict[str, Array]  # (n_rows, out)
    rest: dict[str, Array]  # (n_rows, size)


def log_derivative_sum(
    ansatz: Ansatz, params: Params, sigma: Int8[Array, "n n_sites"], coefficients: Inexact[Array, " n"]
) -> Params:
    """Σ_s Re(c_s* O(σ_s)), by one backward pass; shaped like `params`."""

    def scalar(p: Params) -> Float[Array, ""]:
        log_psi = jax.vmap(partial(ansatz.log_psi, p))(sigma)
        return jnp.sum(jnp.real(jnp.conj(coefficients).astype(_wide(log_psi.dtype, coefficients)) * log_psi))

    # jax.grad of a real function returns ∂Re - i ∂Im for a complex parameter; the direction is its conjugate.
    return jax.tree.map(jnp.conj, jax.grad(scalar)(params))


def _wide(log_psi_dtype: Any, coefficients: Array) -> Any:
    """The network's precision, complex where the coefficients are."""
    single = jnp.finfo(log_psi_dtype).bits == 32
    if jnp.iscomplexobj(coefficients):
        return jnp.complex64 if single else jnp.complex128
    return jnp.float32 if single else jnp.float64


def force(
    ansatz: Ansatz,
    params: Params,
    sigma: Int8[Array, "n n_sites"],
    weights: Float[Array, " n"],
    e_loc: Inexact[Array, " n"],
) -> Params:
    """F = Re⟨O* (E_loc - E)⟩, half the gradient of the energy; `weights` sum to 1."""
    centred = e_loc - jnp.sum(weights * e_loc)
    if not ansatz.signed:
        centred = centred.real
    return log_derivative_sum(ansatz, params, sigma, weights * centred)


def neural_tangent_kernel(ansatz: Ansatz, params: Params, sigma: Int8[Array, "n n_sites"]) -> Float[Array, "m m"]:
    """T = Ō Ōᵀ, not centred; rows are Re O, and below them Im O where log ψ is complex (n_rows = 2).

    For a dense layer without weight sharing T = (A A† + 1) ∘ (G G†): the Jacobian is never formed. All other leaves
    use their per-sample gradients. Memory: O(n²) and n times the size of the other leaves.
    """
    n = len(sigma)
    tape = jax.vmap(partial(_tape, ansatz, params, _dense_leaves(ansatz, params, sigma[0])))(sigma)
    kernel = 0.0
    for path, inputs in tape.inputs.items():
        signals = _rows(tape.signals[path])
        n_rows = len(signals) // n
        bias = 1.0 if _has_bias(params, path) else 0.0
        kernel = kernel + (jnp.tile(_gram(inputs), (n_rows, n_rows)) + bias) * _gram(signals)
    for gradient in tape.rest.values():
        kernel = kernel + _gram(_rows(gradient))
    return jnp.real(kernel)


def bytes_of(params: Shapes) -> int:
    """Size of a pytree of arrays or shapes."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(params))


def kernel_bytes(ansatz: Ansatz, params: Shapes, n_samples: int) -> int:
    """What `neural_tangent_kernel` and its solve hold at once; `params` may be shapes."""
    sigma = jax.ShapeDtypeStruct((ansatz.lattice.n_sites,), jnp.int8)
    tape = jax.eval_shape(lambda p, s: _tape(ansatz, p, _dense_leaves(ansatz, p, s), s), params, sigma)
    n_rows = 2 if ansatz.signed else 1
    itemsize = 4 if ansatz.precision == "float32" else 8
    return n_samples * bytes_of(tape) + 4 * (n_rows * n_samples) ** 2 * itemsize


def _rows(x: Inexact[Array, "n n_rows size"]) -> Inexact[Array, "m size"]:
    return jnp.swapaxes(x, 0, 1).reshape(-1, x.shape[-1])


def _gram(x: Inexact[Array, "n size"]) -> Inexact[Array, "n n"]:
    return jnp.matmul(x, x.conj().T, precision="highest")  # TF32 would ruin the small eigenvalues on a GPU


def _leaf(params: Params, path: str) -> dict[str, Array]:
    node: Any = params["params"]
    for name in path.split("/"):
        node = node[name]
    return node


def _has_bias(params: Params, path: str) -> bool:
    return "bias" in _leaf(params, path)


def _intercept(apply: Any, taps: dict[str, Array] | None, seen: dict[str, list[Array]]) -> Any:
    """Run `apply` and record the inputs of every nn.Dense; add `taps` to the outputs of the layers that they name."""

    def interceptor(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if not (isinstance(context.module, nn.Dense) and context.method_name == "__call__"):
            return call(*args, **kwargs)
        path = "/".join(context.module.path)
        out = call(*args, **kwargs)
        seen.setdefault(path, []).extend([args[0], out])
        return out + taps[path] if taps is not None and path in taps else out

    with nn.intercept_methods(interceptor):
        return apply()


def _dense_leaves(ansatz: Ansatz, params: Params, sigma: Int8[Array, " n_sites"]) -> dict[str, Any]:
    """Output shapes of the dense layers that are called once, on one vector, with parameters of one type with it."""
    seen: dict[str, list[Array]] = {}
    jax.eval_shape(lambda p: _intercept(lambda: ansatz.log_psi(p, sigma), None, seen), params)
    shapes = {}
    for path, calls in seen.items():
        if len(calls) != 2 or calls[0].ndim != 1:
            continue
        # A complex signal on real weights would need the real part before the product: not separable.
        if jnp.iscomplexobj(calls[1]) == jnp.iscomplexobj(_leaf(params, path)["kernel"]):
            shapes[path] = jax.ShapeDtypeStruct(calls[1].shape, calls[1].dtype)
    return shapes


def _tape(ansatz: Ansatz, params: Params, dense: dict[str, Any], sigma: Int8[Array, " n_sites"]) -> _Tape:
    """One backward pass (two where log ψ is complex) through taps on the dense layers and all other leaves."""
    flat = jax.tree_util.tree_flatten_with_path(params["params"])
    names = ["/".join(str(k.key) for k in path) for path, _ in flat[0]]
    rest = {n: leaf for n, (_, leaf) in zip(names, flat[0], strict=True) if n.rsplit("/", 1)[0] not in dense}

    def log_psi(taps: dict[str, Array], others: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        leaves = [others.get(n, leaf) for n, (_, leaf) in zip(names, flat[0], strict=True)]
        merged = {**params, "params": jax.tree_util.tree_unflatten(flat[1], leaves)}
        seen: dict[str, list[Array]] = {}
        out = _intercept(lambda: ansatz.log_psi(merged, sigma), taps, seen)
        return out, {path: seen[path][0] for path in dense}

    taps = {path: jnp.zeros(s.shape, s.dtype) for path, s in dense.items()}
    out, pullback, inputs = jax.vjp(log_psi, taps, rest, has_aux=True)
    seeds = [1.0, -1.0j] if jnp.iscomplexobj(out) else [1.0]  # JAX transposes without conjugation: -i picks Im
    pulled = [pullback(jnp.asarray(seed, out.dtype)) for seed in seeds]
    signals = {path: jnp.stack([p[0][path] for p in pulled]) for path in dense}
    gradients = {n: jnp.stack([p[1][n].reshape(-1) for p in pulled]) for n in rest}
    return _Tape(inputs, signals, gradients)
