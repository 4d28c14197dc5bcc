"""Components as arguments of compiled functions."""

from itertools import combinations
from typing import Any

import jax
import pytest

from nqs_core.ansatze import ANSATZE
from nqs_core.config import Spec
from nqs_core.errors import ConfigError
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.lattices import LATTICES
from nqs_core.observables import OBSERVABLES
from nqs_core.optimizers import OPTIMIZERS
from nqs_core.registry import Registry, component, context, param
from nqs_core.samplers import SAMPLERS
from nqs_core.schedules import SCHEDULES, Constant, Schedule
from nqs_core.sector import Sector
from nqs_core.types import Coupling


@component
class Red:
    """One coupling, one static field."""

    strength: Coupling
    size: int = context()


@component
class Green:
    """The same fields."""

    strength: Coupling
    size: int = context()


def test_the_fields_come_back_and_only_the_couplings_are_traced() -> None:
    leaves, structure = jax.tree.flatten(Red(2.0, size=3))
    assert leaves == [2.0]
    assert jax.tree.unflatten(structure, [5.0]) == Red(5.0, size=3)
    assert structure == jax.tree.structure(Red(7.0, size=3))
    assert structure != jax.tree.structure(Red(2.0, size=4))
    (path, _), *_ = jax.tree_util.tree_leaves_with_path(Red(2.0, size=3))
    assert jax.tree_util.keystr(path) == ".strength"


def test_another_class_with_the_same_fields_is_another_structure() -> None:
    # Were they equal, `jax.jit` would take the one's compiled function for the other whenever their hashes are alike.
    assert jax.tree.structure(Red(2.0, size=3)) != jax.tree.structure(Green(2.0, size=3))


@pytest.mark.parametrize("registry", [HAMILTONIANS, ANSATZE, SAMPLERS, OPTIMIZERS, OBSERVABLES], ids=lambda r: r.family)
def test_no_two_components_of_a_family_share_a_structure(registry: Registry[Any]) -> None:
    lattice = LATTICES.build(Spec(name="chain", params={"length": 8}))
    rest = {"lattice": lattice, "sector": Sector(8), "precision": "float64", "n_steps": 10.0}
    rest["hamiltonian"] = HAMILTONIANS.build(Spec(name="heisenberg"), lattice=lattice)
    structures = {name: jax.tree.structure(registry.build(Spec(name=name), **rest)) for name in registry}
    assert len(structures) >= 3
    assert [pair for pair in combinations(structures, 2) if structures[pair[0]] == structures[pair[1]]] == []


@component
class Palette:
    """A component that is made with others."""

    rate: Schedule = param(0.5, family=SCHEDULES, gt=0, le=1, help="A number or a schedule.")
    later: Schedule | None = param(None, family=SCHEDULES, help="A schedule or none.")
    length: int = param(3, ge=1, help="A length.")


PALETTES = Registry("palette", {"palette": Palette})


def test_a_parameter_that_is_a_spec_is_filled_in_and_built_with_the_same_context() -> None:
    spec = Spec(name="palette", params={"rate": {"name": "linear", "params": {"start": 0.4}}})
    filled = PALETTES.params(spec)
    rate = {"name": "linear", "params": {"start": 0.4, "end": 0.01, "scaled": False}}
    assert filled == {"rate": rate, "later": None, "length": 3}
    assert PALETTES.params(Spec(name="palette", params=filled)) == filled
    built = PALETTES.build(spec, n_steps=3.0)
    assert built.later is None
    assert float(built.rate.at(1)) == pytest.approx((0.4 + 0.01) / 2)
    assert isinstance(PALETTES.build(Spec(name="palette")).rate, Constant)
    assert len(jax.tree.leaves(built)) == 4  # start, end, steps and the energy of a flip: none of them compiles anew


def test_the_schema_of_a_parameter_that_is_a_spec_holds_those_of_the_family() -> None:
    rate = PALETTES.catalog()["palette"]["schema"]["properties"]["rate"]
    assert (rate["family"], rate["number"], rate["default"]) == ("schedule", "constant", 0.5)
    number, *specs = rate["anyOf"]
    assert number == {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
    assert [s["properties"]["name"]["const"] for s in specs] == list(SCHEDULES)
    assert specs[1]["properties"]["params"] == SCHEDULES.model("linear").model_json_schema()


@pytest.mark.parametrize(
    ("rate", "where"),
    [
        (2.0, "rate: Input should be less"),
        ("x", "rate: Input should be a valid number"),
        ({"name": "line"}, "rate.name: choose one of constant, cosine"),
        ({"params": {}}, "rate.name: Field required"),
        ({"name": "linear", "params": {"start": -1.0}}, "rate.params.start: Input should be greater"),
        ({"name": "linear", "params": {"begin": 1.0}}, "rate.params.begin: Extra inputs"),
    ],
)
def test_a_wrong_spec_is_named_by_its_path(rate: Any, where: str) -> None:
    with pytest.raises(ConfigError, match=f"^palette 'palette': {where}"):
        PALETTES.params(Spec(name="palette", params={"rate": rate}))
