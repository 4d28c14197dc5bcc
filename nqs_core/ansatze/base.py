"""The contract of an ansatz, of its local updates, and the local updates that every ansatz has."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Inexact, Int, PRNGKeyArray

from nqs_core.ansatze.compaction import flip as flip
from nqs_core.ansatze.compaction import over_allowed
from nqs_core.ansatze.memory import backward_at_once
from nqs_core.ansatze.published import Published
from nqs_core.lattices.base import Lattice
from nqs_core.sector import Sector
from nqs_core.types import Params, Sigma

Prepared = Any
Cache = Any

MOVES_AT_ONCE = 64  # on an accelerator: bounds the memory at 64 forward passes a configuration


BLOCK = 4096  # forward passes at once on an accelerator


class Cost(NamedTuple):
    """Cost of one configuration's `cache`, one move's `log_ratios`, one `advance`, in forward passes.

    skips: a move outside the mask, or of no site, costs nothing.
    """

    cache: float
    ratio: float
    advance: float
    skips: bool = False


_FORWARD = Cost(1.0, 1.0, 1.0, skips=True)


def map_moves(function: Callable[[Any], Array], moves: Int[Array, "n_moves move_size"]) -> Array:
    """function(moves[k]) for every k, walking over the moves while callers vectorise over configurations.

    On a CPU one move at a time is a third faster than all at once: no array of n_moves activations leaves the cache.
    """
    if len(moves) == 1:
        return function(moves[0])[None]
    return jax.lax.map(function, moves, batch_size=None if jax.default_backend() == "cpu" else MOVES_AT_ONCE)


class LocalUpdates(ABC):
    """What changes in log ψ when the sites of a move flip. Samplers and estimators are written against this only.

    A move is a row of site indices, padded with -1. `mask` marks the moves whose ratio is used; the others may be
    anything.
    Configurations have no batch axis; callers use `jax.vmap`.
    """

    words: ClassVar[str]  # what a flip costs, for people
    cost: Cost

    @abstractmethod
    def prepare(self, params: Params) -> Prepared:
        """The parameters and all that depends on them alone; once per step."""

    @abstractmethod
    def cache(self, prepared: Prepared, sigma: Sigma) -> Cache:
        """What is carried along a chain; must contain what `log_psi` needs."""

    @abstractmethod
    def log_psi(self, prepared: Prepared, cache: Cache) -> Inexact[Array, ""]:
        """log ψ(σ) of the cached configuration."""

    @abstractmethod
    def log_ratios(
        self,
        prepared: Prepared,
        cache: Cache,
        sigma: Sigma,
        moves: Int[Array, "n_moves move_size"],
        mask: Bool[Array, " n_moves"] | None = None,
    ) -> Inexact[Array, " n_moves"]:
        """log ψ(flip(σ, moves[k])) - log ψ(σ)."""

    @abstractmethod
    def advance(self, prepared: Prepared, cache: Cache, sigma: Sigma, move: Int[Array, " move_size"]) -> Cache:
        """The cache of flip(σ, move)."""


class AdditiveUpdates(LocalUpdates):
    """Local updates of a network log ψ = f(m) whose few numbers m far flips change independently, or nearly so."""

    @abstractmethod
    def coordinates(self, prepared: Prepared, cache: Cache) -> Inexact[Array, " m"]:
        """m of the cached configuration."""

    @abstractmethod
    def displacements(
        self, prepared: Prepared, cache: Cache, sigma: Sigma, moves: Int[Array, "n_moves move_size"]
    ) -> Inexact[Array, "n_moves m"]:
        """m(flip(σ, moves[k])) - m(σ), exactly."""

    @abstractmethod
    def read(self, prepared: Prepared, coordinates: Inexact[Array, " m"]) -> Inexact[Array, ""]:
        """log ψ = f(m)."""


class Ansatz(ABC):
    """log ψ_θ of one configuration; `@component`, hashable, holds no arrays.

    `signed`: ψ may be negative or complex (log ψ is complex); otherwise ψ > 0 and log ψ is real. `precisions`: those
    that it offers. `takes_weights`: there are published weights of it.
    """

    precisions: ClassVar[tuple[str, ...]] = ("float32", "float64")
    takes_weights: ClassVar[bool] = False
    lattice: Lattice
    sector: Sector
    precision: str

    @property
    @abstractmethod
    def signed(self) -> bool:
        """Whether log ψ is complex."""

    @abstractmethod
    def init(self, key: PRNGKeyArray) -> Params:
        """Fresh parameters in the configured precision."""

    @abstractmethod
    def log_psi(self, params: Params, sigma: Sigma) -> Inexact[Array, ""]:
        """log ψ_θ(σ): real when ψ > 0, complex otherwise."""

    def prepare(self, params: Params) -> Prepared:
        """What depends on the parameters alone and makes `evaluate` faster; once per step."""
        return params

    def evaluate(self, prepared: Prepared, sigma: Sigma) -> Inexact[Array, ""]:
        """log ψ_θ(σ) up to rounding, where no derivative is wanted."""
        return self.log_psi(prepared, sigma)

    @property
    def steps(self) -> tuple[int, ...] | None:
        """Cells along every axis after which a translation leaves ψ as it is; None: no translation does."""
        return None

    @property
    @abstractmethod
    def receptive_field(self) -> tuple[int, ...]:
        """Cells along every axis that one unit of the last layer before any sum over the lattice depends on."""

    @property
    def keeps_point_group(self) -> bool:
        """Whether every point operation of the lattice leaves ψ as it is."""
        return False

    @property
    def layout(self) -> Hashable:
        """What gives the parameters their meaning beyond their paths and shapes.

        Two networks of a class with equal paths, shapes and layouts compute the same function of the parameters.
        """
        return None

    def published(self) -> Published | None:
        """Where the tensors of published weights go, of a network with `takes_weights`."""
        return None

    def local_updates(self) -> LocalUpdates:
        """Full forward passes; a network with something faster returns its own."""
        return FullForward(self)


@dataclass(frozen=True)
class FullForward(LocalUpdates):
    """Every question is answered by forward passes; the cache is log ψ(σ). Moves that do not count cost nothing."""

    words: ClassVar[str] = "full forward passes"
    ansatz: Ansatz
    cost: Cost = _FORWARD

    def prepare(self, params: Params) -> Prepared:
        return self.ansatz.prepare(params)

    def cache(self, prepared: Prepared, sigma: Sigma) -> Cache:
        return self.ansatz.evaluate(prepared, sigma)

    def log_psi(self, prepared: Prepared, cache: Cache) -> Inexact[Array, ""]:
        return cache

    def log_ratios(
        self,
        prepared: Prepared,
        cache: Cache,
        sigma: Sigma,
        moves: Int[Array, "n_moves move_size"],
        mask: Bool[Array, " n_moves"] | None = None,
    ) -> Inexact[Array, " n_moves"]:
        allowed = jnp.ones(len(moves), bool) if mask is None else mask
        return self._evaluate(prepared, sigma, moves, allowed) - cache

    def advance(self, prepared: Prepared, cache: Cache, sigma: Sigma, move: Int[Array, " move_size"]) -> Cache:
        moved = jnp.any(move >= 0)[None]
        return jnp.where(moved[0], self._evaluate(prepared, sigma, move[None], moved)[0], cache)

    def _evaluate(self, prepared: Prepared, sigma: Sigma, moves: Array, allowed: Array) -> Inexact[Array, " n_moves"]:
        def log_psi(prepared: Prepared, sigma: Sigma, move: Array) -> Inexact[Array, ""]:
            return self.ansatz.evaluate(prepared, flip(sigma, move))

        return over_allowed(log_psi, prepared, sigma, moves, allowed, backward_at_once(self.ansatz, BLOCK))
