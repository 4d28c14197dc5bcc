"""Heat bath on sublattices with an exact correction."""

from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact, Int8, PRNGKeyArray

from nqs_core.ansatze.base import Cost
from nqs_core.ansatze.operations import Effort
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.samplers.base import Sampler, Samples
from nqs_core.samplers.chains import Chains, require_free_flips, require_whole_draws
from nqs_core.sector import Sector
from nqs_core.types import Info
from nqs_core.wavefunction import Psi


class Looked(NamedTuple):
    """One chain within a call, with what its next proposal needs."""

    sigma: Int8[Array, " n_sites"]
    log_psi: Inexact[Array, ""]
    log_odds: Float[Array, " n_sites"]  # log |ψ(σ with site i flipped) / ψ(σ)|²


class Tally(NamedTuple):
    """Of all chains: proposals that flip something, those accepted, and the spins flipped by them."""

    proposed: Float[Array, ""]
    accepted: Float[Array, ""]
    flipped: Float[Array, ""]


@component
class Sublattice(Sampler):
    """Flip every s-th site at once, each with p_i = t_i / (1 + t_i), t_i = |ψ(σⁱ)/ψ(σ)|², σⁱ flipped at site i.

    All are accepted together with min{1, |ψ(σ')/ψ(σ)|² Π p'_i/p_i Π (1 - p'_i)/(1 - p_i)}, the products over the sites
    of the sublattice that flip and over those that stay, p' at σ': exact for every network and every spacing. A share
    of the proposals flips all spins instead. Sublattices begin at a random site; s proposals are a sweep. One
    evaluation of all flips serves n_sites / s updates, which pays where flips are cheap, as with ABACUS.
    Source: Hastings, Biometrika 57, 97 (1970), with a block of heat-bath updates as the proposal.

    Raises:
        ConfigError: the chains do not divide the samples, or the sector fixes the total S^z.
    """

    independent: ClassVar[bool] = False
    n_samples: int = param(1024, ge=1, le=2**20, title="Samples", help="Configurations per optimisation step.")
    n_chains: int = param(256, ge=1, le=2**17, title="Chains", help="Independent Markov chains; must divide samples.")
    spacing: int = param(
        3, ge=1, le=1024, title="Spacing", help="Every so many sites are updated together.", unit="sites"
    )
    global_flips: float = param(
        0.1, ge=0.0, lt=1.0, title="Global flips", help="Share of the proposals that flip all spins."
    )
    n_sweeps: int = param(
        1, ge=1, le=10_000, title="Sweeps per draw", help="Sweeps between draws of a chain.", unit="sweeps"
    )
    n_burn: int = param(
        16, ge=0, le=100_000, title="Warm-up", help="Sweeps before the first draw of a run.", unit="sweeps"
    )
    lattice: Lattice = context()
    sector: Sector = context()

    def __post_init__(self) -> None:
        require_whole_draws("sublattice", self.n_samples, self.n_chains)
        require_free_flips("sublattice", self.sector)

    def init(self, key: PRNGKeyArray, psi: Psi) -> Chains:
        key_start, key_walk = jax.random.split(key)
        sigma = self.sector.random(key_start, self.n_chains)
        if self.n_burn == 0:
            return Chains(sigma)
        return Chains(self._run(key_walk, psi, self._look(psi, sigma), self.n_burn)[0].sigma)

    def sample(self, key: PRNGKeyArray, psi: Psi, state: Chains) -> tuple[Samples, Chains, Info]:
        def draw(walk: Looked, key: PRNGKeyArray) -> tuple[Looked, tuple[Array, Array, Tally]]:
            walk, tally = self._run(key, psi, walk, self.n_sweeps)
            return walk, (walk.sigma, walk.log_psi, tally)

        keys = jax.random.split(key, self.n_samples // self.n_chains)
        walk, (draws, log_psi, tally) = jax.lax.scan(draw, self._look(psi, state.sigma), keys)
        draws, log_psi = jnp.swapaxes(draws, 0, 1), jnp.swapaxes(log_psi, 0, 1)
        proposed, accepted, flipped = (jnp.sum(x) for x in tally)
        rounds = self.n_samples * self.n_sweeps * self.spacing
        scalars = {
            "acceptance": accepted / jnp.maximum(proposed, 1),
            "sublattice/flips_per_round": flipped / rounds,
        }
        samples = Samples(draws, log_psi, jnp.zeros(log_psi.shape, jnp.float64))
        return samples, Chains(walk.sigma), Info(jnp.asarray(True), scalars, {})

    def effort(self, cost: Cost) -> Effort:
        """All flips of every configuration that is proposed."""
        rounds = self.n_sweeps * self.spacing
        proposals = self.n_samples * rounds + self.n_chains
        n_draws = self.n_samples // self.n_chains
        return Effort(caches=proposals, ratios=proposals * self.sector.n_sites, rounds=n_draws * rounds + 1)

    def _look(self, psi: Psi, sigma: Int8[Array, "n_chains n_sites"]) -> Looked:
        """All chains with the odds of all their flips."""
        with jax.ensure_compile_time_eval():  # local updates may look at the moves themselves
            moves = jnp.arange(self.sector.n_sites)[:, None]

        def one(updates: Any, prepared: Any, sigma: Array) -> Looked:
            cache = updates.cache(prepared, sigma)
            ratios = updates.log_ratios(prepared, cache, sigma, moves)
            return Looked(sigma, updates.log_psi(prepared, cache), 2 * ratios.real.astype(jnp.float64))

        return psi.map(one, sigma, bytes_each=16 * self.sector.n_sites)

    def _run(self, key: PRNGKeyArray, psi: Psi, walk: Looked, n_sweeps: int) -> tuple[Looked, Tally]:
        n_chains, n_sites = walk.sigma.shape

        def step(carry: tuple[Looked, Tally], key: PRNGKeyArray) -> tuple[tuple[Looked, Tally], None]:
            walk, tally = carry
            keys = jax.random.split(key, 4)
            whole = jax.random.bernoulli(keys[0], self.global_flips, (n_chains,))
            start = jax.random.randint(keys[1], (n_chains,), 0, n_sites)
            member = ((jnp.arange(n_sites)[None] - start[:, None]) % n_sites) % self.spacing == 0
            uniform = jax.random.uniform(keys[2], walk.sigma.shape, jnp.float64)
            flips = jnp.where(whole[:, None], True, member & (uniform < jax.nn.sigmoid(walk.log_odds)))
            new = self._look(psi, jnp.where(flips, -walk.sigma, walk.sigma))
            log_u = jnp.log1p(-jax.random.uniform(keys[3], (n_chains,), jnp.float64))
            accept = log_u < jax.vmap(log_acceptance)(walk, new, member, flips, whole)
            moved = jnp.sum(flips, axis=1)
            counts = [moved > 0, accept & (moved > 0), jnp.where(accept, moved, 0)]
            tally = Tally(*[total + jnp.sum(x, dtype=jnp.float64) for total, x in zip(tally, counts, strict=True)])
            return (jax.tree.map(partial(_choose, accept), new, walk), tally), None

        begin = (walk, Tally(*[jnp.zeros((), jnp.float64)] * 3))
        return jax.lax.scan(step, begin, jax.random.split(key, n_sweeps * self.spacing))[0]


def log_acceptance(
    old: Looked,
    new: Looked,
    member: Bool[Array, " n_sites"],
    flips: Bool[Array, " n_sites"],
    whole: Bool[Array, ""],
) -> Float[Array, ""]:
    """log of |ψ'/ψ|² q(σ' → σ) / q(σ → σ'): the same sites flip back, each with its odds at σ'."""
    ratio = 2 * (new.log_psi - old.log_psi).real.astype(jnp.float64)
    proposed = jnp.where(flips, jax.nn.log_sigmoid(old.log_odds), jax.nn.log_sigmoid(-old.log_odds))
    returned = jnp.where(flips, jax.nn.log_sigmoid(new.log_odds), jax.nn.log_sigmoid(-new.log_odds))
    return ratio + jnp.where(whole, 0.0, jnp.sum(jnp.where(member, returned - proposed, 0.0)))


def _choose(accept: Bool[Array, " n_chains"], new: Array, old: Array) -> Array:
    return jnp.where(accept.reshape(-1, *(1,) * (new.ndim - 1)), new, old)
