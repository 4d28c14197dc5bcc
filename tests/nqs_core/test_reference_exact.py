"""Sparse Lanczos: every level with its multiplicity, known values, and refusals that allocate nothing."""

import tracemalloc

import numpy as np
import pytest

from nqs_core import reference
from nqs_core.config import parse
from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.hamiltonians import HAMILTONIANS
from nqs_core.operators import masks
from nqs_core.reference import blocks, exact
from nqs_core.sector import Sector
from tests.nqs_core import kron
from tests.nqs_core.small import HAMILTONIAN_CASES, hamiltonian, lattice


def config(on, shape, name, couplings, sector=None):
    return parse(
        {
            "lattice": {"name": on, "params": shape},
            "hamiltonian": {"name": name, "params": couplings},
            "sector": sector,
        }
    )


CASES = [(name, *case) for name in HAMILTONIANS for case in HAMILTONIAN_CASES.get(name, [])]
each_case = pytest.mark.parametrize(("name", "on", "shape", "couplings"), CASES, ids=lambda v: str(v).replace(" ", ""))


@each_case
def test_levels_with_multiplicity_in_every_sector(name, on, shape, couplings):
    lat = lattice(on, **shape)
    n = lat.n_sites
    dense = kron.hamiltonian(name, on, lat.extent, lat.periodicity, couplings)
    found = reference.compute(config(on, shape, name, couplings), levels=9, method="exact")
    np.testing.assert_allclose([r.energy for r in found], np.linalg.eigvalsh(dense)[:9], atol=1e-10)
    assert all((r.uncertainty or 0.0) < 1e-10 and r.bound == "exact" and r.sector == "full" for r in found)
    if not hamiltonian(name, lat, **couplings).conserves_sz:
        return
    for sz in np.arange(-n / 2, n / 2 + 1):
        states = Sector(n, float(sz)).indices()
        block = np.linalg.eigvalsh(dense[np.ix_(states, states)])[:5]
        found = reference.compute(config(on, shape, name, couplings, {"sz": float(sz)}), levels=5, method="exact")
        np.testing.assert_allclose([r.energy for r in found], block, atol=1e-10)


@each_case
def test_lanczos_finds_what_the_dense_solver_finds(monkeypatch, name, on, shape, couplings):
    """With the dense solver for tiny blocks only, the iterative one must see each copy of a level."""
    cfg = config(on, shape, name, couplings)
    expected = [r.energy for r in reference.compute(cfg, levels=6, method="exact")]
    monkeypatch.setattr(exact, "_DENSE", 30)
    found = reference.compute(cfg, levels=6, method="exact")
    np.testing.assert_allclose([r.energy for r in found], expected, atol=1e-10)


def test_a_single_krylov_space_would_miss_copies_of_a_degenerate_level():
    """Why levels are looked for again above those found: an operator with one level twelve times."""
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(600, 600)))
    values = np.concatenate([np.full(12, -1.0), np.arange(588) * 0.01])
    full = (basis * values) @ basis.T
    found = exact._lanczos(lambda x: full @ x, 600, 8, np.dtype(float))
    np.testing.assert_allclose([level.energy for level in found], -1.0, atol=1e-10)


@pytest.mark.parametrize(
    ("on", "shape", "name", "couplings", "sector", "per_site"),
    [
        ("chain", {"length": 16}, "heisenberg", {"J": 1.0}, {"sz": 0.0}, -0.446393523),
        ("square", {"extent": [4, 4]}, "heisenberg", {"J": 1.0}, {"sz": 0.0}, -0.701780201),
        ("square", {"extent": [4, 4]}, "heisenberg", {"J": 1.0, "marshall": True}, None, -0.701780201),
        ("chain", {"length": 10}, "tfim", {}, None, -1.2784906443),
        ("square", {"extent": [4, 4]}, "tfim", {"h": 3.0}, None, -51.448129133 / 16),
        ("square", {"extent": [4, 4]}, "j1j2", {"J2": 0.5}, {"sz": 0.0}, -0.528620209),
        ("chain", {"length": 16}, "j1j2", {"J2": 0.2411}, {"sz": 0.0}, -0.404361823),
        ("chain", {"length": 16}, "j1j2", {"J2": 0.5}, {"sz": 0.0}, -0.375),
        ("chain", {"length": 16}, "long_range_tfim", {"J": -5.0, "alpha": 6.0}, None, -1.828810192),
        ("chain", {"length": 16}, "long_range_tfim", {"J": 4.75, "alpha": 4.0}, None, -1.605415281),
        ("chain", {"length": 16}, "long_range_tfim", {"J": -2.0, "alpha": 4.0}, None, -1.111231783),
    ],
)
def test_listed_values(on, shape, name, couplings, sector, per_site):
    found = reference.compute(config(on, shape, name, couplings, sector), method="exact")[0]
    assert found.energy / lattice(on, **shape).n_sites == pytest.approx(per_site, abs=6e-10)


