"""Components as arguments of compiled functions."""

from itertools import combinations
from typing import Any

import jax
import pytest

from nqs_core.ansatze import ANSATZE
from nqs_core.config import Spec
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.lattices import LATTICES
from nqs_core.observables import OBSERVABLES
from nqs_core.optimizers import OPTIMIZERS
from nqs_core.registry import Registry, component, context
from nqs_core.samplers import SAMPLERS
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
    rest = {"lattice": lattice, "sector": Sector(8, 0.0), "precision": "float64", "n_steps": 10.0}
    rest["hamiltonian"] = HAMILTONIANS.build(Spec(name="heisenberg"), lattice=lattice)
    structures = {name: jax.tree.structure(registry.build(Spec(name=name), **rest)) for name in registry}
    assert len(structures) >= 3
    assert [pair for pair in combinations(structures, 2) if structures[pair[0]] == structures[pair[1]]] == []
