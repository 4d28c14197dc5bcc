"""Products with the log-derivatives O_k(σ) = ∂ log ψ(σ) / ∂θ_k; the one place that knows how a kernel is computed.

Parameters count as real numbers (a complex one as two), so that one code serves real and complex networks.
"""

import collections
import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Int8

from nqs_core.ansatze import taps
from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.memory import backward_at_once
from nqs_core.ansatze.operations import Effort, Operations
from nqs_core.batching import GRADIENT_BYTES, in_blocks
from nqs_core.types import Params, Shapes


class Plan(NamedTuple):
    """How the kernel of `n_samples` configurations is computed.

    signals: layers by T = Σ_pq (A_p A_q† + 1) ∘ (G_p G_q†) from inputs A and signals G = ∂ log ψ / ∂(output) at their
    positions p, q; gradients: the other leaves, in groups whose per-sample gradients are held at once, one pass each.
    chunk: configurations of one backward pass.
    """

    signals: dict[str, taps.Layer]
    gradients: tuple[tuple[str, ...], ...]
    chunk: int
    n_bytes: int  # of the largest pass and the kernel


def plan(ansatz: Ansatz, params: Shapes, n_samples: int, scaled: bool = False) -> Plan:
    """The cheapest way for these shapes; `params` may be shapes.

    For n configurations and r rows (2 where log ψ is complex) a layer with P positions costs n² P² (in + r² out) by
    signals, n² r² in · out by gradients. A kernel that is `scaled` by every parameter takes gradients throughout.
    """
    leaves = taps.leaves(params)
    itemsize = 8 if ansatz.precision == "float64" else 4
    n_rows = 2 if ansatz.signed else 1
    signals = {
        path: layer
        for path, layer in ({} if scaled else taps.layers(ansatz, params)).items()
        if layer.positions**2 * (layer.n_in + n_rows**2 * layer.n_out) < n_rows**2 * layer.n_in * layer.n_out
    }
    rest = {name: x for name, x in leaves.items() if name.rpartition("/")[0] not in signals}
    groups: list[list[str]] = [[]]
    filled, largest = 0, 0
    for name, x in rest.items():
        size = n_samples * n_rows * math.prod(x.shape) * x.dtype.itemsize
        if groups[-1] and filled + size > GRADIENT_BYTES:
            groups, filled = [*groups, []], 0
        groups[-1].append(name)
        filled += size
        largest = max(largest, filled)
    tape = n_samples * sum(s.positions * (s.n_in + n_rows * s.n_out) for s in signals.values()) * itemsize
    kernel = 4 * (n_rows * n_samples) ** 2 * itemsize
    return Plan(signals, tuple(map(tuple, groups)), backward_at_once(ansatz, n_samples), 2 * largest + tape + kernel)


def describe(ansatz: Ansatz, params: Shapes, n_samples: int) -> str:
    """In words, which way every leaf goes: one sentence. Layers that differ by their number alone are named once."""
    made = plan(ansatz, params, n_samples)
    leaves = taps.leaves(params)
    parts = []
    if made.signals:
        alike = collections.Counter((taps.kind(path), s[:3]) for path, s in made.signals.items())
        layers = [
            f"{f'{count} ' if count > 1 else ''}{kind} ({positions} x {n_in} -> {n_out})"
            for (kind, (positions, n_in, n_out)), count in alike.items()
        ]
        parts.append(f"layers by inputs and signals: {', '.join(layers)}")
    names = [name for group in made.gradients for name in group]
    if names:
        size = sum(math.prod(leaves[name].shape) for name in names)
        passes = f" in {len(made.gradients)} passes" if len(made.gradients) > 1 else ""
        kinds = dict.fromkeys(map(taps.kind, names))
        parts.append(f"per-sample gradients of {size} parameters{passes}: {', '.join(kinds)}")
    chunk = f"; {made.chunk} of {n_samples} configurations at a time" if made.chunk < n_samples else ""
    return f"minSR kernel, {'; '.join(parts)}{chunk}; {made.n_bytes / 1e6:.3g} MB"


def gradient_plan(ansatz: Ansatz, params: Shapes, n_samples: int) -> Plan:
    """The plan of a kernel with a scale for every parameter."""
    return plan(ansatz, params, n_samples, scaled=True)


def kernel_effort(ansatz: Ansatz, params: Shapes, n_samples: int, scaled: bool = False) -> Effort:
    """What `neural_tangent_kernel` asks for by its `plan`; `params` may be shapes."""
    made, leaves = plan(ansatz, params, n_samples, scaled), taps.leaves(params)
    n_rows = 2 if ansatz.signed else 1
    squares = (n_rows * n_samples) ** 2
    total = Operations()
    for layer in made.signals.values():
        pairs = layer.positions**2
        inputs, signals = n_samples**2 * layer.n_in, squares * layer.n_out
        total = total.plus(Operations(2 * pairs * (inputs + signals), 2 * pairs * squares, calls=2 * pairs))
    n_columns = sum(real_size(leaves[name]) for group in made.gradients for name in group)
    total = total.plus(Operations(2 * squares * n_columns, n_rows * n_samples * n_columns))
    passes = len(made.gradients)
    rounds = passes * (1 + n_rows) * math.ceil(n_samples / made.chunk)
    return Effort(forwards=passes * n_samples * (1 + 2 * n_rows), rounds=rounds, beside=total)