def test_a_model_without_couplings_has_all_its_levels_at_zero():
    silent = config("chain", {"length": 10}, "xxz", {"J": 0.0})
    assert [level.energy for level in reference.compute(silent, 3, method="exact")] == [0.0] * 3


def small_rows():
    """Small exact rows of the table: each boundary and level on chains, one of each model on every other lattice."""
    chosen = {}
    for row in reference.load_table():
        with_sz = row["hamiltonian"] != "tfim" and row["level"] == 0
        small = row["n_sites"] <= (10 if row["lattice"] == "chain" else 18 if with_sz else 0)
        if row["method"] == "exact diagonalisation" and small:
            other = (row["boundary"], row["level"]) if row["lattice"] == "chain" else ()
            chosen[row["hamiltonian"], row["lattice"], *other] = row
    return list(chosen.values())


def test_exact_rows_of_the_table_are_reproduced():
    rows = small_rows()
    assert {row["lattice"] for row in rows} >= {"chain", "square", "triangular", "honeycomb", "kagome"}
    for row in rows:
        periodic = [letter == "P" for letter in row["boundary"]]
        shape = {"extent": row["extent"], "periodic": periodic}
        if row["lattice"] == "chain":
            shape = {"length": row["extent"][0], "periodic": periodic[0]}
        sector = {"sz": float(row["sector"][3:])} if row["sector"].startswith("Sz=") else None
        cfg = config(row["lattice"], shape, row["hamiltonian"], row["couplings"], sector)
        found = reference.compute(cfg, row["level"] + 1, method="exact")[row["level"]]
        slack = 1e-9 if row["source"].startswith("computed") else 1e-6
        assert found.energy == pytest.approx(row["energy"], abs=slack), row["key"]
        assert (found.key, found.sector) == (row["key"], row["sector"])


@pytest.mark.parametrize("parity", [1, -1])
def test_the_product_without_a_matrix_is_the_matrix(parity):
    model = hamiltonian("tfim", lattice("square", extent=[2, 3]), J=0.7, h=1.3)
    groups = masks(model.terms(), 6)
    block = blocks.Block(6, None, parity)
    by_views = np.stack([blocks.field_product(groups, block)(e) for e in np.eye(block.dim)], axis=1)
    np.testing.assert_allclose(by_views, blocks.matrix(groups, block).toarray(), atol=1e-14)
    dense = kron.hamiltonian("tfim", "square", (2, 3), (True, True), {"J": 0.7, "h": 1.3})
    half = (dense + parity * dense[:, ::-1])[:32, :32]
    np.testing.assert_allclose(by_views, half.real, atol=1e-13)


@pytest.mark.parametrize(("n", "n_up", "parity"), [(7, 3, None), (8, 4, 1), (8, 4, -1), (8, 2, None), (6, None, None)])
def test_bases_of_blocks_are_sorted_and_their_positions_found(n, n_up, parity):
    block = blocks.Block(n, n_up, parity)
    table = blocks.Codes(block)
    whole = Sector(n, None if n_up is None else n_up - n / 2).indices()
    np.testing.assert_array_equal(table.codes, whole if parity is None else whole[whole < 2 ** (n - 1)])
    np.testing.assert_array_equal(table.position(table.codes), np.arange(block.dim))


def test_the_estimate_of_stored_elements_holds():
    model = hamiltonian("heisenberg", lattice("square", extent=[2, 5]))
    groups = masks(model.terms(), 10)
    for block in (blocks.Block(10, 5, 1), blocks.Block(10, 7, None)):
        stored = blocks.matrix(groups, block).nnz
        estimate = blocks.elements_per_row(groups, block) * block.dim
        assert stored <= estimate * (1 + 1e-12) <= 1.2 * stored


