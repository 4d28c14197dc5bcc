"""Exact minima of diagonal Hamiltonians against all configurations, one by one."""

import functools

import numpy as np
import pytest

from nqs_core import reference
from nqs_core.config import parse
from nqs_core.errors import ConfigError, NQSError
from nqs_core.reference import classical
from tests.nqs_core import kron


def config(on, shape, name, couplings, sector=None):
    system = {"name": name, "params": couplings}
    return parse({"lattice": {"name": on, "params": shape}, "hamiltonian": system, "sector": sector})


GAUSS = {"disorder": "gaussian", "h": 0.0}
SK = {**GAUSS, "model": "sherrington_kirkpatrick"}
THREE = "1 Z0 Z1 Z2\n-2 Z3\n0.3 Z0 Z4\n0 Z1 Z4\n0.7 Z3 Z4\n-0.7 Z4 Z3"
FIELDS = "-5 Z0\n-3 Z1\n-8 Z2\n-6 Z3"
TURNED = "0.4 X0 X1\n-1 X1 Y2\n0.8 Y2 Z3\n-0.2 Z3\n1.3 X0"
CASES = [
    ("chain", {"length": 10}, "spin_glass", {**GAUSS, "disorder_seed": 2}),
    ("chain", {"length": 9}, "spin_glass", {**GAUSS, "disorder_seed": 7}),
    ("square", {"extent": [3, 3]}, "spin_glass", GAUSS),
    ("all_to_all", {"size": 9}, "spin_glass", SK),
    ("all_to_all", {"size": 4}, "tfim", {"h": 0.0}),
    ("chain", {"length": 6, "periodic": False}, "tfim", {"h": 0.0}),
    ("chain", {"length": 5}, "custom", {"strings": THREE}),
    ("chain", {"length": 4}, "custom", {"strings": FIELDS}),
    ("chain", {"length": 4}, "custom", {"strings": "0 Z0 Z1"}),
    ("chain", {"length": 5}, "custom", {"strings": "1 X0 X1\n-1 X0 X1"}),
]


def dense(system):
    """The matrix by Kronecker products, from the strings alone."""
    hamiltonian, _ = reference.system(system)
    rows = [
        (dict(zip(where, letters, strict=True)), c)
        for letters, sites, coefficient in hamiltonian.terms()
        for where, c in zip(
            np.reshape(sites, (-1, len(letters))).tolist(),
            np.broadcast_to(coefficient, (len(np.reshape(sites, (-1, len(letters)))),)).tolist(),
            strict=True,
        )
    ]
    n = hamiltonian.lattice.n_sites
    return n, kron.total(n, rows)


@pytest.mark.parametrize("case", CASES)
def test_the_minimum_is_that_of_all_configurations_in_every_sector(case):
    n, matrix = dense(config(*case))
    energies = np.real(np.diagonal(matrix))
    n_down = np.bitwise_count(np.arange(2**n))
    [whole] = reference.compute(config(*case), method="exact")
    assert (whole.bound, whole.method) == ("exact", "exact minimum")
    assert whole.energy == pytest.approx(energies.min(), abs=1e-12)
    for down in range(n + 1):
        [found] = reference.compute(config(*case, sector={"sz": n / 2 - down}), method="dmrg")
        assert found.energy == pytest.approx(energies[n_down == down].min(), abs=1e-12)
        assert found.bound == "exact"


def test_one_letter_for_each_site_is_as_good_as_z():
    system = config("chain", {"length": 4}, "custom", {"strings": TURNED})
    [found] = reference.compute(system, method="dmrg")
    assert found.method == "exact minimum"
    assert found.energy == pytest.approx(np.linalg.eigvalsh(dense(system)[1])[0], abs=1e-12)
    with pytest.raises(ConfigError, match="conserves S"):
        reference.compute(config("chain", {"length": 4}, "custom", {"strings": TURNED}, {"sz": 0}), method="dmrg")


def ring_minimum(couplings):
    """Of -Σ J_i s_i s_i+1 on a ring: every bond is satisfied, but the weakest where their signs frustrate it."""
    frustrated = np.prod(np.sign(couplings)) < 0
    return -np.abs(couplings).sum() + (2 * np.abs(couplings).min() if frustrated else 0.0)


@pytest.mark.parametrize("seed", range(4))
def test_rings_of_30_and_open_chains(seed):
    params = {**GAUSS, "disorder_seed": seed}
    system = config("chain", {"length": 30}, "spin_glass", params)
    assert reference.plan_dmrg(system)
    lattice = reference.system(system)[0].lattice
    couplings = np.random.default_rng(seed).standard_normal(len(lattice.bonds()))
    [ring] = reference.compute(system, method="dmrg")
    assert ring.energy == pytest.approx(ring_minimum(couplings), abs=1e-11)
    [chain] = reference.compute(config("chain", {"length": 30, "periodic": False}, "spin_glass", params))
    assert chain.energy == pytest.approx(-np.abs(np.random.default_rng(seed).standard_normal(29)).sum(), abs=1e-11)
    assert reference.sentence(ring).startswith("exact to ")


def test_both_parities_have_the_minimum_and_a_field_along_z_has_none():
    system = functools.partial(config, "chain", {"length": 8}, "spin_glass", GAUSS)
    exact = [reference.compute(system({"spin_flip": sign}), method="exact")[0].energy for sign in (1, -1)]
    assert exact[0] == exact[1] == reference.compute(system(), method="exact")[0].energy
    with pytest.raises(NQSError, match="spin_flip"):
        reference.compute(config("chain", {"length": 4}, "custom", {"strings": FIELDS}, {"spin_flip": 1}))


def test_what_is_too_wide_or_not_diagonal_is_left_to_others(monkeypatch):
    glass = reference.system(config("cubic", {"extent": [3, 3, 3]}, "spin_glass", GAUSS))
    assert classical.plan(*glass) is not None
    monkeypatch.setattr(classical, "MAX_FRONTIER", 8)
    assert classical.plan(*glass) is None
    assert classical.plan(*reference.system(config("chain", {"length": 8}, "tfim", {"h": 1e-9}))) is None
    wave = config("chain", {"length": 8}, "tfim", {"h": 0.0}, {"momentum": [0]})
    assert classical.plan(*reference.system(wave)) is None


def test_the_estimate_counts_the_entries_of_the_tables():
    for sector in (None, {"sz": 0.0}):
        plan = classical.plan(*reference.system(config("square", {"extent": [4, 4]}, "spin_glass", GAUSS, sector)))
        assert plan is not None
        sizes, with_spin = [], classical._with_spin

        def seen(*args, sizes=sizes, with_spin=with_spin):
            out = with_spin(*args)
            sizes.append(out.size)
            return out

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(classical, "_with_spin", seen)
            classical.minimum(plan)
        assert sizes == plan.entries
