"""The network card against counts by hand, against the networks themselves, and against what `build` refuses."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import problem
from nqs_core.ansatze import ANSATZE
from nqs_core.card import card
from nqs_core.config import RunConfig, Spec
from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.jacobian import bytes_of
from nqs_core.optimizers import OPTIMIZERS
from nqs_core.samplers import SAMPLERS
from nqs_core.sector import Sector
from tests.contracts.variants import SMALL, label, moved, variants
from tests.nqs_core.small import lattice
from tests.nqs_core.systems import config

SQUARE: dict[str, Any] = {"name": "square", "params": {"extent": [6, 6]}}
RING: dict[str, Any] = {"name": "chain", "params": {"length": 36}}
RINGS_ONLY = ("dysonnet",)
WALK: dict[str, Any] = {"name": "metropolis", "params": {"n_samples": 32, "n_chains": 8}}


def small(name: str, **changes: Any) -> RunConfig:
    return config(ansatz={"name": name, "params": SMALL.get(name, {})}, sampler=WALK, **changes)


# ---- parameters


def by_hand(name: str, n: int, n_patches: int) -> int:
    """Weights and biases of every network of `SMALL` on a square lattice or a ring of n sites, written out."""
    head = 2 * 6 + (6 * 6 + 6) + 2 * 6
    return {
        "jastrow": n * (n - 1) // 2,
        "rbm": n * n + n + n,
        "mlp": (n * 6 + 6) + 2 * 6 + (6 * 5 + 5) + 2 * 5 + 5,
        "rescnn": (9 * 4 + 4) + 2 * (9 * 4 * 4 + 4) + 3 * (2 * 4) + 4,
        "convnext": 4 * 6 + (9 * 6 + 6) + 2 * 6 + (6 * 12 + 12) + (12 * 6 + 6) + head,
        "vit": (4 * 6 + 6) + 2 * 6 + 2 * n_patches + 2 * (6 * 6 + 6) + 2 * 6 + (6 * 24 + 24) + (24 * 6 + 6) + head,
        "gcnn": (9 * 2 + 2) + (9 * 8 * 2 * 2 + 2),
        "arnn": n * n * (3 + 3 * 3 + 3 * 2) + n * (3 + 3 + 2),
        "dysonnet": 2 * 4 + (4 * 4 * 4 + 3 * 4 + 5 * 4 + 4 * 4 * 2 + 2 * 4) + (4 * 2 + 2),
        "gru": (3 + n) * 9 + (3 * 9 + 3) + 2 * ((3 * 3 + 3) + (3 * 2 + 2)),
        "transformer": (3 + n) * 8 + (12 * 8**2 + 9 * 8) + 2 * 8 + 2 * (8 * 2 + 2),
        "rwkv7": 3 * 4 + 4 * 2 * 4 + (4 * 2 + 2) + (11 * 4 + 2 * 2 + 2 * 4 + 3 * 2 * 4 * 2 + 4 * 4**2) + 2 * 4 * 4,
    }[name]


@pytest.mark.parametrize("name", ANSATZE)
def test_parameters_are_counted_as_by_hand(name: str) -> None:
    told = card(problem.build(small(name, lattice=RING if name in RINGS_ONLY else SQUARE)))
    assert told.n_params == by_hand(name, 36, 9)
    assert sum(group.n_params for group in told.groups) == told.n_params


def test_a_complex_parameter_counts_as_two() -> None:
    real, double = (
        card(problem.build(config(ansatz={"name": "rbm", "params": {"alpha": 1, "complex": flag}})))
        for flag in (False, True)
    )
    assert (real.amplitudes, double.amplitudes) == ("positive", "signed or complex")
    assert double.n_params == 2 * real.n_params == 2 * (6 * 6 + 6 + 6)


def test_layers_of_one_kind_are_counted_together() -> None:
    told = card(problem.build(config(ansatz={"name": "rescnn", "params": {"channels": 4, "blocks": 3}})))
    groups = {group.name: (group.n_layers, group.n_params) for group in told.groups}
    assert groups == {"embed": (1, 16), "convs": (6, 6 * 52), "norms": (7, 7 * 8), "last": (1, 4)}


# ---- the receptive field


def captured(module: Any, params: Any, x: Any, layer: str) -> Any:
    return module.apply(params, x, capture_intermediates=True)[1]["intermediates"][layer]["__call__"][0]


def fields_of_pairs(ansatz: Any, params: Any, sigma: Any) -> Any:
    updates = ansatz.local_updates()
    return (updates.cache(updates.prepare(params), sigma).h * sigma)[:, None]


def hidden_units(ansatz: Any, params: Any, sigma: Any) -> Any:
    weights = ansatz.weights(params)
    return (weights.bias + sigma @ weights.kernel)[:, None]


def last_stage(ansatz: Any, params: Any, sigma: Any) -> Any:
    return ansatz.module().apply(params, ansatz.cells(sigma), method="stages")[-1]


def last_group_layer(ansatz: Any, params: Any, sigma: Any) -> Any:
    out = captured(ansatz.module(), params, ansatz.cells(sigma), f"layer_{ansatz.layers - 1}")
    return out.reshape(*out.shape[:-2], -1)


def conditionals(ansatz: Any, params: Any, sigma: Any) -> Any:
    letters = ansatz.letters.encode(sigma)
    return jnp.take_along_axis(ansatz.conditionals(params, letters), letters[:, None], axis=1)


def remembering(ansatz: Any, params: Any, sigma: Any) -> Any:
    """With units that keep their state: otherwise 80 steps leave nothing of the first spin."""
    p, d = params["params"], ansatz.features
    keep = {**p, "letter": p["letter"].at[:, d : 2 * d].add(6.0)}
    return conditionals(ansatz, {"params": keep}, sigma)


# What a network sums over the lattice, or its first layer where that sees everything: (*units, features).
UNITS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "jastrow": fields_of_pairs,
    "rbm": hidden_units,
    "mlp": lambda a, p, s: captured(a._module(), p, s, "Dense_0")[:, None],
    "rescnn": last_stage,
    "convnext": last_stage,
    "vit": lambda a, p, s: captured(a.module(), p, a.cells(s), f"reduce_{a.layers - 1}"),
    "gcnn": last_group_layer,
    "arnn": lambda a, p, s: jnp.where(s > 0, *a.conditionals(p, a.letters.encode(s)).T)[:, None],
    "dysonnet": lambda a, p, s: a.run(a.prepare(p), s)[0],
    **dict.fromkeys(("arnn", "transformer", "rwkv7"), conditionals),
    "gru": remembering,
}
WIDE = lattice("square", extent=[8, 10])


def width(present: np.ndarray) -> int:
    """The length of the shortest arc of a ring that holds everything that is present."""
    where = np.flatnonzero(present)
    gaps = np.diff(np.concatenate([where, where[:1] + len(present)]))
    return len(present) - (int(gaps.max()) - 1)


def seen(name: str, ansatz: Any) -> tuple[int, ...]:
    """Along every axis, over how many cells the spins lie on which a unit depends: by flipping each of them."""
    params, n = moved(jax.jit(ansatz.init)(jax.random.key(1))), ansatz.lattice.n_sites
    sigma = Sector(n).random(jax.random.key(2), 1)[0]
    flipped = jnp.concatenate([sigma[None], sigma[None] * (1 - 2 * jnp.eye(n, dtype=jnp.int8))])
    values = np.asarray(jax.jit(jax.vmap(lambda s: UNITS[name](ansatz, params, s)))(flipped))
    values = values.reshape(n + 1, -1, values.shape[-1])
    depends = np.abs(values[1:] - values[:1]).max(axis=-1).reshape(*ansatz.lattice.extent, -1) > 1e-9
    axes = range(depends.ndim - 1)
    along = [depends.any(axis=tuple(other for other in axes if other != axis)) for axis in axes]
    return tuple(max(width(unit) for unit in reached.T if unit.any()) for reached in along)


@pytest.mark.parametrize("spec", variants(ANSATZE), ids=label)
def test_a_unit_depends_on_the_spins_of_its_field_and_on_no_others(spec: Any) -> None:
    on = lattice("chain", length=9) if spec.name in RINGS_ONLY else WIDE
    ansatz = ANSATZE.build(spec, lattice=on, sector=Sector(on.n_sites), precision="float64")
    assert ansatz.receptive_field == seen(spec.name, ansatz)


@pytest.mark.parametrize(
    ("name", "params", "field"),
    [
        ("rescnn", {"blocks": 1, "kernel": 5}, (13,)),
        ("rescnn", {"blocks": 3}, (14,)),  # 15 cells do not fit
        ("convnext", {"patch": 1, "blocks": 3}, (7,)),
        ("gcnn", {"layers": 3, "reach": 2}, (13,)),
    ],
)
def test_the_field_grows_with_depth_and_filters(name: str, params: dict[str, Any], field: tuple[int, ...]) -> None:
    told = card(problem.build(config(lattice={"name": "chain", "params": {"length": 14}},
                                     ansatz={"name": name, "params": params}, sampler=WALK)))  # fmt: skip
    assert (told.receptive_field, told.extent) == (field, (14,))


# ---- symmetry


@pytest.mark.parametrize("name", ANSATZE)
def test_networks_that_claim_the_point_group_have_it_and_the_others_do_not(name: str) -> None:
    on = lattice("chain", length=15) if name in RINGS_ONLY else lattice("square", extent=[4, 4])
    # One block looks left and right in nearly the same way.
    params = {**SMALL.get(name, {}), **({"blocks": 2} if name == "dysonnet" else {})}
    spec = Spec(name=name, params=params)
    ansatz = ANSATZE.build(spec, lattice=on, sector=Sector(on.n_sites), precision="float64")
    params = moved(jax.jit(ansatz.init)(jax.random.key(1)))
    sigma = Sector(on.n_sites).random(jax.random.key(2), 1)[0]
    turned = sigma[on.point_group()]
    log_psi = np.asarray(jax.jit(jax.vmap(lambda s: ansatz.log_psi(params, s)))(turned))
    assert ansatz.keeps_point_group == bool(np.all(np.abs(np.exp(log_psi - log_psi[0]) - 1) < 1e-9))


@pytest.mark.parametrize(
    ("name", "words", "n_forwards"),
    [
        ("rbm", (), 8 * 2 * 2),
        ("vit", ("translations by 2 cells leave ψ unchanged",), 2 * 2 * 2),
        ("rescnn", ("every translation leaves ψ unchanged",), 2 * 2),
        ("gcnn", (), 2),  # takes momentum and irrep itself
    ],
)
def test_a_projection_is_told_with_its_labels_and_its_cost(name: str, words: tuple[str, ...], n_forwards: int) -> None:
    ring = {"name": "chain", "params": {"length": 8}}
    sector = {"momentum": [0], "point_group": "A'", "spin_flip": 1}
    told = card(problem.build(small(name, lattice=ring, sector=sector)))
    if name == "gcnn":
        words = ("every translation leaves ψ unchanged",)
    assert told.symmetry == (*words, "projected on momentum (0), irrep A' of Cs, spin flip +1")
    assert (told.n_elements, told.n_forwards) == (8 * 2 * 2, n_forwards)


def test_open_axes_and_fixed_magnetisation_are_told() -> None:
    strip = {"name": "square", "params": {"extent": [4, 2], "periodic": [True, False]}}
    heisenberg = {"name": "heisenberg", "params": {"marshall": True}}
    told = card(problem.build(small("rescnn", lattice=strip, hamiltonian=heisenberg, sector={"sz": 0})))
    assert told.symmetry == (
        "every translation along periodic axes leaves ψ unchanged",
        "total Sᶻ = 0, by the choice of configurations",
    )
    assert (told.n_elements, told.n_forwards) == (1, 1)
    gcnn = card(problem.build(small("gcnn", lattice=SQUARE)))
    assert gcnn.symmetry[1] == "every operation of C4v leaves ψ unchanged"


# ---- memory


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ANSATZE)
def test_the_parts_of_the_memory_add_up(name: str, optimizer: str) -> None:
    built = problem.build(small(name, optimizer={"name": optimizer}))
    told = card(built)
    assert sum(told.memory.values()) == problem.memory_bytes(built)
    assert min(told.memory.values()) > 0
    params = jax.eval_shape(lambda: built.ansatz.init(jax.random.key(0)))
    assert told.memory["parameters"] == 2 * bytes_of(params) == 2 * 8 * told.n_params
    assert told.memory["optimizer"] == built.optimizer.workspace(built.ansatz, params, 32)
    assert told.update


# ---- what fits


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lattice": SQUARE},
        {"ansatz": {"name": "arnn", "params": {"features": 2}}},
        {"ansatz": {"name": "arnn", "params": {"features": 2}}, "sector": {"momentum": [1]}},
    ],
)
def test_what_does_not_fit_is_what_build_refuses(changes: dict[str, Any]) -> None:
    asked = config(sampler=WALK, **changes)
    told = card(problem.build(asked))
    assert {family: list(found) for family, found in told.fits.items()} == {
        "sampler": list(SAMPLERS),
        "optimizer": list(OPTIMIZERS),
    }
    for family, found in told.fits.items():
        for name, reason in found.items():
            other = asked.model_dump() | {family: {"name": name, "params": {}}}
            assert reason == refusal(RunConfig.model_validate(other))


def test_what_needs_too_much_memory_does_not_fit() -> None:
    asked = config(sampler={"name": "metropolis", "params": {"n_samples": 8192}}, optimizer={"name": "adam"})
    limit = 100_000_000
    told = card(problem.build(asked, limit), limit)
    assert "GB (limit 0.1 GB)" in told.fits["optimizer"]["minsr"]
    assert told.fits["optimizer"]["sgd"] == ""


def refusal(asked: RunConfig) -> str:
    try:
        problem.build(asked)
    except (ConfigError, TooLargeError) as error:
        return str(error)
    return ""


def test_the_card_is_plain_data() -> None:
    import dataclasses
    import json

    told = json.loads(json.dumps(dataclasses.asdict(card(problem.build(config())))))
    assert math.isfinite(sum(told["flops"].values()))
