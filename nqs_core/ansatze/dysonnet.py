"""DysonNet: a linear stream along a ring, scattered by a local nonlinear one."""

import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, PRNGKeyArray

from nqs_core.ansatze import phi_stream, state_space
from nqs_core.ansatze.abacus import Abacus, cost, fits
from nqs_core.ansatze.base import Ansatz, FullForward, LocalUpdates
from nqs_core.ansatze.layers import dtype_of, log_cosh
from nqs_core.ansatze.phi_stream import Table, product, row
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.chain import Chain
from nqs_core.registry import component, context, param
from nqs_core.sector import Sector
from nqs_core.types import Params, Sigma

START_TOKENS = 512  # random tokens by which the scales of the linear stream are set at the start


class Kernels(NamedTuple):
    """The parameters and what depends on them alone: of every block the kernel along the ring and its tables."""

    params: Params
    transfer: tuple[Float[Array, "n_frequencies d"], ...]
    tables: tuple[Table, ...]  # none where the patterns are too many


@component
class DysonNet(Ansatz):
    """log ψ(σ) = Σ_a log cosh(b_a + w_a · Σ_i h_i), h ← h + g (W_o G * (W_x (A h + β) + c)), block after block.

    h starts as the embedded tokens and is linear in what it started with: G is an even state-space kernel along the
    whole ring, A and β are an affine map per channel. The gates g = SiLU(W_v LN(φ)) and the sources
    c = SiLU(K * W_a LN(φ) + b_c), φ ← φ + c, depend on nearby tokens only, so that a flip scatters at few tokens, and
    what it changes is summed in closed form (ABACUS). Invariant under translations by a token. The sum over tokens
    stands for the mean of the source, so that parameters fit every length. Real head: ψ > 0.
    Source: DysonNet, arXiv:2603.11189.

    Raises:
        ConfigError: a lattice other than a ring, a token that does not divide it, or an even kernel.
    """

    token: int = param(
        1, ge=1, le=2, title="Spins per token", help="Two halve the tokens, and translations go by two sites."
    )
    features: int = param(8, ge=2, le=1024, title="Features", help="Width d of both streams.")
    blocks: int = param(
        2, ge=1, le=16, title="Blocks", help="One and two have flips in constant time; more take full forward passes."
    )
    kernel: int = param(3, ge=1, le=31, title="Kernel", help="Width of the local filters, odd.", unit="tokens")
    modes: int = param(8, ge=1, le=256, title="Modes", help="States of the state-space model of every channel.")
    hidden: int = param(8, ge=1, le=1024, title="Hidden units", help="Terms log cosh of the head.")
    mixer: state_space.Mixer = param(
        "s4d", title="Kernel along the ring", help="s4d has independent poles, s4 couples them by a term of rank one."
    )
    head: Literal["real", "complex"] = param("real", title="Head", help="Complex where the ground state has signs.")
    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context("float32")

    def __post_init__(self) -> None:
        if not isinstance(self.lattice, Chain) or not self.lattice.periodic:
            raise ConfigError(
                f"ansatz 'dysonnet': its kernels close around a ring, and {self.lattice!r} is none; "
                "use a periodic chain, or rbm or vit"
            )
        if self.lattice.n_sites % self.token:
            raise ConfigError(
                f"ansatz 'dysonnet': token = {self.token} must divide the length {self.lattice.n_sites} of the ring"
            )
        if self.kernel % 2 == 0:
            raise ConfigError(f"ansatz 'dysonnet': kernel = {self.kernel} must be odd, so that it has a middle")
        if self.reach >= self.n_tokens:
            raise ConfigError(
                f"ansatz 'dysonnet': kernel = {self.kernel} reaches around the ring of {self.n_tokens} tokens; "
                f"allowed: up to {2 * self.n_tokens - 1}"
            )

    @property
    def n_tokens(self) -> int:
        """Tokens around the ring."""
        return self.lattice.n_sites // self.token

    @property
    def reach(self) -> int:
        """Tokens that a local filter sees on either side."""
        return self.kernel // 2

    @property
    def signed(self) -> bool:
        return self.head == "complex"

    @property
    def receptive_field(self) -> tuple[int, ...]:
        return self.lattice.extent

    @property
    def steps(self) -> tuple[int, ...] | None:
        return (self.token,)

    def tokens(self, sigma: Sigma) -> Float[Array, "n_tokens token"]:
        """σ as the embedding takes it."""
        return sigma.astype(dtype_of(self.precision)).reshape(-1, self.token)

    def init(self, key: PRNGKeyArray) -> Params:
        """Random, and the affine maps such that their results have mean 0 and variance 1 on random spins."""
        dtype, keys = dtype_of(self.precision), jax.random.split(key, self.blocks + 3)
        d, parts = self.features, 2 if self.signed else 1
        embedding = {"kernel": jax.random.normal(keys[0], (self.token, d), dtype)}
        embedding["bias"] = 0.3 * jax.random.normal(keys[1], (d,), dtype)
        width = 0.1 / math.sqrt(d * self.lattice.n_sites)
        head = {
            "kernel": width * jax.random.normal(keys[2], (parts * self.hidden, d), dtype),
            "bias": jnp.zeros(parts * self.hidden, dtype),
        }
        blocks = {f"block_{k}": self._block(keys[3 + k], dtype) for k in range(self.blocks)}
        params = {"params": {"embed": embedding, "head": head, **blocks}}
        return self._scaled(params, jax.random.fold_in(key, 1))

    def _block(self, key: PRNGKeyArray, dtype: Any) -> dict[str, Any]:
        d, keys = self.features, jax.random.split(key, 7)

        def normal(k: int, *shape: int) -> Array:
            return jax.random.normal(keys[k], shape, dtype) / math.sqrt(shape[0])

        return {
            "norm_scale": jnp.ones(d, dtype),
            "norm_bias": jnp.zeros(d, dtype),
            "source": normal(0, d, d),
            "gate": normal(1, d, d),
            "filter": normal(2, self.kernel, d),
            "filter_bias": jnp.zeros(d, dtype),
            "affine_scale": jnp.ones(d, dtype),
            "affine_bias": jnp.zeros(d, dtype),
            "mix_in": normal(3, d, d),
            "mix_out": normal(4, d, d),
            "mixer": state_space.init(keys[5], self.mixer, d, self.modes, dtype),
        }

    def _scaled(self, params: Params, key: PRNGKeyArray) -> Params:
        n = max(1, START_TOKENS // self.n_tokens)
        sigma = jax.random.rademacher(key, (n, self.lattice.n_sites), jnp.int8)
        phi = h = jax.vmap(lambda s: phi_stream.embed(params, self.tokens(s)))(sigma)
        inner = dict(params["params"])
        for k in range(self.blocks):
            spread = jnp.std(h, axis=(0, 1)) + 1e-3
            block = inner[f"block_{k}"]
            inner[f"block_{k}"] = block | {"affine_scale": 1 / spread, "affine_bias": -h.mean((0, 1)) / spread}
            phi, h = jax.vmap(lambda *x, block=inner[f"block_{k}"]: self._apply(block, *x))(phi, h)
        return {"params": inner}

    def _apply(self, block: dict[str, Any], phi: Array, h: Array) -> tuple[Array, Array]:
        """One block on the ring."""
        c, gates, phi = phi_stream.on_ring(block, phi)
        _, h = scatter(block, state_space.transfer(block["mixer"], self.n_tokens), h, c, gates)
        return phi, h

    def log_psi(self, params: Params, sigma: Sigma) -> Inexact[Array, ""]:
        phi = h = phi_stream.embed(params, self.tokens(sigma))
        for k in range(self.blocks):
            phi, h = self._apply(params["params"][f"block_{k}"], phi, h)
        return self.read(self.pooled(params, h))

    def pooled(self, params: Params, h: Float[Array, "n_tokens d"]) -> Float[Array, " m"]:
        """b_a + w_a · Σ_i h_i, the imaginary parts of a complex head after the real ones."""
        p = params["params"]["head"]
        return p["bias"] + product(p["kernel"], jnp.sum(h, axis=0))

    def read(self, m: Float[Array, " m"]) -> Inexact[Array, ""]:
        """log ψ of what `pooled` gives."""
        return jnp.sum(log_cosh(jax.lax.complex(*jnp.split(m, 2)) if self.signed else m))

    def prepare(self, params: Params) -> Kernels:
        mixers = [params["params"][f"block_{k}"]["mixer"] for k in range(self.blocks)]
        few = phi_stream.tabulated(self.blocks, self.reach, self.token)
        tables = phi_stream.tables(params, self.blocks, self.reach, self.token) if few else ()
        return Kernels(params, tuple(state_space.transfer(m, self.n_tokens) for m in mixers), tables)

    def evaluate(self, prepared: Kernels, sigma: Sigma) -> Inexact[Array, ""]:
        return self.read(self.pooled(prepared.params, self.run(prepared, sigma)[0]))

    def run(self, prepared: Kernels, sigma: Sigma) -> tuple[Array, list[Array], list[Array]]:
        """h of the last block, and of every block the field z at which the gates scatter, and the gates."""
        phi = h = phi_stream.embed(prepared.params, self.tokens(sigma))
        codes, fields, gates = phi_stream.codes(sigma, self.token), [], []
        for k, transfer in enumerate(prepared.transfer):
            block = prepared.params["params"][f"block_{k}"]
            if prepared.tables:
                c = prepared.tables[k].source[phi_stream.pattern_index(codes, self.reach * (k + 1), self.token)]
                g = prepared.tables[k].gate[phi_stream.pattern_index(codes, self.reach * k, self.token)]
            else:
                c, g, phi = phi_stream.on_ring(block, phi)
            z, h = scatter(block, transfer, h, c, g)
            fields.append(z)
            gates.append(g)
        return h, fields, gates

    def local_updates(self) -> LocalUpdates:
        return Abacus(self, cost(self)) if fits(self) else FullForward(self)


def scatter(
    block: dict[str, Any], transfer: Array, h: Float[Array, "n d"], c: Float[Array, "n d"], gates: Float[Array, "n d"]
) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
    """The field z = G * (W_x (A h + β) + c) and h + g (W_o z)."""
    affine = row(block["affine_scale"], h) * h + row(block["affine_bias"], h)
    z = state_space.convolve(transfer, product(affine, block["mix_in"]) + c)
    return z, h + gates * product(z, block["mix_out"])
