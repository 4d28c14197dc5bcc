"""Neural importance resampling: proposals of a second network, weighted and drawn again."""

import math
from dataclasses import replace
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Int8, PRNGKeyArray

from nqs_core.ansatze.base import Cost
from nqs_core.ansatze.operations import Effort, forward
from nqs_core.ansatze.sequential import SequentialAnsatz
from nqs_core.ansatze.transformer import Transformer
from nqs_core.config import Spec
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.registry import Registry, component, context, param
from nqs_core.samplers.base import Sampler, Samples
from nqs_core.samplers.proposals import (
    Store,
    effective,
    empty_store,
    mode_gap,
    permuted,
    resample,
    weight_scalars,
)
from nqs_core.sector import Sector
from nqs_core.types import Info, Params
from nqs_core.wavefunction import Psi

PROPOSALS = Registry[SequentialAnsatz]("proposal network", {"transformer": Transformer})
MAX_ADVANTAGE = 1e3  # of the backward divergence: proposals of weight zero have an infinite one


class Trained(NamedTuple):
    """The proposal network q with its Adam; part of the state of a run."""

    net: Params
    adam: Any


class _Round(NamedTuple):
    """What a round of proposals, resampling and training leaves."""

    key: PRNGKeyArray
    state: Trained
    store: Store
    kept: Int[Array, " n_samples"]
    rounds: Int[Array, ""]
    n_total: Int[Array, ""]


