"""Counts of floating-point operations: closed formulas, the compiler's own count, and what samplers really evaluate."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import budget, problem
from nqs_core.ansatze import ANSATZE
from nqs_core.ansatze.operations import Operations, count, forward, local
from nqs_core.config import Spec
from nqs_core.optimizers import OPTIMIZERS
from nqs_core.optimizers.base import Batch
from nqs_core.samplers import SAMPLERS
from nqs_core.sector import Sector
from nqs_core.wavefunction import bind
from tests.contracts.variants import SMALL, chain, network
from tests.nqs_core.small import lattice
from tests.nqs_core.systems import config


def of(function: Any, *args: Any) -> Operations:
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    return count(jaxpr, [True] * len(jaxpr.invars))[0]


def build(name: str, on: Any, **params: Any) -> Any:
    return ANSATZE.build(Spec(name=name, params=params), lattice=on, sector=Sector(on.n_sites), precision="float32")


def test_a_dense_network_by_its_formula() -> None:
    made = forward(build("mlp", chain(10), hidden=[7, 5]))
    assert made.products == 2 * (10 * 7 + 7 * 5 + 5 * 1)
    assert made.calls == 3 + 2 * 2  # three layers, mean and variance of two normalisations


@pytest.mark.parametrize("is_complex", [False, True])
def test_a_boltzmann_machine_by_its_formula(is_complex: bool) -> None:
    made = forward(build("rbm", chain(10), alpha=3, complex=is_complex))
    assert made.products == (8 if is_complex else 2) * 10 * 30  # a complex product has four real ones


def test_a_jastrow_factor_by_its_formula() -> None:
    assert forward(build("jastrow", chain(10))) == Operations(elements=10 * 9, calls=1)  # a product and a sum a pair


def test_convolutions_by_their_formula() -> None:
    on = lattice("square", extent=[4, 6])
    made = forward(build("rescnn", on, channels=5, blocks=2, kernel=3))
    assert made.products == 2 * (24 * 9 * (5 + 4 * 5 * 5) + 5)


def test_loops_count_by_their_length_and_branches_by_the_dearest() -> None:
    square = jnp.ones((3, 3))

    def scanned(x: Any) -> Any:
        return jax.lax.scan(lambda y, _: (square @ y, None), x, length=7)[0]

    def branched(x: Any) -> Any:
        return jax.lax.cond(x[0] > 0, lambda y: square @ y, lambda y: square @ (square @ y), x)

    def unknown(x: Any) -> Any:
        return jax.lax.while_loop(lambda y: y[0] < 1, lambda y: square @ y, x)

    each = 2 * 3 * 3
    assert of(scanned, jnp.ones(3)).products == 7 * each
    assert of(jax.jit(branched), jnp.ones(3)).products == 2 * each
    assert of(unknown, jnp.ones(3)).products == each


def test_what_depends_on_parameters_alone_is_left_out() -> None:
    def function(params: Any, x: Any) -> Any:
        return jnp.exp(params) @ x

    jaxpr = jax.make_jaxpr(function)(jnp.ones((4, 3)), jnp.ones(3)).jaxpr
    assert count(jaxpr, [False, True])[0] == Operations(products=24, calls=1)
    assert count(jaxpr, [True, True])[0] == Operations(products=24, special=12, calls=1)


@pytest.mark.parametrize("name", ANSATZE)
def test_the_compiler_counts_alike(name: str) -> None:
    """XLA counts index arithmetic as well, and polynomials for some functions: never less than half, never thrice."""
    ansatz, params = network(Spec(name=name, params=SMALL.get(name, {})), n_sites=8, precision="float32")
    sigma = Sector(8).random(jax.random.key(0), 1)[0]
    found: Any = jax.jit(partial(ansatz.log_psi, params)).lower(sigma).compile().cost_analysis()
    theirs = found["flops"] + found.get("transcendentals", 0.0)
    assert 0.5 < theirs / forward(ansatz).total < 3


def test_a_projection_costs_its_elements() -> None:
    ring: dict[str, Any] = {"name": "chain", "params": {"length": 8}}
    changes: dict[str, Any] = {"lattice": ring, "sampler": {"name": "metropolis"}}
    plain = problem.build(config(**changes)).ansatz
    projected = problem.build(config(**changes, sector={"momentum": [1], "spin_flip": 1})).ansatz
    assert forward(projected).products == 16 * forward(plain).products


# ---- what a step asks for


@pytest.mark.parametrize("name", ["metropolis", "autoregressive", "exact"])  # the others know their effort about
def test_a_sampler_evaluates_as_often_as_it_says(name: str) -> None:
    n, network_name = 6, "arnn" if name == "autoregressive" else "mlp"
    ansatz, params = network(Spec(name=network_name, params=SMALL[network_name]), n_sites=n)
    given: dict[str, Any] = {"n_samples": 32} | ({"n_chains": 16, "n_sweeps": 2} if name == "metropolis" else {})
    sampler = SAMPLERS.build(Spec(name=name, params=given), lattice=chain(n), sector=Sector(n))
    key = jax.random.key(0)
    state = sampler.init(key, bind(ansatz, params))
    effort = sampler.effort(ansatz.local_updates().cost)
    made = of(lambda k, p, s: sampler.sample(k, bind(ansatz, p), s), key, params, state)
    assert made.products == (effort.forwards + effort.caches + effort.advances) * forward(ansatz).products
    assert effort.rounds >= 1


def test_parallel_pairs_cost_no_evaluation() -> None:
    ansatz, _ = network(Spec(name="mlp", params=SMALL["mlp"]), sz=0.0)
    sampler = SAMPLERS.build(
        Spec(name="metropolis", params={"n_samples": 8, "n_chains": 8}), lattice=chain(6), sector=Sector(6, 0.0)
    )
    cost = ansatz.local_updates().cost
    assert sampler.effort(cost).advances == pytest.approx(8 * 6 * 9 / 15)  # 9 of 15 pairs are antiparallel
    assert sampler.effort(cost._replace(skips=False)).advances == 8 * 6


def test_tables_are_counted_by_their_own_programs() -> None:
    n, alpha = 10, 3
    ansatz = build("rbm", chain(n), alpha=alpha)
    one, two = local(ansatz, 1), local(ansatz, 2)
    assert one.cache.products == forward(ansatz).products == 2 * n * alpha * n
    assert one.ratio.products == one.advance.products == 0  # a row of the weights is added, nothing multiplied
    assert two.ratio.elements - one.ratio.elements == 2 * alpha * n + 2  # one more row times a step, and a visible bias
    assert one.ratio.special == 2 * alpha * n  # exp and log
    assert local(build("jastrow", chain(n)), 2).ratio.total < 12


def test_networks_without_tables_are_counted_by_the_cost_of_a_move() -> None:
    ansatz = build("rescnn", chain(64), blocks=1)
    cost = ansatz.local_updates().cost
    assert cost.ratio < 1
    assert local(ansatz, 1) == (forward(ansatz), *[forward(ansatz).times(cost.ratio)] * 2)


@pytest.mark.parametrize("head", ["real", "complex"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_computes_about_as_much_as_it_says(name: str, head: str) -> None:
    """The first layer needs no gradient of its input, so that a backward pass may cost less than two forward ones."""
    n, n_samples = 12, 64
    ansatz, params = network(Spec(name="mlp", params={"hidden": [20, 16], "head": head}), n_sites=n)
    optimizer = OPTIMIZERS.build(Spec(name=name), n_steps=10.0)
    sigma = Sector(n).random(jax.random.key(0), n_samples)
    log_psi = jax.vmap(partial(ansatz.log_psi, params))(sigma)
    rest = (log_psi, jnp.zeros(n_samples), log_psi * 1.0)

    def update(p: Any, s: Any, state: Any) -> Any:
        return optimizer.update(jax.random.key(1), Batch(bind(ansatz, p), s, *rest), state)

    made = of(update, params, sigma, optimizer.init(params))
    effort = optimizer.effort(ansatz, params, n_samples)
    said = effort.forwards * forward(ansatz).products + effort.beside.products
    if name in ("sr", "minsr", "spring", "march"):  # the decomposition is the library's own
        m = budget.n_params(ansatz) if name == "sr" else n_samples * (2 if head == "complex" else 1)
        said -= m**3 / 3
    assert 0.5 < made.products / said < 1.1


def test_local_energies_cost_the_moves_that_are_allowed() -> None:
    ring: dict[str, Any] = {"lattice": {"name": "chain", "params": {"length": 8}}}
    walk: dict[str, Any] = {"sampler": {"name": "metropolis", "params": {"n_samples": 32, "n_chains": 8}}}
    changes = ring | walk | {"ansatz": {"name": "mlp", "params": SMALL["mlp"]}}
    flips = problem.build(config(**changes))
    one = forward(flips.ansatz).products
    assert problem.work(flips).energies.products == 32 * (1 + 8) * one  # every spin flips
    heisenberg = problem.build(config(**changes, hamiltonian={"name": "heisenberg"}, sector={"sz": 0}))
    states = Sector(8, 0.0).enumerate()
    exact = np.mean(np.sum(states != np.roll(states, -1, axis=1), axis=1))  # antiparallel neighbours
    mean = problem.work(heisenberg).energies.products / (32 * one) - 1
    assert mean == pytest.approx(exact, rel=0.1)


def test_the_parts_of_a_step_add_up_and_double_precision_is_slower() -> None:
    made = problem.work(problem.build(config()))
    assert made.step.total == pytest.approx(made.sampling.total + made.energies.total + made.update.total)
    single, double = (budget.seconds(made.step, budget.rates(True, p)) for p in ("float32", "float64"))
    assert single < double < 2 * single
