"""A run starts where another has arrived: the same parameters, nothing else of it; or one sentence why not."""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse.linalg

from nqs_core import checkpoint, driver, problem, warm_start
from nqs_core.ansatze import ANSATZE
from nqs_core.config import RunConfig
from nqs_core.errors import ConfigError
from nqs_core.lattices import LATTICES
from nqs_core.sector import Sector
from nqs_core.wavefunction import bind
from tests.contracts.variants import SMALL, label, moved, variants
from tests.nqs_core.systems import PAULI, config, log_amplitudes

LOCAL = {"name": "rescnn", "params": {"channels": 4, "blocks": 1}}
METROPOLIS = {"name": "metropolis", "params": {"n_samples": 64, "n_chains": 16}}


def asked(lattice: str, **changes: Any) -> RunConfig:
    """TFIM on a lattice that is given as square 2x4."""
    name, size = lattice.split()
    extent = [int(length) for length in size.split("x")]
    params = {"length": extent[0]} if name == "chain" else {"extent": extent}
    return config(**{"lattice": {"name": name, "params": params}, "observables": [], **changes})


def ring(n_sites: int, **changes: Any) -> problem.Problem:
    """TFIM on a ring, exact samples."""
    return problem.build(asked(f"chain {n_sites}", **changes))


def by_path(params: Any) -> dict[str, Any]:
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def carried(built: problem.Problem) -> warm_start.Trained:
    """Parameters far from a fresh start."""
    assert built.config is not None
    return warm_start.Trained(by_path(moved(jax.jit(built.ansatz.init)(jax.random.key(0)))), built.config, step=7)


def shapes(given: RunConfig) -> warm_start.Trained:
    """What `check` needs of parameters."""
    on = LATTICES.build(given.lattice)
    ansatz = ANSATZE.build(given.ansatz, lattice=on, sector=Sector(on.n_sites), precision=given.precision)
    return warm_start.Trained(by_path(jax.eval_shape(ansatz.init, jax.random.key(0))), given, step=7)


def matrix(built: problem.Problem) -> Any:
    """The Hamiltonian of the ring as Kronecker products; row k is state k of the basis."""
    n, h = built.n_sites, getattr(built.hamiltonian, "h", 0.0)

    def product(letters: dict[int, np.ndarray]) -> Any:
        out = scipy.sparse.identity(1)
        for site in reversed(range(n)):
            out = scipy.sparse.kron(out, np.real(letters[site]) if site in letters else scipy.sparse.identity(2), "csr")
        return out

    bonds = sum(product({i: PAULI["Z"], (i + 1) % n: PAULI["Z"]}) for i in range(n))
    return -bonds - h * sum(product({i: PAULI["X"]}) for i in range(n))


def energy(built: problem.Problem, params: Any) -> float:
    """⟨ψ|H|ψ⟩ / ⟨ψ|ψ⟩ by summing over the whole space."""
    psi = np.exp(np.asarray(log_amplitudes(built.ansatz, params, built.sector.enumerate())))
    return float(psi @ (matrix(built) @ psi) / (psi @ psi))


def same_bits(a: Any, b: Any) -> bool:
    def raw(x: Any) -> bytes:
        return np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x).tobytes()

    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(x.dtype == y.dtype and x.shape == y.shape and raw(x) == raw(y) for x, y in leaves)


@pytest.fixture(scope="module")
def trained() -> tuple[problem.Problem, driver.VMCState]:
    """A network on a ring of 8 that 200 steps along the exact gradient have brought near the ground state."""
    built = ring(8, ansatz=LOCAL)
    start, h, sigma = driver.init(built, 0), jnp.asarray(matrix(built).todense()), built.sector.enumerate()
    adam = optax.adam(0.02)

    def exact(params: Any) -> Any:
        psi = jnp.exp(log_amplitudes(built.ansatz, params, sigma))
        return psi @ (h @ psi) / (psi @ psi)

    def step(carry: Any, _: Any) -> Any:
        params, state = carry
        updates, state = adam.update(jax.grad(exact)(params), state)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, None, length=200))((start.params, adam.init(start.params)))
    return built, start._replace(params=params, step=jnp.asarray(200))


