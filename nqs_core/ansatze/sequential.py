"""Autoregressive networks: what a network's file gives, and what all of them have from here."""

import math
from abc import abstractmethod
from collections.abc import Hashable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Int, Int8, PRNGKeyArray

from nqs_core.ansatze.base import Ansatz, Cost, FullForward, LocalUpdates
from nqs_core.ansatze.layers import dtype_of, start
from nqs_core.ansatze.prefix import PREFIX_BYTES, PrefixReuse, carried_bytes
from nqs_core.ansatze.sequential_network import Carry, Heads, Row, SequentialNetwork
from nqs_core.ansatze.tokens import Groups, Order, Tokens, of_lattice
from nqs_core.batching import over_samples
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.sector import Sector
from nqs_core.types import Params, Sigma

Inversion = Literal["none", "even", "odd"]

FORBIDDEN = -1e30  # log of a probability 0: infinities would make gradients NaN


@component
class SequentialAnsatz(Ansatz):
    """log ψ(σ) = Σ_j [½ log p(t_j | t_<j) + i φ_j(t_≤j)] over the tokens t_j of σ.

    A network's file holds a `SequentialNetwork` and a final class with its parameters and `network`. From here it has:

    - tokens: patches of cells in row-major or snake order, or any groups of sites in `tokens`; `self.letters` gives
      the sizes (n_tokens, n_letters) that a network needs
    - exact conditionals: a letter has probability 0 from where the sector of S^z cannot be reached any more
    - normalisation, exact sampling at one step a token, log ψ by teacher forcing
    - ψ(-σ) = ±ψ(σ) by fixing the first spin (`inversion`)
    - local updates that recompute what comes after a flipped site alone

    With `Heads` at its end a network needs no more than its own layers:

        class _Net(SequentialNetwork):
            n_tokens: int
            ...
            def setup(self): ...
            def __call__(self, letters): return self.heads(self.body(letters))
            def begin(self): ...
            def step(self, carry, j, letter): ...

        @component
        class Mine(SequentialAnsatz):
            features: int = param(32, ...)

            def network(self) -> SequentialNetwork:
                return _Net(self.letters.n_tokens, ..., heads=self.readout())

    Raises:
        ConfigError: a patch that does not fit, `inversion` in a sector that spin inversion leaves, or "odd" without a
            phase.
    """

    patch: int = param(
        1, ge=1, le=10, title="Patch", unit="cells", help="A token is a patch of so many cells along every axis; "
        "1: every site is one. Must divide every length."
    )  # fmt: skip
    order: Order = param("row", title="Order", help="Along rows, or to and fro, so that neighbours follow each other.")
    phase: bool = param(False, title="Phase", help="Adds a phase; needed where the ground state has signs.")
    phase_init_std: float = param(
        0.1, ge=0, le=10, title="Initial phases", help="Width of the phase head's first weights; small ones trap "
        "natural gradients in antiferromagnets without the Marshall rotation."
    )  # fmt: skip
    inversion: Inversion = param(
        "none", title="Spin inversion", help="ψ(-σ) = ψ(σ) (even) or -ψ(σ) (odd), by fixing the first spin."
    )
    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context("float32")
    tokens: Groups | None = context(None)

    def __post_init__(self) -> None:
        if self.inversion != "none" and self.sector.sz:
            raise ConfigError(
                f"inversion = {self.inversion!r} needs sector.sz = 0 or none; spin inversion leaves "
                f"sz = {self.sector.sz:g}"
            )
        if self.inversion == "odd" and not self.phase:
            raise ConfigError("inversion = 'odd' makes ψ negative somewhere and needs phase = true")
        if self.letters.place.shape[0] != self.sector.n_sites:
            raise ConfigError(f"tokens hold {len(self.letters.place)} sites, not {self.sector.n_sites}")
        self.check()

    def check(self) -> None:
        """Raises:
        ConfigError: parameters of the network that do not fit together; by default all fit.
        """

    @abstractmethod
    def network(self) -> SequentialNetwork:
        """The network, made anew by every call."""

    @property
    def floor(self) -> float:
        """Least probability of a spin's value: 0, or more in a proposal, where no state may be out of reach."""
        return 0.0

    @property
    def letters(self) -> Tokens:
        """The sites of every token."""
        if self.tokens is not None:
            return Tokens(self.tokens)
        return of_lattice(type(self).__name__.lower(), self.lattice, self.patch, self.order)

    def readout(self, *hidden: int) -> Heads:
        """The heads of a network, each after layers of `hidden` units."""
        std = self.phase_init_std if self.phase else None
        return Heads(self.letters.n_letters, hidden, std, self.precision)

    @property
    def signed(self) -> bool:
        return self.phase

    @property
    def receptive_field(self) -> tuple[int, ...]:
        return self.lattice.extent

    @property
    def layout(self) -> Hashable:
        return self.letters

    def init(self, key: PRNGKeyArray) -> Params:
        return start(self.network(), key, jnp.zeros(self.letters.n_tokens, jnp.int32))

    def log_psi(self, params: Params, sigma: Sigma) -> Inexact[Array, ""]:
        canonical, log_sign = self.canonical(sigma)
        letters = self.letters.encode(canonical)
        rows = self.log_rows(params, letters)
        return jnp.sum(jnp.take_along_axis(rows, letters[:, None], axis=1)) + log_sign

    def conditionals(self, params: Params, letters: Int[Array, " n_tokens"]) -> Float[Array, "n_tokens n_letters"]:
        """log p(t_j | t_<j) for every letter of every token."""
        return 2 * self.log_rows(params, letters).real

    def log_rows(self, params: Params, letters: Int[Array, " n_tokens"]) -> Inexact[Array, "n_tokens n_letters"]:
        """½ log p(t_j | t_<j) + i φ_j for every letter of every token, by teacher forcing."""
        row: Any = self.network().apply(params, letters)
        n_up = jnp.take_along_axis(jnp.asarray(self.letters.n_up), letters[:, None], axis=1)[:, 0]
        return self.log_row(row, self.allowed(np.arange(len(letters)), jnp.cumsum(n_up) - n_up))

    def begin(self, prepared: Params) -> Carry:
        """The carry before the first step."""
        return self.network().apply(prepared, method="begin")

    def step(
        self, prepared: Params, carry: Carry, j: Int[Array, ""], letter: Int[Array, ""], n_up: Int[Array, ""]
    ) -> tuple[Inexact[Array, " n_letters"], Carry]:
        """Row j of `log_rows` by one step of the network.

        Args:
            prepared: the parameters.
            carry: after step j - 1.
            j: the token.
            letter: of token j - 1; n_letters for j = 0.
            n_up: up spins in the tokens before j.
        """
        out: Any = self.network().apply(prepared, carry, j, letter, method="step")
        return self.log_row(out[0], self.allowed(j, n_up)), out[1]

    def allowed(self, j: Any, n_up: Int[Array, "*tokens"]) -> Any:
        """Letters of token j from which the sector can be reached, after `n_up` up spins in the tokens before."""
        letters = self.letters
        possible = letters.is_letter.copy()
        if self.inversion != "none":  # the first spin is up
            possible[0, 1::2] = False
        allowed = jnp.asarray(possible)[j]
        if self.sector.n_up is not None:
            later = np.cumsum([0, *map(len, letters.groups[:0:-1])])[::-1].astype(np.int32)
            missing = self.sector.n_up - n_up[..., None] - jnp.asarray(letters.n_up)[j]
            allowed &= (missing >= 0) & (missing <= jnp.asarray(later)[j][..., None])
        return allowed

    def log_row(self, row: Row, allowed: Any) -> Inexact[Array, "*tokens n_letters"]:
        """½ log p + i φ from logits and phases; the floor is shared by the allowed letters."""
        log_p = jax.nn.log_softmax(jnp.where(allowed, row.logits, FORBIDDEN), axis=-1)
        if self.floor > 0:
            mixed = 2 * self.floor * self.letters.size
            log_floor = math.log(mixed) - jnp.log(jnp.maximum(jnp.sum(allowed, axis=-1, keepdims=True), 1))
            log_p = jnp.logaddexp(log_p + math.log1p(-mixed), log_floor.astype(log_p.dtype))
            log_p = jnp.where(allowed, log_p, FORBIDDEN)
        half = 0.5 * log_p
        return half if row.phases is None else jax.lax.complex(half, row.phases)

    def canonical(self, sigma: Sigma) -> tuple[Sigma, Inexact[Array, ""]]:
        """σ, or -σ where the first spin is to be up; and log ψ(σ) less that of the configuration returned."""
        dtype = dtype_of(self.precision, self.signed)
        if self.inversion == "none":
            return sigma, jnp.zeros((), dtype)
        first = sigma[self.letters.groups[0][0]]
        log_sign = jnp.asarray(-0.5 * math.log(2), dtype)
        if self.inversion == "odd":
            log_sign = log_sign + jnp.where(first < 0, 1j * math.pi, 0).astype(dtype)
        return sigma * first, log_sign

    def sample(
        self, params: Params, key: PRNGKeyArray, n: int
    ) -> tuple[Int8[Array, "n n_sites"], Inexact[Array, " n"]]:
        """`n` independent samples of |ψ|² and their log ψ; one step of the network a token.

        By the inverse of the cumulative distribution of every token at one random number.
        """
        key_letters, key_sign = jax.random.split(key)
        u = jax.random.uniform(key_letters, (n, self.letters.n_tokens), jnp.float64)
        sign = jax.random.rademacher(key_sign, (n,), jnp.int8)
        carry = jax.tree.leaves(jax.eval_shape(self.begin, params))
        return over_samples(
            lambda own: self._sample_one(params, *own), (u, sign), 4 * sum(x.size * x.dtype.itemsize for x in carry)
        )

    def _sample_one(self, params: Params, u: Float[Array, " n_tokens"], sign: Int8[Array, ""]) -> tuple[Array, Array]:
        n_up_of = jnp.asarray(self.letters.n_up)

        def step(state: Any, own: tuple[Array, Array]) -> tuple[Any, Array]:
            carry, last, n_up, log_psi = state
            j, u = own
            row, carry = self.step(params, carry, j, last, n_up)
            letter = draw(2 * row.real, u)
            return (carry, letter, n_up + n_up_of[j, letter], log_psi + row[letter]), letter

        zero = jnp.zeros((), jnp.int32)
        begin = (
            self.begin(params),
            zero + self.letters.n_letters,
            zero,
            jnp.zeros((), dtype_of(self.precision, self.signed)),
        )
        (_, _, _, log_psi), letters = jax.lax.scan(step, begin, (jnp.arange(len(u), dtype=jnp.int32), u))
        sigma = self.letters.decode(letters)
        if self.inversion != "none":
            sigma = sigma * sign
        return sigma, log_psi + self.canonical(sigma)[1]

    def local_updates(self) -> LocalUpdates:
        n = self.letters.n_tokens
        if carried_bytes(self) > PREFIX_BYTES:
            return FullForward(self)
        return PrefixReuse(self, Cost(1.0, (n - 1) / (2 * n), 1.0, skips=True))


def draw(log_p: Float[Array, " n_letters"], u: Float[Array, ""]) -> Int[Array, ""]:
    """The letter at u in [0, 1) of the cumulative distribution; never one of probability 0."""
    cumulative = jnp.cumsum(jnp.exp(log_p.astype(jnp.float64)))
    # The last letter with any probability: rounding may put u on the end of the table.
    at = jnp.sum(cumulative <= u * cumulative[-1])
    return jnp.minimum(at, jnp.argmax(cumulative)).astype(jnp.int32)
