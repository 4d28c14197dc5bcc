"""Weighted proposals: how many they are worth, drawing from them again, and what they say of the proposal network."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Int, Int8, PRNGKeyArray

from nqs_core.ansatze.sequential import SequentialAnsatz
from nqs_core.types import Params
from nqs_core.wavefunction import Psi

HISTOGRAM = np.linspace(-8.0, 8.0, 33)  # edges for log w - log Z; the outer bins are open
PROBES = 64  # kept configurations whose mirror images are looked at


class Store(NamedTuple):
    """Proposals with their log ψ and log w; -∞ in empty places, and for what has no weight."""

    sigma: Int8[Array, "n n_sites"]
    log_psi: Inexact[Array, " n"]
    log_weight: Float[Array, " n"]
    n: Int[Array, ""]  # places that are filled

    def add(self, sigma: Array, log_psi: Array, log_weight: Array) -> "Store":
        """With one more block of proposals."""
        start = (self.n,)
        return Store(
            jax.lax.dynamic_update_slice(self.sigma, sigma, (self.n, jnp.zeros((), self.n.dtype))),
            jax.lax.dynamic_update_slice(self.log_psi, log_psi.astype(self.log_psi.dtype), start),
            jax.lax.dynamic_update_slice(self.log_weight, log_weight, start),
            self.n + len(sigma),
        )

    def log_z(self) -> Float[Array, ""]:
        """log of the mean weight."""
        return jax.nn.logsumexp(self.log_weight) - jnp.log(self.n)

    def histogram(self) -> Int[Array, " n_bins"]:
        """How many proposals have which log w - log Z; those without weight are in the first bin."""
        inner = jnp.clip(self.log_weight - self.log_z(), HISTOGRAM[0], HISTOGRAM[-1] - 1e-9)
        filled = jnp.arange(len(inner)) < self.n
        bins = jnp.searchsorted(jnp.asarray(HISTOGRAM), inner, side="right") - 1
        return jnp.zeros(len(HISTOGRAM) - 1, jnp.int32).at[bins].add(filled.astype(jnp.int32))


def empty_store(capacity: int, psi: Psi) -> Store:
    """Room for `capacity` proposals."""
    n_sites = psi.sector.n_sites
    dtype = jax.eval_shape(psi.log_psi, jax.ShapeDtypeStruct((1, n_sites), jnp.int8)).dtype
    return Store(
        jnp.ones((capacity, n_sites), jnp.int8),
        jnp.zeros(capacity, dtype),
        jnp.full(capacity, -jnp.inf, jnp.float64),
        jnp.zeros((), jnp.int32),
    )


def effective(log_weight: Float[Array, " n"]) -> Float[Array, ""]:
    """(Σw)² / Σw², a number of samples; 0 where nothing has a weight."""
    ess = jnp.exp(2 * jax.nn.logsumexp(log_weight) - jax.nn.logsumexp(2 * log_weight))
    return jnp.where(jnp.any(jnp.isfinite(log_weight)), ess, 0.0)


def resample(
    key: PRNGKeyArray, log_weight: Float[Array, " n"], n: int, kind: Literal["systematic", "multinomial"]
) -> Int[Array, " n_kept"]:
    """n indices with probabilities w / Σw. Systematic ones keep the order of drawing and scatter less."""
    cumulative = jnp.cumsum(jnp.exp(log_weight - jnp.max(log_weight)))
    shape = () if kind == "systematic" else (n,)
    u = jax.random.uniform(key, shape, jnp.float64)
    places = (jnp.arange(n) + u) / n if kind == "systematic" else u
    # "right": what has no weight is never taken. Rounding may put a place on the end of the table.
    index = jnp.searchsorted(cumulative, places * cumulative[-1], side="right")
    return jnp.minimum(index, jnp.argmax(cumulative)).astype(jnp.int32)


def permuted(key: PRNGKeyArray, sigma: Int8[Array, "n n_sites"], copies: int) -> Int8[Array, "n n_sites"]:
    """The copies in random order, which |ψ|² of a determinant does not see."""
    if copies == 1:
        return sigma
    order = jnp.argsort(jax.random.uniform(key, (len(sigma), copies)), axis=1)
    each = sigma.reshape(len(sigma), copies, -1)
    return jnp.take_along_axis(each, order[:, :, None], axis=1).reshape(sigma.shape)


def weight_scalars(store: Store, n_samples: int) -> dict[str, Float[Array, ""]]:
    """ESS, efficiency, both divergences in nats, and the largest share of one proposal."""
    weights, log_z, ess = jax.nn.softmax(store.log_weight), store.log_z(), effective(store.log_weight)
    finite = jnp.isfinite(store.log_weight)
    excess = jnp.where(finite, store.log_weight - log_z, 0.0)
    return {
        "ess": jnp.minimum(ess / n_samples, 1.0),
        "nir/ess": ess / n_samples,
        "nir/efficiency": ess / store.n,
        "nir/n_proposed": store.n,
        "nir/kl_forward": jnp.sum(weights * excess),
        "nir/kl_backward": -jnp.sum(excess) / store.n,
        "nir/max_weight": jnp.max(weights),
    }


def mode_gap(
    key: PRNGKeyArray, psi: Psi, q: SequentialAnsatz, net: Params, sigma: Int8[Array, "n n_sites"]
) -> Float[Array, ""]:
    """Mean of log w(-σ) - log w(σ) over a few samples: large where q has lost the mirror image of what it draws."""
    few = sigma[jax.random.randint(key, (min(PROBES, len(sigma)),), 0, len(sigma))]

    def log_weight(sigma: Array) -> Float[Array, " n"]:
        log_q = 2 * jax.vmap(lambda s: q.log_psi(net, s))(sigma).real
        return 2 * psi.log_psi(sigma).real.astype(jnp.float64) - log_q.astype(jnp.float64)

    return jnp.mean(log_weight(-few) - log_weight(few))
