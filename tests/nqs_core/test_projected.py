"""Projection of networks on the symmetry of a sector, against dense projectors and dense ground states."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from nqs_core.ansatze import ANSATZE
from nqs_core.ansatze.projected import Projected, project
from nqs_core.ansatze.representation import Representation, representation
from nqs_core.config import SectorConfig, Spec
from nqs_core.errors import ConfigError
from nqs_core.jacobian import log_derivative_sum, neural_tangent_kernel
from nqs_core.operators import to_dense
from nqs_core.sector import Sector
from tests.contracts.variants import moved
from tests.nqs_core.small import hamiltonian, lattice
from tests.nqs_core.systems import LogTable
from tests.nqs_core.test_jacobian import real_jacobian

# Lattice and labels of one-dimensional irreps.
CASES = [
    ("chain", {"length": 6}, {"momentum": [1]}),
    ("chain", {"length": 6}, {"momentum": [3], "spin_flip": -1}),
    ("chain", {"length": 5}, {"point_group": "A''"}),
    ("chain", {"length": 4, "periodic": False}, {"point_group": "A''", "spin_flip": 1}),
    ("square", {"extent": [2, 3]}, {"momentum": [1, 1]}),
    ("square", {"extent": [2, 2]}, {"momentum": "M", "point_group": "A1"}),
    ("square", {"extent": [3, 2], "periodic": [True, False]}, {"momentum": [2, 0], "spin_flip": 1}),
    ("honeycomb", {"extent": [1, 2]}, {"momentum": [0, 1]}),
    ("square", {"extent": [2, 2]}, {"spin_flip": 1}),
    ("chain", {"length": 6}, {"momentum": [0], "point_group": "A'"}),
]


def sector_of(**labels: Any) -> SectorConfig:
    return SectorConfig.model_validate(labels)


def build(name, params, labels, ansatz: Any = None, **sector):
    on = lattice(name, **params)
    spec = ansatz or Spec(name="rbm", params={"alpha": 1, "complex": True})
    inner = ANSATZE.build(spec, lattice=on, sector=Sector(on.n_sites), precision="float64")
    return project(inner, on, sector_of(**(labels | sector)))


def psi(ansatz, params):
    sigma = jnp.asarray(Sector(ansatz.lattice.n_sites).enumerate())
    return np.exp(np.asarray(jax.jit(jax.vmap(partial(ansatz.log_psi, params)))(sigma)))


def moved_by(element, n_sites):
    """Basis indices of g⁻¹ σ for every σ, by the definition (g σ)[i] = ±σ[perm[i]]."""
    permutation, flip = element
    sigma = Sector(n_sites).enumerate()
    image = np.empty_like(sigma)
    image[:, permutation] = -sigma if flip else sigma
    assert np.array_equal(image[:, permutation] * (-1 if flip else 1), sigma)
    return ((1 - image) // 2) @ (1 << np.arange(n_sites))


def dense_projector(symmetry, n_sites):
    permutations, flips, characters = symmetry.elements()
    total = np.zeros((2**n_sites, 2**n_sites), complex)
    for permutation, flip, character in zip(permutations, flips, characters, strict=True):
        total[np.arange(2**n_sites), moved_by((permutation, flip), n_sites)] += np.conj(character)
    return total / len(characters)


@pytest.mark.parametrize(("name", "params", "labels"), CASES)
def test_every_element_multiplies_psi_by_its_character(name, params, labels):
    ansatz: Any = build(name, params, labels)
    n = ansatz.lattice.n_sites
    theta = moved(ansatz.init(jax.random.key(1)))
    vector = psi(ansatz, theta)
    scale = np.abs(vector).max()
    assert scale > 0.01
    permutations, flips, characters = ansatz.symmetry.elements()
    for permutation, flip, character in zip(permutations, flips, characters, strict=True):
        np.testing.assert_allclose(vector[moved_by((permutation, flip), n)], character * vector, atol=1e-13 * scale)
    projector = dense_projector(ansatz.symmetry, n)
    np.testing.assert_allclose(projector @ projector, projector, atol=1e-14)
    np.testing.assert_allclose(vector, projector @ psi(ansatz.ansatz, theta), atol=1e-13 * scale)
    twice = Projected(
        ansatz=ansatz, symmetry=ansatz.symmetry, lattice=ansatz.lattice, sector=ansatz.sector, precision="float64"
    )
    np.testing.assert_allclose(psi(twice, theta), vector, atol=1e-13 * scale)


def test_a_character_that_is_wrong_is_caught():
    """The broken twin: ψ of one momentum does not have another."""
    ansatz: Any = build(*CASES[0])
    theta = moved(ansatz.init(jax.random.key(1)))
    vector = psi(ansatz, theta)
    other = Representation(ansatz.lattice, (2,)).elements()
    images = moved_by((other.permutations[1], other.flips[1]), 6)
    assert np.abs(vector[images] - other.characters[1] * vector).max() > 0.1 * np.abs(vector).max()


def test_an_irrep_of_two_dimensions_is_projected_on_once_and_for_all():
    ansatz: Any = build("square", {"extent": [2, 2]}, {"momentum": "Γ", "point_group": "E"})
    projector = dense_projector(ansatz.symmetry, 4)
    np.testing.assert_allclose(projector @ projector, projector, atol=1e-14)


@pytest.mark.parametrize("case", [CASES[1], CASES[9]])
def test_gradients_and_kernel_are_those_of_the_sum(case):
    ansatz: Any = build(*case)
    theta = moved(ansatz.init(jax.random.key(1)))
    sigma = jnp.asarray(Sector(6).enumerate()[[7, 11, 13, 21]])
    jacobian = real_jacobian(ansatz, theta, sigma)
    step = 1e-4
    direction = moved(jax.tree.map(jnp.zeros_like, theta), 1.0)

    @jax.jit
    def log_psi(shift):
        there = jax.tree.map(lambda a, b: a + shift * b, theta, direction)
        return jax.vmap(partial(ansatz.log_psi, there))(sigma)

    values = [log_psi(k * step) for k in (-2, -1, 1, 2)]
    slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    flat = ravel_pytree(direction)[0]
    along = jacobian @ np.concatenate([flat.real, flat.imag])
    np.testing.assert_allclose(along, np.concatenate([slope.real, slope.imag]), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(
        jax.jit(partial(neural_tangent_kernel, ansatz))(theta, sigma), jacobian @ jacobian.T, rtol=1e-10, atol=1e-10
    )
    total = jax.jit(partial(log_derivative_sum, ansatz))(theta, sigma, jnp.ones(4))
    flat = ravel_pytree(total)[0]
    np.testing.assert_allclose(np.concatenate([flat.real, flat.imag]), jacobian[:4].sum(0), rtol=1e-10, atol=1e-11)


def test_a_network_of_patches_is_summed_over_one_patch_only():
    spec = Spec(name="convnext", params={"channels": 4, "blocks": 1, "head": "complex"})
    ansatz: Any = build("chain", {"length": 6}, {"momentum": [3]}, spec)
    assert len(ansatz.symmetry.elements(ansatz.ansatz.steps).characters) == 2
    theta = moved(ansatz.init(jax.random.key(1)))
    np.testing.assert_allclose(
        psi(ansatz, theta), dense_projector(ansatz.symmetry, 6) @ psi(ansatz.ansatz, theta), atol=1e-12
    )


def test_where_the_sum_vanishes_psi_is_zero_to_rounding_and_gradients_are_finite():
    ansatz: Any = build("chain", {"length": 4}, {"momentum": [2]})
    theta = moved(ansatz.init(jax.random.key(1)))
    uniform = jnp.ones(4, jnp.int8)
    assert np.exp(ansatz.log_psi(theta, uniform).real) < 1e-14
    gradient = jax.grad(lambda p: ansatz.log_psi(p, uniform).real)(theta)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(gradient))


def test_a_positive_network_stays_positive_only_with_characters_1():
    spec = Spec(name="rbm", params={"alpha": 1})
    assert not build("chain", {"length": 4}, {"momentum": [0], "spin_flip": 1}, spec).signed
    assert build("chain", {"length": 4}, {"momentum": [2]}, spec).signed
    assert build("chain", {"length": 4}, {"spin_flip": -1}, spec).signed


# ---- group convolutions take the characters themselves


@pytest.mark.parametrize(
    ("name", "params", "labels"),
    [
        ("chain", {"length": 6}, {"momentum": [1], "spin_flip": 1}),
        ("chain", {"length": 8}, {"momentum": "X", "point_group": "A'"}),
        ("square", {"extent": [3, 3]}, {"momentum": "Γ", "point_group": "B1"}),
        ("triangular", {"extent": [3, 3]}, {"momentum": "K", "point_group": "A1"}),
        ("honeycomb", {"extent": [2, 2]}, {"momentum": "Γ", "point_group": "A1"}),
        ("kagome", {"extent": [2, 1]}, {}),
        ("square", {"extent": [2, 4]}, {}),
    ],
)
def test_group_convolutions_have_the_characters_of_the_sector(name, params, labels):
    spec = Spec(name="gcnn", params={"features": 2, "head": "complex"})
    ansatz: Any = build(name, params, labels, spec)
    theta = moved(ansatz.init(jax.random.key(1)))
    n = ansatz.lattice.n_sites
    vector = psi(ansatz, theta)
    symmetry = representation(ansatz.lattice, sector_of(**labels))
    if symmetry is None:  # everything is 1
        symmetry = Representation(ansatz.lattice, (0,) * len(ansatz.lattice.extent), "A1")
    for permutation, flip, character in zip(*symmetry.elements(), strict=True):
        image = moved_by((permutation, flip), n)
        np.testing.assert_allclose(vector[image], character * vector, atol=1e-11 * np.abs(vector).max())
    # More than a function of the magnetisation.
    up = Sector(n).enumerate().sum(1) == n % 2
    assert np.ptp(np.abs(vector[up])) > 1e-3 * np.abs(vector).max()


# ---- the Marshall rotation


@pytest.mark.parametrize(
    ("name", "params", "labels"),
    [
        ("chain", {"length": 6}, {"momentum": [3], "spin_flip": -1}),
        ("chain", {"length": 8}, {"momentum": [0], "spin_flip": 1}),
        ("chain", {"length": 6}, {"momentum": [3], "point_group": "A'"}),
        ("square", {"extent": [4, 2]}, {"momentum": "Γ", "point_group": "A1", "spin_flip": 1}),
        ("honeycomb", {"extent": [1, 3]}, {"spin_flip": -1}),
    ],
)
def test_labels_mean_the_unrotated_hamiltonian(name, params, labels):
    """The ground states of H and of its rotation lie in the sector of one label, and in no other momentum or parity."""
    on = lattice(name, **params)
    sector = Sector(on.n_sites, 0.0)
    index = sector.indices()
    for marshall in (False, True):
        h = to_dense(hamiltonian("heisenberg", on, marshall=marshall).terms(), sector)
        values, vectors = np.linalg.eigh(h)
        assert values[1] - values[0] > 0.1
        ground = np.zeros(2**on.n_sites, complex)
        ground[index] = vectors[:, 0]
        for labelled, kept in ((labels, 1.0), (other(labels, on), 0.0)):
            symmetry = representation(on, sector_of(**({"sz": 0.0} | labelled)), marshall)
            assert symmetry is not None
            permutations, flips, characters = symmetry.elements()
            image = sum(
                np.conj(c) * ground[moved_by((p, f), on.n_sites)]
                for p, f, c in zip(permutations, flips, characters, strict=True)
            ) / len(characters)
            assert np.vdot(image, image).real == pytest.approx(kept, abs=1e-12), (marshall, labelled)


def other(labels, on):
    if "momentum" in labels and "point_group" not in labels:
        return labels | {"momentum": [on.n_sites // 2 - labels["momentum"][0]]}
    if "point_group" in labels:
        return labels | {"point_group": {"A'": "A''", "A1": "A2"}[labels["point_group"]]}
    return labels | {"spin_flip": -labels["spin_flip"]}


def test_the_sign_of_a_rotation_at_unknown_magnetisation_is_refused():
    on = lattice("chain", length=6)
    with pytest.raises(ConfigError, match=r"marshall = true needs sector\.sz"):
        representation(on, sector_of(momentum=[3]), marshall=True)


def test_the_rotated_ground_state_is_kept_by_the_projected_network():
    on = lattice("chain", length=6)
    sector = Sector(6, 0.0)
    h = to_dense(hamiltonian("heisenberg", on, marshall=True).terms(), sector)
    ground = np.abs(np.linalg.eigh(h)[1][:, 0])
    table = np.full(64, -60.0)
    table[sector.indices()] = np.log(ground)
    inner = LogTable(lattice=on, sector=sector)
    ansatz = project(inner, on, sector_of(sz=0.0, momentum=[3], spin_flip=-1), marshall=True)
    assert not ansatz.signed
    params = {"params": {"table": jnp.asarray(table)}}
    got = jax.vmap(partial(ansatz.log_psi, params))(jnp.asarray(sector.enumerate()))
    np.testing.assert_allclose(np.exp(got), ground, atol=1e-12)


# ---- refusals


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"momentum": [1, 2]}, "one integer per axis"),
        ({"momentum": "K"}, "labels there"),
        ({"momentum": [0], "point_group": "E9"}, "irreps of"),
        ({"spin_flip": 1, "sz": 1.0}, "spin_flip"),
    ],
)
def test_labels_that_the_lattice_does_not_have_are_refused(labels, message):
    with pytest.raises(ConfigError, match=message):
        build("chain", {"length": 6}, labels)


def test_a_network_without_the_momentum_is_refused():
    spec = Spec(name="rescnn", params={"channels": 4, "blocks": 1})
    with pytest.raises(ConfigError, match="no part with this momentum"):
        build("chain", {"length": 6}, {"momentum": [3]}, spec)
    assert build("chain", {"length": 6}, {"momentum": [0]}, spec)
    on = lattice("chain", length=6)
    inner = ANSATZE.build(spec, lattice=on, sector=Sector(6, 0.0), precision="float64")
    assert project(inner, on, sector_of(sz=0.0, momentum=[3]), marshall=True)


def test_no_label_no_projection():
    on = lattice("chain", length=6)
    inner = ANSATZE.build(Spec(name="rbm"), lattice=on, sector=Sector(6, 0.0), precision="float64")
    assert project(inner, on, sector_of(sz=0.0)) is inner
    assert project(inner, on, None) is inner