def log_derivative_sum(
    ansatz: Ansatz, params: Params, sigma: Int8[Array, "n n_sites"], coefficients: Inexact[Array, " n"]
) -> Params:
    """Σ_s Re(c_s* O(σ_s)), by one backward pass of every chunk of configurations; shaped like `params`."""

    def scalar(p: Params, sigma: Array, coefficients: Array) -> Float[Array, ""]:
        log_psi = jax.vmap(partial(ansatz.log_psi, p))(sigma)
        return jnp.sum(jnp.real(jnp.conj(coefficients).astype(_wide(log_psi.dtype, coefficients)) * log_psi))

    n = len(sigma)
    chunk = backward_at_once(ansatz, n)
    if chunk == n:
        total = jax.grad(scalar)(params, sigma, coefficients)
    else:
        # Padded with coefficients 0, so that every chunk has one shape.
        extra = -n % chunk
        sigma = jnp.concatenate([sigma, jnp.broadcast_to(sigma[:1], (extra, sigma.shape[1]))])
        padded = jnp.concatenate([coefficients, jnp.zeros(extra, coefficients.dtype)])

        def add(total: Params, block: tuple[Array, Array]) -> tuple[Params, None]:
            return jax.tree.map(jnp.add, total, jax.grad(scalar)(params, *block)), None

        blocks = (sigma.reshape(-1, chunk, sigma.shape[1]), padded.reshape(-1, chunk))
        total, _ = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), blocks)
    # jax.grad of a real function returns ∂Re - i ∂Im for a complex parameter; the direction is its conjugate.
    return jax.tree.map(jnp.conj, total)


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


def neural_tangent_kernel(
    ansatz: Ansatz,
    params: Params,
    sigma: Int8[Array, "n n_sites"],
    made: Plan | None = None,
    scale: Params | None = None,
) -> Float[Array, "m m"]:
    """T = O D² Oᵀ, not centred; rows are Re O, and below them Im O where log ψ is complex (n_rows = 2).

    By the `plan` for these shapes, or by `made`. D = `scale`, a number for every parameter; 1 where None.
    """
    made = made or plan(ansatz, params, len(sigma), scaled=scale is not None)
    scales = None if scale is None else {name: x.reshape(1, 1, -1) for name, x in taps.leaves(scale).items()}
    kernel: Any = 0.0
    for k, names in enumerate(made.gradients):
        one = partial(taps.tape, ansatz, params, made.signals if k == 0 else {}, names)
        tape = in_blocks(one, sigma, made.chunk)
        for path in tape.inputs:
            bias = 1.0 if "bias" in taps.node(params, path) else 0.0
            kernel = kernel + _by_signals(tape.inputs[path], tape.signals[path], bias)
        if names:
            rest = tape.rest if scales is None else {name: scales[name] * g for name, g in tape.rest.items()}
            kernel = kernel + _gram(jnp.concatenate([_real_columns(_rows(g)) for g in rest.values()], axis=1))
    return kernel


def _by_signals(
    inputs: Inexact[Array, "n positions n_in"], signals: Inexact[Array, "n n_rows positions n_out"], bias: float
) -> Float[Array, "m m"]:
    n, n_rows, positions, _ = signals.shape
    rows = jnp.swapaxes(signals, 0, 1).reshape(n_rows * n, positions, -1)

    def pair(p: Any, q: Any) -> Float[Array, "m m"]:
        by_inputs = jnp.tile(_product(inputs[:, p], inputs[:, q]), (n_rows, n_rows)) + bias
        return jnp.real(by_inputs * _product(rows[:, p], rows[:, q]))

    if positions == 1:
        return pair(0, 0)

    def add(total: Array, index: Array) -> tuple[Array, None]:
        return total + pair(index // positions, index % positions), None

    start = jnp.zeros((n_rows * n, n_rows * n), signals.real.dtype)
    return jax.lax.scan(add, start, jnp.arange(positions**2))[0]


def real_size(x: Any) -> int:
    """Real numbers in an array or its shape; a complex one counts as two."""
    return math.prod(x.shape) * (2 if jnp.issubdtype(x.dtype, jnp.complexfloating) else 1)


def bytes_of(params: Shapes) -> int:
    """Size of a pytree of arrays or shapes."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(params))


def kernel_bytes(ansatz: Ansatz, params: Shapes, n_samples: int, scaled: bool = False) -> int:
    """What `neural_tangent_kernel` and its solve hold at once; `params` may be shapes."""
    return plan(ansatz, params, n_samples, scaled).n_bytes


def _rows(x: Inexact[Array, "n n_rows size"]) -> Inexact[Array, "m size"]:
    return jnp.swapaxes(x, 0, 1).reshape(-1, x.shape[-1])


def _real_columns(x: Inexact[Array, "m size"]) -> Float[Array, "m columns"]:
    """Real and imaginary parts side by side: Re(x x†) as one real product."""
    return jnp.concatenate([x.real, x.imag], axis=1) if jnp.iscomplexobj(x) else x


def _product(x: Inexact[Array, "n size"], y: Inexact[Array, "m size"]) -> Inexact[Array, "n m"]:
    return jnp.matmul(x, y.conj().T, precision="highest")  # TF32 would ruin the small eigenvalues on a GPU


def _gram(x: Float[Array, "n size"]) -> Float[Array, "n n"]:
    return _product(x, x)