@component
class NeuralImportanceResampling(Sampler):
    """Proposals σ ~ q of an autoregressive network, weighted by w = |ψ|² / q, and n_samples of them drawn again by w.

    Proposals are drawn until their effective number (Σw)² / Σw² reaches alpha_ess · n_samples; q is trained by Adam on
    every round, and a round in which less than alpha_eff of the proposals is effective is done again. The samples have
    no memory and the same weight; they are consistent, with a bias of order 1 / ESS. The final measurement takes
    n_samples proposals with their weights, refuses none and trains nothing.
    Estimates know nothing of what q never draws: where H allows, training states are flipped as a whole (`augment`),
    and `nir/mode_gap` compares the weights of a state and its mirror image.
    Source: Ledinauskas and Anisimovas, Mach. Learn.: Sci. Technol. 7, 015020 (2026).

    Raises:
        ConfigError: a proposal network with a phase, or a patch that does not divide the sites.
    """

    independent: ClassVar[bool] = True
    remedy: ClassVar[str] = (
        "a larger proposal network, more gradient steps a round (n_train), or a smaller learning rate of the wave "
        "function let the proposals follow"
    )
    n_samples: int = param(512, ge=1, le=2**20, title="Samples", help="Configurations per optimisation step.")
    alpha_ess: float = param(
        2.0, gt=0, le=100, title="Wanted ESS", help="Effective proposals for every sample; more make fewer copies."
    )
    alpha_eff: float = param(
        0.1, gt=0, lt=1, title="Least efficiency", help="Effective part of the proposals below which q learns first."
    )
    block: int = param(512, ge=1, le=2**17, title="Block", help="Proposals drawn at once.")
    max_rounds: int = param(50, ge=1, le=1000, title="Most rounds", help="After these a batch is refused.")
    n_proposals: int = param(
        0, ge=0, le=2**20, title="Fixed number", help="Exactly so many proposals, one round; 0: by the thresholds."
    )
    resampling: Literal["systematic", "multinomial"] = param(
        "systematic", title="Resampling", help="Evenly through the cumulative weights, or independently."
    )
    loss: Literal["forward", "backward"] = param(
        "forward", title="Divergence", help="Forward: KL(p‖q), keeps all modes. Backward: KL(q‖p), seeks one."
    )
    n_train: int = param(1, ge=0, le=1000, title="Training steps", help="Gradient steps of q a round.")
    learning_rate: float = param(1e-3, gt=0, le=1, title="Rate of q", help="Adam rate of the proposal network.")
    augment: bool = param(True, title="Mirror images", help="Flip training states as a whole, where H allows it.")
    patch: int = param(
        0, ge=0, le=8, title="Spins a token", help="0: one site of all states, or 4, 2 or 1 sites of a single one."
    )
    proposal: SequentialAnsatz = param(
        Spec(name="transformer", params={"p_floor": 1e-3}),
        family=PROPOSALS,
        title="Proposal network",
        help="An autoregressive network without a phase; a floor keeps every state within its reach.",
    )
    lattice: Lattice = context()
    sector: Sector = context()
    flip_invariant: bool = context(False)
    measuring: bool = context(False)

    def __post_init__(self) -> None:
        if self.proposal.signed:
            raise ConfigError("sampler 'nir': the proposal network must have phase = false: it is a probability")
        if self.patch and self.sector.n_each % self.patch and self.sector.copies == 1:
            raise ConfigError(f"sampler 'nir': patch = {self.patch} does not divide {self.sector.n_each} sites")

    def for_measurement(self) -> Sampler:
        return replace(self, measuring=True)

    def init(self, key: PRNGKeyArray, psi: Psi) -> Trained:
        net = self.q.init(key)
        return Trained(net, self._adam().init(net))

    def sample(self, key: PRNGKeyArray, psi: Psi, state: Trained) -> tuple[Samples, Trained, Info]:
        if self.measuring:
            return self._weighted(key, psi, state)
        key_first, key_gap, key_rest = jax.random.split(key, 3)
        nothing = jnp.zeros(self.n_samples, jnp.int32), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        begin = self._round(psi, _Round(key_first, state, self._empty(psi), *nothing))

        def again(r: _Round) -> Bool[Array, ""]:
            return self._refused(r.store) & (r.rounds < self.max_rounds)

        last = jax.lax.while_loop(again, lambda r: self._round(psi, r), begin._replace(key=key_rest))
        store, kept = last.store, last.kept
        sigma, log_psi = store.sigma[kept], store.log_psi[kept]
        scalars = weight_scalars(store, self.n_samples) | {
            "nir/rounds": last.rounds,
            "nir/n_total": last.n_total,
            "nir/unique": (1 + jnp.count_nonzero(jnp.diff(jnp.sort(kept)))) / self.n_samples,
        }
        if self.flip_invariant:
            scalars["nir/mode_gap"] = mode_gap(key_gap, psi, self.q, last.state.net, sigma)
        info = Info(~self._refused(store), scalars, {"nir/log_weights": store.histogram()})
        zero = jnp.zeros((self.n_samples, 1), jnp.float64)
        return Samples(sigma[:, None], log_psi[:, None], zero), last.state, info

    def effort(self, cost: Cost) -> Effort:
        """One round at full efficiency; q in the network's place beside it."""
        blocks = math.ceil(self.alpha_ess * self.n_samples / self.block)
        n = self.n_samples if self.measuring else self.n_proposals or blocks * self.block
        passes = n + 3 * self.n_train * self.n_samples
        return Effort(forwards=n, rounds=math.ceil(n / self.block), beside=forward(self.q).times(passes))

    @property
    def q(self) -> SequentialAnsatz:
        """The proposal network on the tokens of this system; it stays in the sector where a single copy has one."""
        n, copies = self.sector.n_each, self.sector.copies
        if copies > 1:
            each = max(1, self.patch // copies)
            rows = range(0, n, each if n % each == 0 else 1)
            width = each if n % each == 0 else 1
            groups = tuple(tuple(k * n + i + s for s in range(width) for k in range(copies)) for i in rows)
        else:
            width = self.patch or next(w for w in (4, 2, 1) if n % w == 0)
            groups = tuple(tuple(range(i, i + width)) for i in range(0, n, width))
        sector = self.sector if copies == 1 else Sector(self.sector.n_sites)
        return replace(self.proposal, lattice=self.lattice, sector=sector, tokens=groups)

    @property
    def capacity(self) -> int:
        """Proposals of a round at most: with more the batch would be refused anyway."""
        if self.n_proposals:
            return self.n_proposals
        return math.ceil(self.alpha_ess * self.n_samples / self.alpha_eff / self.block) * self.block

    def _adam(self) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(self.learning_rate))

    def _empty(self, psi: Psi) -> Store:
        return empty_store(self.capacity, psi)

    def _refused(self, store: Store) -> Bool[Array, ""]:
        if self.n_proposals:
            return jnp.asarray(False)
        return effective(store.log_weight) < self.alpha_eff * store.n

    def _propose(
        self, key: PRNGKeyArray, psi: Psi, net: Params, n: int
    ) -> tuple[Int8[Array, "n n_sites"], Array, Float[Array, " n"]]:
        """n proposals with their log ψ and log w, -∞ outside the sector and where ψ vanishes."""
        sigma, half_log_q = self.q.sample(net, key, n)
        log_psi = psi.log_psi(sigma)
        log_weight = 2 * (log_psi.real.astype(jnp.float64) - half_log_q.real.astype(jnp.float64))
        inside = jax.vmap(psi.sector.contains)(sigma) & jnp.isfinite(log_weight)
        return sigma, log_psi, jnp.where(inside, log_weight, -jnp.inf)

    def _weighted(self, key: PRNGKeyArray, psi: Psi, state: Trained) -> tuple[Samples, Trained, Info]:
        sigma, log_psi, log_weight = self._propose(key, psi, state.net, self.n_samples)
        store = Store(sigma, log_psi, log_weight, jnp.asarray(self.n_samples, jnp.int32))
        # Where ψ = 0 there is no local energy: any other configuration with the same weight, zero, stands for it.
        index = jnp.where(jnp.isfinite(log_weight), jnp.arange(self.n_samples), jnp.argmax(log_weight))
        sigma, log_psi = sigma[index], log_psi[index]
        normalised = log_weight - store.log_z()
        info = Info(jnp.asarray(True), weight_scalars(store, self.n_samples), {"nir/log_weights": store.histogram()})
        return Samples(sigma[:, None], log_psi[:, None], normalised[:, None]), state, info

    def _round(self, psi: Psi, before: _Round) -> _Round:
        key, key_draw, key_keep, key_train = jax.random.split(before.key, 4)
        store = self._fill(key_draw, psi, before.state.net)
        kept = resample(key_keep, store.log_weight, self.n_samples, self.resampling)
        state = self._train(key_train, psi, before.state, store)
        return _Round(key, state, store, kept, before.rounds + 1, before.n_total + store.n)

    def _fill(self, key: PRNGKeyArray, psi: Psi, net: Params) -> Store:
        block = self.n_proposals or self.block

        def more(own: tuple[PRNGKeyArray, Store]) -> Bool[Array, ""]:
            store = own[1]
            if self.n_proposals:
                return store.n == 0
            few = effective(store.log_weight) < self.alpha_ess * self.n_samples
            return (store.n == 0) | (few & (store.n < self.capacity))

        def draw(own: tuple[PRNGKeyArray, Store]) -> tuple[PRNGKeyArray, Store]:
            key, store = own
            key, key_block = jax.random.split(key)
            return key, store.add(*self._propose(key_block, psi, net, block))

        return jax.lax.while_loop(more, draw, (key, self._empty(psi)))[1]

    def _train(self, key: PRNGKeyArray, psi: Psi, state: Trained, store: Store) -> Trained:
        """n_train steps of Adam on -⟨log q⟩ over states drawn again, or on the score of fresh proposals."""
        q, adam = self.q, self._adam()

        def log_q(net: Params, sigma: Array) -> Float[Array, " n"]:
            return 2 * jax.vmap(lambda s: q.log_psi(net, s))(sigma).real

        def loss(net: Params, sigma: Array, advantage: Array) -> Float[Array, ""]:
            return jnp.mean(advantage * log_q(net, sigma))

        def one(state: Trained, key: PRNGKeyArray) -> tuple[Trained, None]:
            sigma, advantage = self._lesson(key, psi, state, store)
            gradient = jax.grad(loss)(state.net, sigma, advantage)
            updates, rest = adam.update(gradient, state.adam)
            return Trained(optax.apply_updates(state.net, updates), rest), None

        return jax.lax.scan(one, state, jax.random.split(key, self.n_train))[0]

    def _lesson(self, key: PRNGKeyArray, psi: Psi, state: Trained, store: Store) -> tuple[Array, Array]:
        """States to learn from and the factors of their log q in the loss."""
        key_draw, key_order, key_flip = jax.random.split(key, 3)
        if self.loss == "backward":
            sigma, _, log_weight = self._propose(key_draw, psi, state.net, self.n_samples)
            excess = jnp.clip(-log_weight - jnp.mean(-log_weight, where=jnp.isfinite(log_weight)), None, MAX_ADVANTAGE)
            return sigma, (excess - jnp.mean(excess)).astype(jnp.float32)
        sigma = store.sigma[resample(key_draw, store.log_weight, self.n_samples, "multinomial")]
        sigma = permuted(key_order, sigma, self.sector.copies)
        if self.augment and self.flip_invariant and not self.sector.sz:
            sigma = sigma * jax.random.rademacher(key_flip, (len(sigma), 1), jnp.int8)
        return sigma, -jnp.ones(len(sigma), jnp.float32)
