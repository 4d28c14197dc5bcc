"""Every registered component with every switch of its own thrown: what the generated tests run over."""

import dataclasses
import functools
import inspect
from typing import Any, Literal, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np

from nqs_core.ansatze import ANSATZE
from nqs_core.config import Spec
from nqs_core.lattices import LATTICES, Lattice
from nqs_core.registry import Registry
from nqs_core.sector import Sector

SMALL = {
    "rbm": {"alpha": 1},
    "mlp": {"hidden": [6, 5]},
    "arnn": {"features": 3},
    "rescnn": {"channels": 4, "blocks": 1},
    "convnext": {"channels": 6, "blocks": 1},
    "vit": {"features": 6, "layers": 1, "heads": 2},
    "gcnn": {"features": 2},
    "dysonnet": {"features": 4, "blocks": 1, "modes": 2, "hidden": 2},
    "gru": {"features": 3, "head": 3, "phase": True},
    "transformer": {"features": 8, "layers": 1, "heads": 2, "phase": True},
    "rwkv7": {"width": 4, "depth": 1, "head_size": 2, "hidden": 4, "ranks": [2, 2, 2, 2]},
}


# What another switch asks for.
WITH: dict[Any, dict[str, Any]] = {("inversion", "odd"): {"phase": True}}


def variants(registry: Registry[Any], small: dict[str, dict[str, Any]] = SMALL) -> list[Spec]:
    """The defaults of every component, and one spec more for every other value of a bool or a choice.

    Switches that several components have from a common class are thrown in the first of them.
    """
    specs, thrown = [], set()
    for name in registry:
        base = small.get(name, {})
        specs.append(Spec(name=name, params=base))
        for field in dataclasses.fields(registry[name]):  # type: ignore[arg-type]
            owner = next(c for c in reversed(registry[name].__mro__) if field.name in inspect.get_annotations(c))
            if "param" not in field.metadata or (owner, field.name) in thrown:
                continue
            thrown.add((owner, field.name))
            values = (True, False) if field.type is bool else get_args(field.type)
            if field.type is not bool and get_origin(field.type) is not Literal:
                continue
            specs += [
                Spec(name=name, params={**base, **WITH.get((field.name, v), {}), field.name: v})
                for v in values
                if v != field.default
            ]
    return specs


def label(spec: Spec) -> str:
    """A readable test id."""
    return "-".join([spec.name, *(f"{k}={v}".replace(" ", "") for k, v in spec.params.items())])


def chain(n_sites: int) -> Lattice:
    """A ring."""
    return LATTICES.build(Spec(name="chain", params={"length": n_sites}))


def network(
    spec: Spec, n_sites: int = 6, sz: float | None = None, precision: str = "float64", spread: float = 0.3
) -> tuple[Any, Any]:
    """The ansatz on a ring, with parameters moved away from their start by `spread`, so that ψ is peaked."""
    return _network(spec.model_dump_json(), n_sites, sz, precision, spread)


@functools.lru_cache(maxsize=256)
def _network(spec: str, n_sites: int, sz: float | None, precision: str, spread: float) -> tuple[Any, Any]:
    ansatz, params = _fresh(spec, n_sites, sz, precision)
    return ansatz, moved(params, spread)


@functools.lru_cache(maxsize=256)
def _fresh(spec: str, n_sites: int, sz: float | None, precision: str) -> tuple[Any, Any]:
    """Made once for all tests: starting a network takes longer than asking it."""
    ansatz = ANSATZE.build(
        Spec.model_validate_json(spec), lattice=chain(n_sites), sector=Sector(n_sites, sz), precision=precision
    )
    return ansatz, jax.jit(ansatz.init)(jax.random.key(1))


def moved(params: Any, spread: float = 0.3, random: np.random.Generator | None = None) -> Any:
    """Parameters with random numbers of width `spread` added."""
    random = random or np.random.default_rng(2)  # NumPy compiles nothing

    def move(x: Any) -> Any:
        step = random.normal(size=x.shape)
        if np.iscomplexobj(x):
            step = (step + 1j * random.normal(size=x.shape)) / np.sqrt(2)
        return jnp.asarray(np.asarray(x) + spread * step, x.dtype)

    return jax.tree.map(move, params)