@pytest.mark.parametrize(("length", "sector", "size"), [(30, {"sz": 0.0}, "GB"), (32, None, "GB"), (41, None, "GB")])
def test_what_does_not_fit_is_refused_with_numbers_before_it_allocates(length, sector, size):
    cfg = config("chain", {"length": length, "periodic": False}, "heisenberg", {}, sector)
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match=rf"{length} spins.* needs (about )?.*{size} \(limit 8 GB\)"):
            reference.compute(cfg)
        assert tracemalloc.get_traced_memory()[1] < 1e7
    finally:
        tracemalloc.stop()


def test_a_million_sites_are_refused_at_once():
    shape = {"extent": [1000, 1000]}
    with pytest.raises(TooLargeError, match=r"1000000 spins needs about 10\^\d+ GB"):
        reference.compute(config("square", shape, "tfim", {"h": 3.0}))


def test_the_limit_is_what_the_caller_says():
    cfg = config("chain", {"length": 14}, "heisenberg", {}, {"sz": 0.0})
    assert reference.compute(cfg, method="exact", memory_limit=1e7)
    with pytest.raises(TooLargeError, match="limit 1e-05 GB"):
        reference.compute(cfg, method="exact", memory_limit=1e4)


def test_estimates_grow_with_the_system():
    small, large = (reference.estimate(config("chain", {"length": n}, "heisenberg", {}, {"sz": 1.0})) for n in (12, 20))
    assert small is not None
    assert large is not None
    assert large.n_bytes > 50 * small.n_bytes
    assert large.seconds > small.seconds
    assert reference.estimate(config("chain", {"length": 500}, "tfim", {})) is None


@pytest.mark.parametrize(
    ("sector", "message"),
    [
        ({"sz": 0.5}, "sz = 0.5"),
        ({"momentum": [0, 1]}, "one integer per axis"),
        ({"momentum": "K"}, "labels there: Γ, X"),
        ({"sz": 1.0, "spin_flip": 1}, "spin_flip"),
        ({"point_group": "E"}, "irreps of Cs are A', A''"),
        ({"momentum": [1], "point_group": "A'"}, "irreps of C1 are A"),
        ({"sz": 3.0, "momentum": [1]}, "no state of 6 spins"),
    ],
)
def test_sectors_that_cannot_be_honoured_are_refused(sector, message):
    with pytest.raises(ConfigError, match=message):
        reference.compute(config("chain", {"length": 6}, "heisenberg", {}, sector))


def dense_sector(name, on, lat, couplings, sector):
    """Eigenvalues of the dense matrix among the common eigenvectors of its symmetries."""
    n = lat.n_sites
    states = Sector(n).enumerate()
    weights = 2 ** np.arange(n)
    vectors = np.eye(2**n)[:, Sector(n, sector.get("sz")).indices()]

    def restrict(vectors, operator, value):
        small = vectors.conj().T @ operator @ vectors
        kernel = np.eye(len(small)) * value - small
        _, singular, right = np.linalg.svd(kernel)
        return vectors @ right.conj().T[:, singular < 1e-9]

    for axis, m in enumerate(sector.get("momentum", [])):
        shift = np.ravel_multi_index(tuple(1 if a == axis else 0 for a in range(len(lat.extent))), lat.extent)
        perm = lat.translations().reshape(*[e if p else 1 for e, p in zip(lat.extent, lat.periodicity, strict=True)], n)
        row = perm.reshape(-1, n)[shift]
        operator = np.zeros((2**n, 2**n))
        operator[((states[:, row] < 0) * weights).sum(axis=1), np.arange(2**n)] = 1.0
        # (T psi)(sigma) = psi(t^-1 sigma) = exp(i k) psi(sigma)
        vectors = restrict(vectors, operator, np.exp(2j * np.pi * m / lat.extent[axis]))
    if "spin_flip" in sector:
        vectors = restrict(vectors, np.eye(2**n)[::-1], sector["spin_flip"])
    dense = kron.hamiltonian(name, on, lat.extent, lat.periodicity, couplings)
    return np.linalg.eigvalsh(vectors.conj().T @ dense @ vectors)


