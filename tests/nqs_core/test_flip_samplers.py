"""Samplers of many flips at once: what they draw, with broken twins that the test must catch; refusals."""

import jax
import jax.numpy as jnp
import pytest

from nqs_core.config import Spec
from nqs_core.errors import ConfigError
from nqs_core.samplers import SAMPLERS, sublattice, typewriter
from nqs_core.samplers.exact import log_amplitudes
from nqs_core.sector import Sector
from nqs_core.wavefunction import bind
from tests.contracts.variants import chain, network
from tests.nqs_core.distribution import chi_square_p

N = 6
MANY = {"n_samples": 20_000, "n_chains": 20_000}
JASTROW = Spec(name="jastrow", params={"field": True})
DYSONNET = Spec(name="dysonnet", params={"features": 4, "blocks": 1, "modes": 2, "hidden": 2})


def build(name, sz=None, **params):
    return SAMPLERS.build(Spec(name=name, params=params), lattice=chain(N), sector=Sector(N, sz))


def drawn(sampler, spec, spread):
    """Chi-square of one state of each of many chains after the warm-up and one draw, and what is reported."""
    ansatz, params = network(spec, N, spread=spread)

    @jax.jit
    def draw(key):
        psi = bind(ansatz, params)
        key_init, key_sample = jax.random.split(key)
        return sampler.sample(key_sample, psi, sampler.init(key_init, psi))

    samples, _, info = draw(jax.random.key(7))
    log_psi = log_amplitudes(bind(ansatz, params), Sector(N))
    return chi_square_p(samples.sigma.reshape(-1, N), log_psi, Sector(N)), info.scalars


# ---- sublattices


def uncorrected(old, new, member, flips, whole):
    """As if heat baths on neighbouring sites did not disturb each other."""
    return jnp.zeros(())


@pytest.mark.parametrize(("correction", "right"), [(None, True), (uncorrected, False)])
def test_sublattices_follow_psi_squared_with_their_correction_only(monkeypatch, correction, right):
    """Every site is proposed at once: nothing but the correction knows that neighbours interact."""
    if correction is not None:
        monkeypatch.setattr(sublattice, "log_acceptance", correction)
    p, reported = drawn(build("sublattice", **MANY, spacing=1, n_burn=60), JASTROW, 0.15)
    assert p > 1e-3 if right else p < 1e-6
    assert 0 < reported["acceptance"] <= 1
    assert 0 < reported["sublattice/flips_per_round"] < N


# ---- typewriter


@pytest.mark.parametrize(("bound", "right"), [(1.0, True), (0.0, False)])
def test_doubts_are_what_makes_the_typewriter_right(monkeypatch, bound, right):
    """Neighbouring flips of a dysonnet do not add up: exact where all are in doubt, wrong and said so where none is."""
    monkeypatch.setattr(typewriter, "bounds", lambda errors: jnp.full(errors.shape, bound))
    p, reported = drawn(build("typewriter", n_samples=4000, n_chains=4000, spacing=1, n_burn=12), DYSONNET, 0.2)
    assert p > 1e-3 if right else p < 1e-6
    assert (reported["typewriter/wrong_decisions"] > 0.01) == (not right)
    assert (reported["typewriter/doubted"] > 0.01) == right


def test_bounds_grow_with_the_flips_before():
    errors = jnp.array([-1.0, 0.02, -1.0, 0.01, 0.5])
    assert jnp.allclose(typewriter.bounds(errors), jnp.array([0.1, 0.03, 0.03, 0.03, 0.25]))


# ---- refusals


@pytest.mark.parametrize(
    ("name", "sz", "params", "problem"),
    [
        ("sublattice", 0.0, {}, "leaves the sector sz = 0"),
        ("typewriter", 0.0, {"spacing": 1}, "leaves the sector sz = 0"),
        ("sublattice", None, {"n_samples": 100, "n_chains": 64}, "n_samples = 100 is not a multiple of n_chains = 64"),
        ("typewriter", None, {"spacing": 4}, "spacing = 4 leaves no two places on 6 sites; allowed: up to 3"),
    ],
)
def test_what_does_not_fit_is_refused(name, sz, params, problem):
    with pytest.raises(ConfigError, match=problem):
        build(name, sz, **params)


def test_networks_without_sums_are_refused():
    ansatz, _ = network(JASTROW, N)
    assert "Jastrow has no such sums" in build("typewriter", spacing=1).refuses(ansatz)
    assert build("typewriter", spacing=1).refuses(network(DYSONNET, N)[0]) == ""