@pytest.mark.parametrize(
    ("sampler", "optimizer"),
    [(METROPOLIS, "minsr"), ({"name": "exact", "params": {"n_samples": 64}}, "adam")],
    ids=["metropolis", "exact"],
)
def test_the_parameters_are_those_of_the_run_and_all_else_is_new(sampler, optimizer):
    source = ring(8)
    state = driver.init(source, 0)
    state = state._replace(params=moved(state.params), step=state.step + 9)
    built = ring(8, sampler=sampler, optimizer={"name": optimizer}, hamiltonian={"name": "tfim"})
    start = warm_start.start(built, warm_start.trained(source, state), seed=5)
    assert same_bits(start.params, state.params)
    fresh = driver.init(built, 5)
    assert not same_bits(fresh.params, state.params)
    for part in ("phase", "step", "key", "optimizer", "window", "measured", "seconds"):
        assert same_bits(getattr(start, part), getattr(fresh, part)), part
    # The chains have walked on the new parameters, with the random numbers of the new seed.
    key = jax.random.split(jax.random.key(5), 3)[2]
    assert same_bits(start.sampler, built.sampler.init(key, bind(built.ansatz, state.params)))
    assert same_bits(start.sampler, fresh.sampler) == (sampler["name"] == "exact")


def test_the_first_energy_is_the_trained_one(trained):
    source, state = trained
    samples = {"name": "exact", "params": {"n_samples": 2048}}
    built = ring(8, ansatz=LOCAL, n_steps=1, seed=3, sampler=samples, optimizer={"name": "sgd"})
    expected, before = energy(built, state.params), energy(built, driver.init(built, 3).params)

    def first(start: driver.VMCState) -> tuple[float, float]:
        scalars = driver.step(built, start)[1].energy
        return float(scalars["energy"]), float(scalars["energy_error"])

    found, error = first(warm_start.start(built, warm_start.trained(source, state), seed=3))
    assert abs(found - expected) < 4 * error
    cold, error = first(driver.init(built, 3))  # the twin that starts at random: it is told apart
    assert abs(cold - before) < 4 * error
    assert abs(cold - expected) > 20 * error


@pytest.mark.parametrize("name", ["rescnn", "gcnn"])
def test_on_a_longer_ring_every_site_sees_what_it_saw(name):
    """A pattern of four spins repeated twice on 8 sites and three times on 12: the mean over the sites is the same."""
    small, large = (ring(n, ansatz={"name": name, "params": SMALL[name]}, sampler=METROPOLIS) for n in (8, 12))
    source = carried(small)
    before, after = warm_start.parameters(small, source), warm_start.parameters(large, source)
    patterns = jnp.asarray([[1, 1, -1, 1], [1, -1, -1, -1], [1, -1, 1, -1], [1, 1, 1, 1]], jnp.int8)
    short = log_amplitudes(small.ansatz, before, jnp.tile(patterns, (1, 2)))
    long = log_amplitudes(large.ansatz, after, jnp.tile(patterns, (1, 3)))
    assert np.ptp(short) > 0.01
    np.testing.assert_allclose(long, short, atol=1e-12)


def test_on_a_longer_ring_the_energy_starts_near_its_end(trained):
    source, state = trained
    built = ring(12, ansatz=LOCAL)
    exact = scipy.sparse.linalg.eigsh(matrix(built), k=1, which="SA", return_eigenvectors=False)[0]
    warm = energy(built, warm_start.start(built, warm_start.trained(source, state), seed=1).params)
    cold = energy(built, driver.init(built, 1).params)
    assert exact <= warm
    assert warm - exact < 0.2 * (cold - exact)


def test_a_checkpoint_and_what_is_kept_of_it_hold_the_same_parameters(trained, tmp_path):
    source, state = trained
    built = ring(8, ansatz=LOCAL)
    meta = {"config": source.config.model_dump(mode="json")}
    saved = checkpoint.save(tmp_path, state, 200, meta)
    whole = warm_start.read(saved.path, saved.sha256)
    digest = warm_start.write(tmp_path / "start.ckpt", whole, run="abc")
    kept = warm_start.read(tmp_path / "start.ckpt", digest)
    for found in (whole, kept):
        assert (found.step, found.config) == (200, source.config)
        assert same_bits(warm_start.parameters(built, found), state.params)
    assert (tmp_path / "start.ckpt").stat().st_size < 0.5 * saved.path.stat().st_size
    assert checkpoint.read(tmp_path / "start.ckpt")[1]["meta"]["run"] == "abc"


