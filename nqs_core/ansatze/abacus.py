"""ABACUS: what nearby flips change in a DysonNet, at a cost that does not grow with the ring."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Complex, Float, Inexact, Int

from nqs_core.ansatze import phi_stream, state_space
from nqs_core.ansatze.base import AdditiveUpdates, Cost, FullForward, flip, map_moves
from nqs_core.ansatze.compaction import in_own_blocks
from nqs_core.ansatze.flips import MOST_SPAN, Kind, Plan, plan
from nqs_core.ansatze.phi_stream import product, row
from nqs_core.batching import HELD_BYTES
from nqs_core.types import Params, Sigma

MOST_BLOCKS = 2  # links between more blocks are no convolutions
ON_CPU = 2**23  # bytes of a block of configurations: more would leave the cache


class Prepared(NamedTuple):
    """What depends on the parameters alone.

    links: F̂_D(k)[a, b] of F_D(r) = G²_a(r) G¹_b(r + D), D from the lowest up; None for one block.
    """

    kernels: Any
    links: Complex[Array, "n_distances n_frequencies d d"] | None


class Base(NamedTuple):
    """What one configuration gives to all of its flips; the axes of `readout` are blocks, head, tokens, channels."""

    codes: Int[Array, " n_tokens"]
    fields: list[Array]  # z of every block
    readout: list[Array]  # ∂ m / ∂ (input of the kernel) of every block
    gates: list[Array]


def fits(ansatz: Any) -> bool:
    """Whether flips of this network have constant cost: few blocks, tabulated patterns, a ring that holds a window."""
    few = phi_stream.tabulated(ansatz.blocks, ansatz.reach, ansatz.token)
    return ansatz.blocks <= MOST_BLOCKS and few and 2 * ansatz.reach * ansatz.blocks < ansatz.n_tokens


def reach_of_links(ansatz: Any) -> int:
    """The largest distance between a token that radiates in the first block and one that scatters in the second."""
    return 2 * ansatz.reach + MOST_SPAN


def cost(ansatz: Any) -> Cost:
    """Of ABACUS in forward passes; the base of all flips is spread over as many moves as there are sites."""
    d, heads = ansatz.features, ansatz.hidden * (2 if ansatz.signed else 1)
    transform = 2.5 * math.log2(max(2, ansatz.n_tokens))
    one = ansatz.blocks * (6 * d * d + 2 * d * transform)
    back = ansatz.blocks * heads * (4 * d * d + 2 * d * transform)
    links = (ansatz.blocks - 1) * (4 * ansatz.reach + 2) * d * d * transform
    window = (2 * ansatz.reach * ansatz.blocks + 1) * d * (2 * ansatz.blocks * (2 * d + heads))
    return Cost(1.0, (1 + (back + links + window) / one) / ansatz.lattice.n_sites, 1.0, skips=True)


@dataclass(frozen=True)
class Abacus(AdditiveUpdates):
    """Flips of nearby tokens, from one base for all of them; exact for one and two blocks.

    A flip changes gates and sources at few tokens, its window. The field that they radiate runs through the network
    as it was, by kernels G, links L = G² B² D¹ G¹ between two windows and readouts T from the window to the head, and
    scatters again in the window only: u = B x + Δc, z = z₀ + G u + L u¹, x ← x + ΔD z, Δm = w · Σ x + Σ T · u.
    The cache is m of the head; moves known only when the program runs, and those farther apart, are forward passes.
    Source: DysonNet, arXiv:2603.11189, theorem 1; the public code keeps only links between neighbouring blocks, which
    is exact for two.
    """

    words: ClassVar[str] = "ABACUS, constant time for nearby flips"
    ansatz: Any

    cost: Cost

    def prepare(self, params: Params) -> Prepared:
        kernels = self.ansatz.prepare(params)
        if self.ansatz.blocks == 1:
            return Prepared(kernels, None)
        first, second = (state_space.kernel(t, self.ansatz.n_tokens) for t in kernels.transfer)
        reach = reach_of_links(self.ansatz)
        moved = jnp.stack([jnp.roll(first, -distance, axis=0) for distance in range(-reach, reach + 1)])
        return Prepared(kernels, jnp.fft.rfft(second[None, :, :, None] * moved[:, :, None, :], axis=1))

    def cache(self, prepared: Prepared, sigma: Sigma) -> Float[Array, " m"]:
        return self.ansatz.pooled(prepared.kernels.params, self.ansatz.run(prepared.kernels, sigma)[0])

    def log_psi(self, prepared: Prepared, cache: Float[Array, " m"]) -> Inexact[Array, ""]:
        return self.ansatz.read(cache)

    def advance(self, prepared: Prepared, cache: Array, sigma: Sigma, move: Int[Array, " move_size"]) -> Array:
        return self.cache(prepared, flip(sigma, move))

    def coordinates(self, prepared: Prepared, cache: Float[Array, " m"]) -> Float[Array, " m"]:
        return cache

    def read(self, prepared: Prepared, coordinates: Float[Array, " m"]) -> Inexact[Array, ""]:
        return self.ansatz.read(coordinates)

    def displacements(
        self, prepared: Prepared, cache: Array, sigma: Sigma, moves: Int[Array, "n_moves move_size"]
    ) -> Float[Array, "n_moves m"]:
        made = self._plan(moves)
        out = jnp.zeros((len(moves), cache.size), cache.dtype)
        if made.kinds:
            out = out.at[np.concatenate(made.rows)].set(self._near(prepared, sigma, made))
        if made.others.size == 0:
            return out
        far = map_moves(lambda move: self.advance(prepared, cache, sigma, move) - cache, moves[made.others])
        return out.at[made.others].set(far)

    def log_ratios(
        self,
        prepared: Prepared,
        cache: Array,
        sigma: Sigma,
        moves: Int[Array, "n_moves move_size"],
        mask: Bool[Array, " n_moves"] | None = None,
    ) -> Inexact[Array, " n_moves"]:
        made, before = self._plan(moves), self.ansatz.read(cache)
        out = jnp.zeros(len(moves), before.dtype)
        if made.kinds:
            moved = jax.vmap(self.ansatz.read)(cache[None] + self._near(prepared, sigma, made))
            out = out.at[np.concatenate(made.rows)].set(moved - before)
        if made.others.size == 0:
            return out
        allowed = None if mask is None else mask[made.others]
        far = FullForward(self.ansatz).log_ratios(prepared.kernels, before, sigma, moves[made.others], allowed)
        return out.at[made.others].set(far)

    def _plan(self, moves: Any) -> Plan:
        if isinstance(moves, Tracer):
            return Plan((), (), (), np.arange(len(moves)))
        widest = self.ansatz.n_tokens - 2 * self.ansatz.reach * self.ansatz.blocks - 1
        return plan(np.asarray(moves), self.ansatz.token, self.ansatz.n_tokens, widest)

    def _near(self, prepared: Prepared, sigma: Sigma, made: Plan) -> Float[Array, "n_near m"]:
        def every(prepared: Prepared, sigma: Sigma) -> Array:
            base = make_base(self.ansatz, prepared, sigma)
            return jnp.concatenate(
                [
                    from_base(self.ansatz, prepared, base, kind)[origins]
                    for kind, origins in zip(made.kinds, made.origins, strict=True)
                ]
            )

        a = self.ansatz
        size = 4 if a.precision == "float32" else 8
        heads = a.hidden * (2 if a.signed else 1)
        each = size * a.n_tokens * (a.blocks * (heads + 8) * a.features + (5 * a.features**2 if a.blocks > 1 else 0))
        held = ON_CPU if jax.default_backend() == "cpu" else HELD_BYTES
        return in_own_blocks(every, prepared, sigma, max(1, held // each))


def make_base(ansatz: Any, prepared: Prepared, sigma: Sigma) -> Base:
    """One forward pass, and one backward pass for every unit of the head."""
    kernels = prepared.kernels
    _, fields, gates = ansatz.run(kernels, sigma)
    head = kernels.params["params"]["head"]["kernel"]
    back = jnp.broadcast_to(head[:, None], (len(head), ansatz.n_tokens, ansatz.features))
    readout: list[Array] = [back] * ansatz.blocks
    for k in reversed(range(ansatz.blocks)):
        block = kernels.params["params"][f"block_{k}"]
        readout[k] = state_space.convolve(kernels.transfer[k], product(back * gates[k][None], block["mix_out"].T))
        if k:
            back = back + product(readout[k], block["mix_in"].T) * row(block["affine_scale"], back)
    return Base(phi_stream.codes(sigma, ansatz.token), fields, readout, gates)


def from_base(ansatz: Any, prepared: Prepared, base: Base, kind: Kind) -> Float[Array, "n_tokens m"]:
    """Δm for the flips `kind` with their first token at every token of the ring."""
    kernels, span, reach = prepared.kernels, len(kind) - 1, ansatz.reach
    x = _embedded(ansatz, kernels.params, base.codes, kind)
    total: Any = 0.0
    radiated: list[Array] = []
    for k, transfer in enumerate(kernels.transfer):
        block, table = kernels.params["params"][f"block_{k}"], kernels.tables[k]
        wide = range(-reach * (k + 1), span + reach * (k + 1) + 1)
        narrow = range(-reach * k, span + reach * k + 1)
        d_source = _changed(table.source, base.codes, kind, reach * (k + 1), ansatz.token)
        d_gate = _changed(table.gate, base.codes, kind, reach * k, ansatz.token)
        into = block["affine_scale"][:, None] * block["mix_in"]
        u = jnp.pad(product(x, into), ((0, 0), (reach, reach), (0, 0))) + d_source
        total = total + _read(base.readout[k], u, wide)
        z = _window(base.fields[k], narrow)
        if radiated:
            # The first field goes on through the gates and into the kernel of this block.
            z = z + _linked(ansatz, prepared, base, radiated[0], (narrow, narrow))
        green = state_space.kernel(transfer, ansatz.n_tokens)
        distances = np.array([[a - b for b in wide] for a in narrow]) % ansatz.n_tokens
        z = z + jnp.einsum("xyd,iyd->ixd", green[distances], u, precision="highest")
        radiated.append(u)
        x = x + d_gate * product(z, block["mix_out"])
        if k + 1 < ansatz.blocks:
            x = jnp.pad(x, ((0, 0), (reach, reach), (0, 0)))
    return total + product(jnp.sum(x, axis=1), kernels.params["params"]["head"]["kernel"].T)


def _embedded(ansatz: Any, params: Params, codes: Array, kind: Kind) -> Float[Array, "n_tokens span d"]:
    """The change of the embedded tokens of the window."""
    weights = params["params"]["embed"]["kernel"]
    columns = []
    for offset, mask in enumerate(kind):
        token = jnp.roll(codes, -offset)
        change = jnp.zeros((len(codes), weights.shape[1]), weights.dtype)
        for k in range(ansatz.token):
            if mask >> k & 1:
                step = (4 * ((token >> k) & 1) - 2).astype(weights.dtype)  # from +1 to -1, or back
                change = change + step[:, None] * weights[k][None]
        columns.append(change)
    return jnp.stack(columns, axis=1)


def _changed(table: Array, codes: Array, kind: Kind, radius: int, token: int) -> Float[Array, "n_tokens window d"]:
    """What the flips change of a tabulated quantity, at every offset where they are seen."""
    index = phi_stream.pattern_index(codes, radius, token)
    columns = []
    for offset in range(-radius, len(kind) + radius):
        seen = [(o - offset + radius, mask) for o, mask in enumerate(kind) if abs(o - offset) <= radius]
        row = jnp.roll(index, -offset)
        columns.append(table[row ^ sum(mask << (token * place) for place, mask in seen)] - table[row])
    return jnp.stack(columns, axis=1)


def _window(x: Float[Array, "n d"], offsets: range) -> Float[Array, "n window d"]:
    """x_{i+o} for every token i and offset o."""
    return jnp.stack([jnp.roll(x, -o, axis=0) for o in offsets], axis=1)


def _read(readout: Float[Array, "m n d"], u: Float[Array, "n window d"], offsets: range) -> Float[Array, "n m"]:
    """Σ_o T_{i+o} · u_{i,o}; u is brought to T, which is larger."""
    at = jnp.stack([jnp.roll(u[:, y], o, axis=0) for y, o in enumerate(offsets)], axis=1)
    out = jnp.einsum("mjd,jyd->jym", readout, at, precision="highest")
    return sum((jnp.roll(out[:, y], -o, axis=0) for y, o in enumerate(offsets)), jnp.zeros((), out.dtype))


def _linked(
    ansatz: Any, prepared: Prepared, base: Base, u: Float[Array, "n window d"], windows: tuple[range, range]
) -> Float[Array, "n window d"]:
    """Σ_o' L_{i+o, i+o'} u_{i,o'}: L of one distance after the other, by one Fourier transform each."""
    to, since = windows
    first, second = (prepared.kernels.params["params"][f"block_{k}"] for k in (0, 1))
    into = second["affine_scale"][:, None] * second["mix_in"]
    # M_k[a, b] = Σ_c B²[c, a] g_c(k) W¹_o[b, c]
    between = jnp.einsum("ca,kc,bc->kab", into, base.gates[0], first["mix_out"], precision="highest")
    spectrum = jnp.fft.rfft(between, axis=0)
    reach = reach_of_links(ansatz)
    out: list[Any] = [0.0] * len(to)
    for distance in range(since[0] - to[-1], since[-1] - to[0] + 1):
        pairs = [(x, y) for x, o in enumerate(to) for y, p in enumerate(since) if p - o == distance]
        assert prepared.links is not None
        link = jnp.fft.irfft(spectrum * prepared.links[distance + reach], n=ansatz.n_tokens, axis=0).astype(u.dtype)
        at = jnp.stack([jnp.roll(u[:, y], to[x], axis=0) for x, y in pairs], axis=1)
        made = jnp.einsum("jab,jsb->jsa", link, at, precision="highest")
        for k, (x, _) in enumerate(pairs):
            out[x] = out[x] + jnp.roll(made[:, k], -to[x], axis=0)
    return jnp.stack(out, axis=1)
