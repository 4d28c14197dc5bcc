"""What is refused, and with which sentence."""

import random
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import problem
from nqs_core.card import card
from nqs_core.config import parse
from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.hamiltonians import HAMILTONIANS
from tests.nqs_core.systems import config


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ansatz": {"name": "nope"}}, "unknown ansatz 'nope'; choose one of"),
        ({"lattice": {"name": "chain", "params": {"length": -3}}}, "length"),
        ({"hamiltonian": {"name": "tfim", "params": {"zz": 1}}}, "parameters: J, h"),
        ({"hamiltonian": {"name": "tfim", "params": {"h": "1"}}}, "h: Input should be a valid number"),
        ({"sector": {"momentum": [1, 0]}}, "sector.momentum"),
        ({"sector": {"momentum": [1]}, "hamiltonian": {"name": "spin_glass"}}, "'spin_glass' is not invariant under"),
        ({"sector": {"point_group": "E"}}, "irreps of Cs are A', A''"),
        ({"sector": {"spin_flip": 1}, "hamiltonian": {"name": "tfim", "params": {"h_z": 0.1}}}, "spin_flip = +1"),
        (
            {"sector": {"momentum": [1]}, "ansatz": {"name": "arnn"}, "sampler": {"name": "autoregressive"}},
            "not from its projection",
        ),
        ({"sector": {"sz": 0}}, "'tfim' does not conserve"),
        ({"sector": {"sz": 0.5}, "hamiltonian": {"name": "heisenberg"}}, "sector.sz = 0.5 is not possible"),
        ({"sampler": {"name": "autoregressive"}}, "needs an autoregressive ansatz (arnn"),
        ({"sampler": {"name": "metropolis", "params": {"n_samples": 100, "n_chains": 30}}}, "n_chains"),
        ({"observables": ["nope"]}, "unknown observable 'nope'"),
        ({"n_steps": True}, "n_steps"),
        ({"colour": 1}, "colour"),
        ({"name": "a\0b"}, "control characters"),
    ],
)
def test_bad_configurations_are_refused_with_the_reason(changes, sentence):
    with pytest.raises(ConfigError) as caught:
        problem.build(config(**changes))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"lattice": {"name": "chain", "params": {"length": 1_000_000}}},
        {"lattice": {"name": "square", "params": {"extent": [30000, 30000]}}},
        {"sampler": {"name": "metropolis", "params": {"n_samples": 10_000_000, "n_chains": 1000}}},
    ],
)
def test_what_does_not_fit_is_refused_with_an_estimate(changes):
    changes = {"sampler": {"name": "metropolis"}} | changes
    with pytest.raises((TooLargeError, ConfigError), match=r"GB|less than or equal|offered for up to"):
        problem.build(config(**changes))


def test_defaults_follow_the_ansatz():
    base = {"lattice": {"name": "chain"}, "hamiltonian": {"name": "tfim"}}
    plain = problem.with_defaults(parse(base))
    assert plain.sampler is not None
    assert plain.optimizer is not None
    assert (plain.sampler.name, plain.optimizer.name) == ("metropolis", "minsr")
    ar = problem.with_defaults(parse(base | {"ansatz": {"name": "arnn"}}))
    assert ar.sampler is not None
    assert ar.optimizer is not None
    assert (ar.sampler.name, ar.optimizer.name) == ("autoregressive", "adam")
    assert plain.ansatz.params["alpha"] == 2
    assert problem.with_defaults(plain) == plain


def test_a_positive_ansatz_on_a_sign_problem_is_warned_of():
    heisenberg = {"name": "heisenberg", "params": {}}
    exact = {"sampler": {"name": "metropolis"}, "sector": {"sz": 0}}
    assert (
        "positive or complex off-diagonal"
        in problem.warnings(problem.build(config(hamiltonian=heisenberg, **exact)))[0]
    )
    rotated = {"name": "heisenberg", "params": {"marshall": True}}
    assert problem.warnings(problem.build(config(hamiltonian=rotated, **exact))) == []
    signed = {"name": "rbm", "params": {"complex": True}}
    assert problem.warnings(problem.build(config(hamiltonian=heisenberg, ansatz=signed, **exact))) == []


def test_a_projected_network_is_sampled_by_metropolis():
    built = problem.build(config(ansatz={"name": "arnn"}, sampler=None, sector={"momentum": [1]}))
    assert built.config is not None
    assert built.config.sampler is not None
    assert built.config.sampler.name == "metropolis"
    assert built.ansatz.signed


def test_a_run_and_its_reference_mean_the_same_states():
    ring = {"lattice": {"name": "chain", "params": {"length": 6}}}
    built = problem.build(config(**ring, sector={"momentum": [2], "spin_flip": -1}, ansatz={"name": "jastrow"}))
    params = built.ansatz.init(jax.random.key(1))
    states = built.sector.enumerate()
    psi = np.exp(np.asarray(jax.vmap(lambda s: built.ansatz.log_psi(params, s))(jnp.asarray(states)), complex))
    shifted = psi[[int(np.flatnonzero((states == np.roll(s, 1)).all(axis=1))[0]) for s in states]]  # Ψ(t σ)
    assert np.allclose(shifted, psi * np.exp(-2j * np.pi * 2 / 6))
    assert np.allclose(psi[::-1], -psi)  # the complement of state k is state 2^n - 1 - k


def random_strings(n, weight=16):
    """`n` lines of random Pauli strings on 16 sites."""
    rng = random.Random(0)
    rows = [" ".join(f"{rng.choice('XYZ')}{i}" for i in rng.sample(range(16), weight)) for _ in range(n)]
    return {"name": "custom", "params": {"strings": "\n".join(rows)}}


def test_thousands_of_long_strings_are_planned_in_a_moment():
    start = time.process_time()
    built = problem.build(config(hamiltonian=random_strings(6000), lattice={"name": "chain", "params": {"length": 16}}))
    told = card(built)
    assert problem.warnings(built)
    assert told.flops["energies"] > 6000
    assert time.process_time() - start < 5  # 0.6 measured; each string by itself takes a hundred seconds


@pytest.mark.parametrize(
    ("n", "weight", "limit"), [(10_001, 1, "more than 10000 Pauli strings"), (9000, 16, "more than 100 factors")]
)
def test_more_strings_than_the_schema_allows_are_refused(monkeypatch, n, weight, limit):
    monkeypatch.setattr("nqs_core.hamiltonians.custom.MAX_FACTORS", 100 if weight > 1 else 20_000)
    with pytest.raises(ConfigError, match=limit):
        problem.build(config(hamiltonian=random_strings(n, weight)))


def test_the_schema_names_the_limits_of_strings():
    schema = HAMILTONIANS.model("custom").model_json_schema()["properties"]["strings"]
    assert (schema["maxStrings"], schema["maxFactors"]) == (10_000, 200_000)
    assert "10000 strings" in schema["description"]


@pytest.mark.parametrize(
    "lattice", [{"name": "chain", "params": {"length": 1100}}, {"name": "square", "params": {"extent": [100, 100]}}]
)
def test_more_sites_than_a_float_can_count_configurations_of(lattice):
    built = problem.build(config(lattice=lattice, sampler={"name": "metropolis"}))
    told = card(built)
    assert told.n_sites == built.n_sites > 1023
    assert "configurations" in told.fits["sampler"]["exact"]
    with pytest.raises(TooLargeError, match=r"sampler 'exact': \d+ sites have 10\^\d+ configurations"):
        problem.build(config(lattice=lattice, sampler={"name": "exact"}))
