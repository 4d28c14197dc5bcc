"""What every registered sampler must do: draw |ψ|², stay in the sector, report the log ψ of what it drew."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core.config import Spec
from nqs_core.errors import ConfigError
from nqs_core.samplers import SAMPLERS
from nqs_core.samplers.exact import log_amplitudes
from nqs_core.sector import Sector
from nqs_core.wavefunction import bind
from tests.contracts.variants import chain, label, network, variants
from tests.nqs_core.distribution import chi_square_p

N = 6
# One draw of many independent chains. The slowest mode of this ψ takes 6 sweeps, so 60 forget the start.
MANY = {"n_samples": 20_000, "n_chains": 20_000, "n_burn": 60}
SMALL: dict[str, dict[str, Any]] = {
    "metropolis": MANY,
    "sublattice": {**MANY, "spacing": 2},
    "typewriter": {**MANY, "n_burn": 20, "spacing": 1},
}
# Of many proposals few are drawn again, so that hardly any is drawn twice.
TINY = {"name": "transformer", "params": {"features": 8, "layers": 1, "heads": 2, "p_floor": 1e-3}}
SMALL["nir"] = {"n_samples": 5_000, "n_proposals": 100_000, "proposal": TINY}
SPECS = variants(SAMPLERS, {name: SMALL.get(name, {"n_samples": 20_000}) for name in SAMPLERS})
# What a proposal learns from does not change what a single call draws; test_nir looks at both kinds of resampling.
SPECS = [spec for spec in SPECS if not (spec.name == "nir" and {"loss", "augment", "resampling"} & spec.params.keys())]


def setup(spec, sz):
    """The sampler with a peaked ψ that it accepts; skips moves that do not fit the sector."""
    try:
        sampler: Any = SAMPLERS.build(spec, lattice=chain(N), sector=Sector(N, sz))
    except ConfigError as refused:
        if "move" not in str(refused):
            raise
        pytest.skip(str(refused))
    ansatz, params = network(Spec(name="jastrow", params={"field": True}), N, sz, spread=0.15)
    if sampler.refuses(ansatz):
        ansatz, params = network(Spec(name="rbm", params={"alpha": 1}), N, sz, spread=0.3)
    if sampler.refuses(ansatz):
        ansatz, params = network(Spec(name="arnn", params={"features": 3}), N, sz, spread=0.5)
    return sampler, ansatz, params


@pytest.mark.parametrize("sz", [None, 0.0, 1.0])
@pytest.mark.parametrize("spec", SPECS, ids=label)
def test_samples_follow_psi_squared(spec, sz):
    sampler, ansatz, params = setup(spec, sz)
    sector = Sector(N, sz)

    @jax.jit
    def draw(key):
        psi = bind(ansatz, params)
        key_init, key_sample = jax.random.split(key)
        return sampler.sample(key_sample, psi, sampler.init(key_init, psi))

    samples, state, info = draw(jax.random.key(7))
    n_chains, n_draws, n_sites = samples.sigma.shape
    assert (n_chains * n_draws, n_sites) == (sampler.n_samples, N)
    assert samples.sigma.dtype == jnp.int8
    assert bool(info.ready)
    assert np.all(samples.log_weight == 0)
    flat = samples.sigma.reshape(-1, N)
    assert np.all(jax.vmap(sector.contains)(flat))
    evaluated = jax.jit(jax.vmap(ansatz.log_psi, (None, 0)))(params, flat)
    np.testing.assert_allclose(samples.log_psi.reshape(-1), evaluated, atol=1e-10)
    again = jax.eval_shape(lambda s: sampler.sample(jax.random.key(0), bind(ansatz, params), s)[1], state)
    assert jax.tree.map(jnp.shape, again) == jax.tree.map(jnp.shape, state)
    log_psi = log_amplitudes(bind(ansatz, params), sector)
    assert np.exp(2 * np.ptp(log_psi.real)) > 100  # peaked
    assert chi_square_p(flat, log_psi, sector) > 1e-3


@pytest.mark.parametrize("spec", SPECS, ids=label)
def test_the_same_key_gives_the_same_samples(spec):
    sampler, ansatz, params = setup(spec.model_copy(update={"params": {**spec.params, "n_samples": 40_000}}), 0.0)
    state = jax.jit(lambda k: sampler.init(k, bind(ansatz, params)))(jax.random.key(0))
    draw = jax.jit(lambda k: sampler.sample(k, bind(ansatz, params), state)[0].sigma)
    one, same, other = draw(jax.random.key(1)), draw(jax.random.key(1)), draw(jax.random.key(2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