SECTORS = [
    ("heisenberg", "chain", {"length": 6}, {"J": 1.0}, {"sz": 0.0, "momentum": [3]}),
    ("heisenberg", "chain", {"length": 6}, {"J": 1.0}, {"momentum": [1]}),
    ("heisenberg", "chain", {"length": 7}, {"J": 1.0}, {"sz": 0.5, "momentum": [2]}),
    ("heisenberg", "chain", {"length": 6}, {"J": 1.0}, {"sz": 0.0, "momentum": [0], "spin_flip": -1}),
    ("heisenberg", "chain", {"length": 6}, {"J": 1.0}, {"spin_flip": 1}),
    ("heisenberg", "chain", {"length": 6}, {"J": 1.0}, {"spin_flip": -1}),
    ("j1j2", "square", {"extent": [2, 4]}, {"J1": 1.0, "J2": 0.4}, {"sz": 0.0, "momentum": [1, 2]}),
    ("tfim", "chain", {"length": 6}, {"J": 1.0, "h": 0.7}, {"momentum": [0], "spin_flip": -1}),
    ("tfim", "triangular", {"extent": [2, 3]}, {"J": -1.0, "h": 0.7}, {"momentum": [1, 1]}),
]


@pytest.mark.parametrize(("name", "on", "shape", "couplings", "sector"), SECTORS, ids=str)
def test_levels_of_momentum_and_spin_flip(name, on, shape, couplings, sector):
    expected = dense_sector(name, on, lattice(on, **shape), couplings, sector)[:2]
    found = reference.compute(config(on, shape, name, couplings, sector), levels=2, method="exact")
    np.testing.assert_allclose([r.energy for r in found], expected, atol=1e-9)
    assert found[0].sector != "full"


@pytest.mark.parametrize("sector", [{"momentum": [1]}, {"momentum": [5]}, {"momentum": [0], "spin_flip": -1}], ids=str)
@pytest.mark.parametrize("name", ["heisenberg", "tfim"])
def test_lanczos_stays_inside_a_momentum(monkeypatch, name, sector):
    sector = {"sz": 0.0, **sector} if name == "heisenberg" else sector
    cfg = config("chain", {"length": 10 if name == "heisenberg" else 8}, name, {}, sector)
    expected = reference.compute(cfg, levels=3, method="exact")
    monkeypatch.setattr(exact, "_is_small", lambda dim, levels: False)
    monkeypatch.setattr(exact, "_subspace", lambda levels: 10 + levels)
    found = reference.compute(cfg, levels=3, method="exact")
    np.testing.assert_allclose([r.energy for r in found], [r.energy for r in expected], atol=1e-9)


def test_the_lowest_level_of_each_momentum_makes_up_the_spectrum():
    shape, found = {"length": 8}, []
    for m in range(8):
        sector = {"sz": 0.0, "momentum": [m]}
        found += [r.energy for r in reference.compute(config("chain", shape, "heisenberg", {}, sector), 20, "exact")]
    expected = reference.compute(config("chain", shape, "heisenberg", {}, {"sz": 0.0}), 70, "exact")
    np.testing.assert_allclose(np.sort(found), [r.energy for r in expected], atol=1e-9)


def test_momentum_needs_translation_invariance():
    with pytest.raises(ConfigError, match="invariant under translations"):
        reference.compute(config("chain", {"length": 6}, "spin_glass", {"disorder_seed": 2}, {"momentum": [0]}))


def test_magnetisation_sectors_need_a_model_that_keeps_it():
    with pytest.raises(ConfigError, match="conserves"):
        reference.compute(config("chain", {"length": 6}, "tfim", {}, {"sz": 0.0}))


def test_wrong_questions_are_refused():
    cfg = config("chain", {"length": 6}, "tfim", {})
    with pytest.raises(ConfigError, match="levels = 0"):
        reference.compute(cfg, levels=0)
    with pytest.raises(ConfigError, match="unknown reference method 'magic'"):
        reference.compute(cfg, method="magic")
    with pytest.raises(ConfigError, match="marshall"):
        reference.compute(config("chain", {"length": 5}, "heisenberg", {"marshall": True}))
