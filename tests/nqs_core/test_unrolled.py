"""Convolutions on small lattices as matrix products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core.ansatze import ANSATZE, unrolled
from nqs_core.ansatze.base import FullForward
from nqs_core.config import Spec
from nqs_core.lattices import LATTICES
from nqs_core.sector import Sector

LATTICE = {
    "ring": {"name": "chain", "params": {"length": 6}},
    "open chain": {"name": "chain", "params": {"length": 5, "periodic": False}},
    "cylinder": {"name": "square", "params": {"extent": [4, 3], "periodic": [True, False]}},
    "honeycomb": {"name": "honeycomb", "params": {"extent": [2, 2]}},
}
NETWORK = {
    "layernorm": {"channels": 4, "blocks": 1, "head": "complex"},
    "modulus_phase": {"channels": 3, "blocks": 1, "head": "modulus_phase"},
    "prenorm": {"channels": 4, "blocks": 2, "form": "prenorm", "head": "complex"},
}


def network(lattice: str, form: str):
    built = LATTICES.build(Spec(**LATTICE[lattice]))
    sector = Sector(built.n_sites, None)
    spec = Spec(name="rescnn", params=NETWORK[form])
    return ANSATZE.build(spec, lattice=built, sector=sector, precision="float64"), sector


@pytest.mark.parametrize("form", NETWORK)
@pytest.mark.parametrize("lattice", LATTICE)
def test_the_products_give_what_the_convolutions_give(lattice: str, form: str) -> None:
    ansatz, sector = network(lattice, form)
    # Normal numbers instead of zeros in the biases: what is forgotten must show.
    params = jax.tree.map(
        lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape, x.dtype),
        jax.jit(ansatz.init)(jax.random.key(0)),
    )
    sigma = sector.random(jax.random.key(1), 8)
    prepared = ansatz.prepare(params)
    assert isinstance(prepared, unrolled.Unrolled)
    found = jax.jit(jax.vmap(lambda s: ansatz.evaluate(prepared, s)))(sigma)
    expected = jax.jit(jax.vmap(lambda s: ansatz.log_psi(params, s)))(sigma)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert float(jnp.std(expected.real)) > 1e-3


def test_configurations_and_parameters_along_several_axes() -> None:
    ansatz, sector = network("cylinder", "layernorm")
    params = jax.jit(jax.vmap(ansatz.init))(jax.random.split(jax.random.key(0), 2))
    sigma = sector.random(jax.random.key(1), 6).reshape(2, 3, -1)
    prepared = jax.vmap(ansatz.prepare)(params)
    found = jax.jit(jax.vmap(jax.vmap(jax.vmap(ansatz.evaluate, (None, 0)), (None, 0)), (0, None)))(prepared, sigma)
    expected = jax.jit(jax.vmap(jax.vmap(jax.vmap(ansatz.log_psi, (None, 0)), (None, 0)), (0, None)))(params, sigma)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ansatz.evaluate(jax.tree.map(lambda x: x[1], prepared), sigma[1, 2]), expected[1, 1, 2])


def test_large_lattices_keep_their_convolutions() -> None:
    assert unrolled.pays((6, 6), (3, 3))
    assert unrolled.pays((20, 8), (3, 3))
    assert not unrolled.pays((8, 20), (3, 3))
    lattice = LATTICES.build(Spec(name="square", params={"extent": [4, 16]}))
    spec = Spec(name="rescnn", params=NETWORK["layernorm"])
    ansatz = ANSATZE.build(spec, lattice=lattice, sector=Sector(64, None), precision="float64")
    params = {"params": {}}
    assert isinstance(ansatz.local_updates(), FullForward)
    assert ansatz.local_updates().prepare(params) is params
