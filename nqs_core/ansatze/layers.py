"""What several networks share: types of numbers, activations, layers and heads."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, PRNGKeyArray

Head = Literal["real", "complex"]


def dtype_of(precision: str, complex: bool = False) -> Any:
    """The number type that a network of this precision computes in: float32 also where its weights are bfloat16."""
    if complex:
        return jnp.complex128 if precision == "float64" else jnp.complex64
    return jnp.float64 if precision == "float64" else jnp.float32


def start(module: nn.Module, key: PRNGKeyArray, x: Array) -> Any:
    """Fresh parameters of a module; compiled, since its forward pass, which nothing needs, is then left out."""
    return jax.jit(module.init)(key, x)


def log_cosh(x: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """log cosh x without overflow; for complex x up to a multiple of 2πi."""
    # cosh is even: the half plane Re x >= 0 is enough, and there exp(-2x) is bounded.
    right = jnp.where(x.real < 0, -x, x) if jnp.iscomplexobj(x) else jnp.abs(x)
    return right + jnp.log(0.5 + 0.5 * jnp.exp(-2 * right))


def log_sum(log_psi: Inexact[Array, " n"], weights: np.ndarray, dtype: Any) -> Inexact[Array, ""]:
    """log Σ_g w_g exp(log ψ_g) without overflow; 0 is replaced by the rounding error of the sum."""
    top = jax.lax.stop_gradient(jnp.max(log_psi.real))
    amplitudes = jnp.exp(log_psi - top.astype(log_psi.dtype)).astype(dtype)
    w = weights if jnp.issubdtype(dtype, jnp.complexfloating) else np.real(weights)
    total = jnp.sum(jnp.asarray(w).astype(dtype) * amplitudes)
    rest = jnp.asarray(float(jnp.finfo(dtype).eps) * float(np.abs(weights).max()), dtype)
    return top.astype(dtype) + jnp.log(jnp.where(total == 0, rest, total))


def dense(features: int, dtype: Any, **changes: Any) -> nn.Dense:
    """A dense layer on the last axis in the given precision."""
    return nn.Dense(features, dtype=dtype, param_dtype=dtype, precision="highest", **changes)


def layer_norm(dtype: Any, **changes: Any) -> nn.LayerNorm:
    """Normalisation over the last axis, which keeps it local in space."""
    return nn.LayerNorm(dtype=dtype, param_dtype=dtype, use_fast_variance=False, **changes)


def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x Φ(x) with the normal distribution Φ; exact, which on a CPU takes a fifth of the approximation by tanh."""
    return nn.gelu(x, approximate=False)


def small(width: float = 0.01) -> Callable[..., Array]:
    """Normal initial weights so small that the first state is close to uniform."""
    return nn.initializers.normal(width)


def pad(x: Array, width: int, periodicity: Sequence[bool]) -> Array:
    """`width` more cells at both ends of every axis but the last: images along periodic axes, zeros at open ends."""
    for axis, periodic in enumerate(periodicity):
        widths = [(width, width) if a == axis else (0, 0) for a in range(x.ndim)]
        x = jnp.pad(x, widths, mode="wrap" if periodic else "constant")
    return x


class Convolution(nn.Module):
    """y_r = Σ_d K_d x_{r+d} + b over the cells of a lattice or of a window, where all x_{r+d} are known.

    x: (*cells, channels), with the cells around already.
    """

    features: int
    kernel: tuple[int, ...]
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "*wider n_in"]) -> Float[Array, "*extent n_out"]:
        return nn.Conv(
            self.features,
            self.kernel,
            padding="VALID",
            dtype=self.dtype,
            param_dtype=self.dtype,
            precision="highest",
            name="conv",
        )(x)


class DepthwiseConvolution(nn.Module):
    """`Convolution` with a filter of its own for every channel: y_r = Σ_d K_d * x_{r+d} + b, elementwise.

    As a sum over shifts: XLA's grouped convolutions are slow on a CPU.
    """

    kernel: tuple[int, ...]
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "*wider n"]) -> Float[Array, "*extent n"]:
        n = x.shape[-1]
        width = 1 / math.prod(self.kernel) ** 0.5
        kernel = self.param("kernel", nn.initializers.normal(width), (*self.kernel, n), self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (n,), self.dtype)
        sizes = [length - k + 1 for length, k in zip(x.shape, self.kernel, strict=False)]
        along = (1,) * len(self.kernel)
        out = jnp.broadcast_to(bias.reshape(*along, n), (*sizes, n))
        for d in itertools.product(*map(range, self.kernel)):
            window = tuple(slice(start, start + size) for start, size in zip(d, sizes, strict=True))
            out = out + x[window] * kernel[d].reshape(*along, n)
        return out


class ResponseNorm(nn.Module):
    """Global response normalisation, y = x + γ x N / mean(N) + β with N_c = (Σ_r x_rc²)^½ over the lattice.

    Source: Woo et al., arXiv:2301.00808.
    """

    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "*extent n"]) -> Float[Array, "*extent n"]:
        gamma = self.param("scale", nn.initializers.zeros, x.shape[-1:], self.dtype)
        beta = self.param("bias", nn.initializers.zeros, x.shape[-1:], self.dtype)
        axes = tuple(range(x.ndim - 1))
        norm = jnp.sqrt(jnp.sum(x**2, axis=axes) + 1e-6)
        along = (1,) * len(axes)
        factor = (1 + gamma * norm / jnp.mean(norm)).reshape(*along, -1)
        return x * factor + beta.reshape(*along, -1)


class LogCoshHead(nn.Module):
    """log ψ = Σ_a log 2cosh(LN(W_r z) + i LN(W_i z))_a with z = LN(x); the real head has no second term.

    The scales of the inner normalisations start below 1, so that the first state is close to uniform.
    """

    head: Head
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, " n"]) -> Inexact[Array, ""]:
        n = x.shape[-1]
        start = nn.initializers.constant(0.5)
        z = layer_norm(self.dtype, name="norm")(x)
        parts = [
            layer_norm(self.dtype, scale_init=start, name=f"norm_{part}")(dense(n, self.dtype, name=part)(z))
            for part in (("real", "imag") if self.head == "complex" else ("real",))
        ]
        out = jax.lax.complex(*parts) if len(parts) == 2 else parts[0]
        return jnp.sum(log_cosh(out)) + jnp.asarray(n * math.log(2), out.dtype)
