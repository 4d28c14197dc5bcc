"""Periodic state-space kernels: the linear maps along a ring by which a token feels all others."""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray

Mixer = Literal["s4d", "s4"]
FASTEST, SLOWEST = 0.5, 0.02  # step sizes Δ at the start
START = 0.25  # width of C at the start: kernels neither amplify nor damp a uniform field much
STRONGEST = 1e3  # amplification of a plane wave; beyond it single precision overflows
LOG_STEP, LOG_DECAY = (-12.0, 3.0), (-12.0, 6.0)  # beyond them single precision overflows


def init(key: PRNGKeyArray, mixer: Mixer, features: int, modes: int, dtype: Any) -> dict[str, Array]:
    """Parameters of one kernel for every channel. C and D are random and 1/2; poles as in the sources of `transfer`."""
    step, real, imag = jax.random.split(key, 3)
    shape = (features, modes)
    log_step = jax.random.uniform(step, (features,), dtype, math.log(SLOWEST), math.log(FASTEST))
    common: dict[str, Array] = {
        "log_step": log_step,
        "c_real": START * jax.random.normal(real, shape, dtype),
        "c_imag": START * jax.random.normal(imag, shape, dtype),
        "skip": jnp.full((features,), 0.5, dtype),
    }

    def every(x: Float[np.ndarray, " modes"]) -> Array:
        return jnp.broadcast_to(jnp.asarray(x, dtype), shape)

    if mixer == "s4d":
        frequencies = every(np.pi * np.arange(modes))
        return common | {"log_decay": every(np.full(modes, math.log(0.5))), "frequency": frequencies}
    poles, p, b = hippo(modes)
    names = {"log_decay": np.log(-np.real(poles)), "frequency": np.imag(poles)}
    names |= {"p_real": np.real(p), "p_imag": np.imag(p), "b_real": np.real(b), "b_imag": np.imag(b)}
    return common | {name: every(x) for name, x in names.items()}


def hippo(modes: int) -> tuple[Complex[np.ndarray, " m"], Complex[np.ndarray, " m"], Complex[np.ndarray, " m"]]:
    """Λ, P, B with the HiPPO-LegS matrix A = V (Λ - P P†) V†.

    Source: Gu, Goel and Ré, arXiv:2111.00396, section 3.
    """
    root = np.sqrt(1 + 2 * np.arange(modes))
    matrix = -(np.tril(root[:, None] * root[None]) - np.diag(np.arange(modes)))
    p = np.sqrt(np.arange(modes) + 0.5)
    normal = matrix + p[:, None] * p[None]  # -1/2 and an antisymmetric matrix
    frequencies, vectors = np.linalg.eigh(-1j * (normal + 0.5 * np.eye(modes)))
    return -0.5 + 1j * frequencies, vectors.conj().T @ p, vectors.conj().T @ root


def transfer(params: dict[str, Array], n_tokens: int) -> Float[Array, "n_frequencies features"]:
    """Ĝ(k) = Σ_r G(r) e^(-2πi k r / n), k = 0 ... n/2, of the real and even kernel G(r) = K(r) + K(-r) + 2 D δ_r0,
    within ±1000.

    K is the kernel of a linear state-space model, summed over all images of the ring in closed form: its transfer
    function at the n-th roots of unity z. s4d, diagonal, exact between the steps:
    K(r) = 2 Re Σ_m C_m (Ā_m - 1) / A_m Ā_m^r / (1 - Ā_m^n), Ā = exp(Δ A). s4, A = Λ - P P†, bilinear:
    K̂(z) = 2 (k_cb - (1 + z) k_cp k_pb / (1 + (1 + z) k_pp)), k_xy = Σ_m x_m* y_m / ((2/Δ)(1 - z) - (1 + z) Λ_m).
    Source: Gu, Goel and Ré, arXiv:2111.00396; diagonal: Gu et al., arXiv:2206.11893; on the ring: arXiv:2603.11189.
    """
    k = np.arange(n_tokens // 2 + 1)
    z = jnp.asarray(np.exp(-2j * np.pi * k / n_tokens), _complex(params["c_real"]))[:, None, None]
    respond = _low_rank if "p_real" in params else _diagonal
    both = respond(params, z) + respond(params, jnp.conj(z))  # K(r) + K(-r) of a complex K
    return jnp.clip(jnp.real(both) + 2 * params["skip"][None], -STRONGEST, STRONGEST)


def _diagonal(params: dict[str, Array], z: Complex[Array, "k 1 1"]) -> Complex[Array, "k features"]:
    """Σ_m c_m / (1 - Ā_m z) and its partner of the opposite frequency, which has the same real part at z*."""
    step, poles = _poles(params)
    powers = jnp.exp(step * poles)
    c = jax.lax.complex(params["c_real"], params["c_imag"]) * (powers - 1) / poles
    return 2 * jnp.sum(c[None] / (1 - powers[None] * z), axis=-1)


def _low_rank(params: dict[str, Array], z: Complex[Array, "k 1 1"]) -> Complex[Array, "k features"]:
    step, poles = _poles(params)
    p, b, c = (jax.lax.complex(params[f"{name}_real"], params[f"{name}_imag"]) for name in ("p", "b", "c"))
    resolvent = 1 / (2 / step[None] * (1 - z) - (1 + z) * poles[None])

    def between(x: Array, y: Array) -> Complex[Array, "k features"]:
        return jnp.sum((jnp.conj(x) * y)[None] * resolvent, axis=-1)

    turned = 1 + z[..., 0]
    return 2 * (between(c, b) - turned * between(c, p) * between(p, b) / (1 + turned * between(p, p)))


def _poles(params: dict[str, Array]) -> tuple[Float[Array, "features 1"], Complex[Array, "features modes"]]:
    step = jnp.exp(jnp.clip(params["log_step"], *LOG_STEP))[:, None]
    decay = jnp.exp(jnp.clip(params["log_decay"], *LOG_DECAY))
    return step, jax.lax.complex(-decay, params["frequency"])


def _complex(like: Array) -> Any:
    return jnp.complex64 if like.dtype == jnp.float32 else jnp.complex128


def convolve(
    transfer: Float[Array, "n_frequencies features"], x: Float[Array, "*more n features"]
) -> Float[Array, "*more n features"]:
    """Σ_j G(i - j) x_j in every channel, over the last but one axis."""
    spectrum = jnp.fft.rfft(x, axis=-2) * transfer.reshape(*(1,) * (x.ndim - 2), *transfer.shape)
    return jnp.fft.irfft(spectrum, n=x.shape[-2], axis=-2).astype(x.dtype)


def kernel(transfer: Float[Array, "n_frequencies features"], n_tokens: int) -> Float[Array, "n features"]:
    """G(r), r = 0 ... n-1."""
    return jnp.fft.irfft(transfer.astype(_complex(transfer)), n=n_tokens, axis=0).astype(transfer.dtype)