def test_files_that_hold_no_network_are_refused(tmp_path):
    path = tmp_path / "x.ckpt"
    for content, why in ((b"", "damaged"), (b"SPINCKP1" + bytes(60), "damaged")):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=rf"^init_from: x\.ckpt cannot be used: the file is {why}"):
            warm_start.read(path)
    checkpoint.write(path, {".walk": np.zeros(3)}, {"config": {}, "step": 1})
    with pytest.raises(ConfigError, match="no parameters"):
        warm_start.read(path)
    checkpoint.write(path, {".params['w']": np.zeros(3)}, {"step": 1})
    with pytest.raises(ConfigError, match="it lacks 'config'"):
        warm_start.read(path)
    checkpoint.write(path, {".params['w']": np.zeros(3)}, {"step": 1, "config": {"colour": 1}})
    with pytest.raises(ConfigError, match="lattice: Field required"):
        warm_start.read(path)
    with pytest.raises(ConfigError, match="not the one on record"):
        warm_start.read(path, "0" * 64)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        warm_start.read(tmp_path / "y.ckpt")


@pytest.mark.parametrize(("given", "needed"), [("float64", "float32"), ("float32", "float64")])
def test_the_precision_may_differ(given, needed):
    source = carried(ring(6, precision=given))
    built = ring(6, precision=needed)
    for path, leaf in jax.tree_util.tree_leaves_with_path(warm_start.parameters(built, source)):
        there = np.asarray(source.params[jax.tree_util.keystr(path)])
        assert there.dtype == given
        assert leaf.dtype == needed
        assert np.array_equal(leaf, there.astype(needed))


@pytest.mark.parametrize("spec", variants(ANSATZE), ids=label)
def test_every_network_starts_from_its_like(spec):
    """In another sector, of another Hamiltonian, with another sampler."""
    ansatz = spec.model_dump()
    heisenberg = {"name": "heisenberg", "params": {"marshall": True}}
    other = asked("chain 6", ansatz=ansatz, sampler=METROPOLIS, hamiltonian=heisenberg, sector={"sz": 0})
    warm_start.check(other, shapes(asked("chain 6", ansatz=ansatz)))


def test_the_networks_that_fit_every_size_are_those_that_are_named():
    """Registered networks on a ring of 8, put on one of 12."""
    fitting = set()
    for name in ANSATZE:
        short, long = (asked(f"chain {n}", ansatz={"name": name, "params": SMALL.get(name, {})}) for n in (8, 12))
        with contextlib.suppress(ConfigError):
            warm_start.check(long, shapes(short))
            fitting.add(name)
    assert fitting == set(warm_start.ANY_SIZE)


PROJECTED = {"momentum": [0], "point_group": "A'", "spin_flip": 1}


@pytest.mark.parametrize("name", ["rbm", "gcnn"])
def test_a_projection_changes_nothing_of_the_parameters(name):
    spec = {"name": name, "params": SMALL[name]}
    plain, projected = (ring(6, ansatz=spec, sampler=METROPOLIS, sector=sector) for sector in (None, PROJECTED))
    for source, built in ((plain, projected), (projected, plain)):
        trained = carried(source)
        assert same_bits(
            jax.tree.leaves(warm_start.parameters(built, trained)), [trained.params[p] for p in trained.params]
        )


@pytest.mark.parametrize("name", ["rbm", "jastrow"])
def test_a_complex_network_starts_from_a_real_one(name):
    specs = [{"name": name, "params": {"complex": c}} for c in (False, True)]
    real, signed = (ring(6, ansatz=spec) for spec in specs)
    source, sigma = carried(real), real.sector.enumerate()
    amplitudes = [log_amplitudes(b.ansatz, warm_start.parameters(b, source), sigma) for b in (real, signed)]
    assert amplitudes[1].dtype == jnp.complex128
    np.testing.assert_allclose(amplitudes[1], amplitudes[0], atol=1e-12)
    with pytest.raises(ConfigError, match="is complex in the run and real here"):
        warm_start.check(asked("chain 6", ansatz=specs[0]), shapes(asked("chain 6", ansatz=specs[1])))


def test_a_network_of_filters_goes_to_open_ends_and_to_another_lattice_of_the_same_axes():
    for start, end in (("square 2x4", "triangular 3x4"), ("square 4x4", "square 2x6")):
        spec = {"name": "convnext", "params": {"patch": 1, "channels": 4, "blocks": 1}}
        warm_start.check(asked(end, ansatz=spec), shapes(asked(start, ansatz=spec)))
    ends = {"name": "chain", "params": {"length": 9, "periodic": False}}
    warm_start.check(config(lattice=ends, ansatz=LOCAL), shapes(asked("chain 8", ansatz=LOCAL)))


def vit(**params: Any) -> dict[str, Any]:
    return {"name": "vit", "params": {**SMALL["vit"], "patch": 1, **params}}


SYMMETRIC = {"name": "rbm", "params": {"alpha": 1, "symmetric": True}}
GROUP = {"name": "gcnn", "params": {"features": 2}}
PRENORM = {"name": "rescnn", "params": {"channels": 4, "blocks": 1, "form": "prenorm"}}
COMPLEX = {"name": "rescnn", "params": {**PRENORM["params"], "head": "complex"}}
FIELD = {"name": "jastrow", "params": {"field": True}}
OTHER_SIZES = "networks that fit lattices of other sizes: rescnn, convnext, gcnn"
SAME = "the parameters of the ansatz must be those of the run"
RBM = {"name": "rbm", "params": {"alpha": 1}}
WIDE = {"name": "rbm", "params": {"alpha": 2}}
JASTROW = {"name": "jastrow"}
MORE = {"name": "rescnn", "params": {"channels": 6, "blocks": 1}}
REFUSALS = {
    "another kind": ("chain 6", RBM, "chain 6", LOCAL, ["trained the network 'rbm', this one has 'rescnn'"]),
    "dense": ("chain 6", RBM, "chain 8", RBM, ["parameter hidden/bias has shape 6 in the run and 8 here", OTHER_SIZES]),
    "width": ("chain 6", RBM, "chain 6", WIDE, ["parameter hidden/bias has shape 6 in the run and 12 here", SAME]),
    "channels": ("chain 8", LOCAL, "chain 12", MORE, ["'rescnn' fits lattices of any size with the same axes"]),
    "an axis": ("chain 8", LOCAL, "square 4x4", LOCAL, ["shape 3 × 4 × 4 in the run and 3 × 3 × 4 × 4 here"]),
    "a part more": ("chain 6", JASTROW, "chain 6", FIELD, ["the parameter field is in this network only", SAME]),
    "a part less": ("chain 6", FIELD, "chain 6", JASTROW, ["the parameter field is in the run's network only", SAME]),
    # Equal shapes, other meaning.
    "shared filters": (
        "square 2x4",
        SYMMETRIC,
        "chain 8",
        SYMMETRIC,
        ["'rbm' are numbered by the displacements of Square(extent=(2, 4), periodic=True), not of Chain(length=8"],
    ),
    "attention": ("square 2x4", vit(), "square 4x2", vit(), ["are numbered by", OTHER_SIZES]),
    "coinciding images": ("square 2x8", GROUP, "square 8x2", GROUP, ["are numbered by"]),
    "channels in pairs": ("chain 6", PRENORM, "chain 6", COMPLEX, ["of 'rescnn' have another meaning here", SAME]),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_does_not_fit_is_refused_with_the_first_difference(case):
    there, trained, here, ansatz, why = REFUSALS[case]
    source = shapes(asked(there, ansatz=trained))
    with pytest.raises(ConfigError) as caught:
        warm_start.check(asked(here, ansatz=ansatz), source)
    said = str(caught.value)
    assert said.startswith("init_from: ")
    assert "\n" not in said
    assert all(part in said for part in why)


def test_a_configuration_of_another_version_is_named():
    source = shapes(asked("chain 6"))
    old = asked("chain 6", ansatz={"name": "rbm", "params": {"beta": 1}})
    with pytest.raises(ConfigError, match=r"no longer valid.*beta"):
        warm_start.check(asked("chain 6"), source._replace(config=old))


def test_a_configuration_that_names_a_run_never_starts_at_random():
    built = ring(6, init_from={"run": "abc"})
    with pytest.raises(ConfigError, match=r"init_from \(given: run='abc' step=None\): the parameters from there"):
        driver.init(built, 0)
    assert same_bits(
        warm_start.start(built, carried(ring(6)), 0).params, warm_start.parameters(ring(6), carried(ring(6)))
    )
    driver.blank(built)  # what a checkpoint of the run is read into
