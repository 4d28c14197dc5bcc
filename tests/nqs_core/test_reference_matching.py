"""The rules of the canonical key, each against two dense spectra, so that the rule is tested and not its code."""

import numpy as np
import pytest

from nqs_core.config import parse
from nqs_core.reference import load_table, matching
from tests.nqs_core import kron


def system(lattice, extent, boundary, hamiltonian, **couplings):
    return lattice, tuple(extent), boundary, hamiltonian, {k: float(v) for k, v in couplings.items()}


def chain(n, boundary, hamiltonian="tfim", **couplings):
    return system("chain", [n], boundary, hamiltonian, **couplings)


def square(extent, boundary, hamiltonian="tfim", **couplings):
    return system("square", extent, boundary, hamiltonian, **couplings)


def triangle(extent, boundary, hamiltonian, **couplings):
    return system("triangular", extent, boundary, hamiltonian, **couplings)


def comb(extent, boundary, hamiltonian, **couplings):
    return system("honeycomb", extent, boundary, hamiltonian, **couplings)


LONG = "long_range_tfim"
SAME, DIFFERENT = True, False
PAIRS = [
    # scale, sign of h, two sublattices
    (chain(6, "P", J=-2, h=-1.4), chain(6, "P", J=1, h=0.7), SAME),
    (chain(7, "P", J=-1, h=0.7), chain(7, "P", J=1, h=0.7), DIFFERENT),
    (chain(7, "O", J=-1, h=0.7), chain(7, "O", J=1, h=0.7), SAME),
    (square([3, 3], "PP", J=-1, h=0.7), square([3, 3], "PP", J=1, h=0.7), DIFFERENT),
    # longitudinal field
    (chain(6, "P", J=1, h=0.7, h_z=0.3), chain(6, "P", J=1, h=-0.7, h_z=-0.3), SAME),
    (chain(6, "P", J=-1, h=0.7, h_z=0.3), chain(6, "P", J=1, h=0.7, h_z=0.3), DIFFERENT),
    (chain(6, "P", J=1, h=0.7, h_z=0.0), chain(6, "P", J=1, h=0.7), SAME),
    # order of the axes, periodic axes of length 2 and 1, strips
    (square([2, 4], "PP", J=-1, h=0.7), system("rectangular", [4, 2], "PO", "tfim", J=1, h=0.7), SAME),
    (square([3, 2], "OP", J=1, h=0.7), square([2, 3], "PO", J=1, h=0.7), SAME),
    (square([3, 3], "OP", J=1, h=0.7), square([3, 3], "PO", J=1, h=0.7), SAME),
    (square([4, 2], "PO", J=1, h=0.7), square([4, 2], "OO", J=1, h=0.7), DIFFERENT),
    (square([5, 1], "PO", "heisenberg", J=1), chain(5, "P", "heisenberg", J=1), SAME),
    (square([1, 5], "PP", J=1, h=0.7), chain(5, "P", J=1, h=0.7), SAME),
    (chain(2, "P", "heisenberg", J=1), chain(2, "O", "heisenberg", J=1), SAME),
    (chain(6, "P", "heisenberg", J=1), chain(6, "P", "heisenberg", J=-1), DIFFERENT),
    (chain(6, "P", J=1, h=0.7), chain(6, "P", J=1, h=0.7 * (1 + 1e-8)), DIFFERENT),
    # lattices whose sublattices or wraps differ from those of the square
    (
        triangle([3, 3], "PP", "tfim", J=-1, h=0.7),
        triangle([3, 3], "PP", "tfim", J=1, h=0.7),
        DIFFERENT,
    ),
    (
        triangle([4, 2], "PP", "tfim", J=1, h=0.7),
        triangle([2, 4], "PP", "tfim", J=1, h=0.7),
        SAME,
    ),
    (
        triangle([4, 2], "PP", "tfim", J=1, h=0.7),
        triangle([4, 2], "PO", "tfim", J=1, h=0.7),
        DIFFERENT,
    ),
    (
        comb([2, 2], "PP", "tfim", J=-1, h=0.7),
        comb([2, 2], "PP", "tfim", J=1, h=0.7),
        SAME,
    ),
    (
        comb([2, 2], "PP", "tfim", J=1, h=0.7),
        comb([2, 2], "PO", "tfim", J=1, h=0.7),
        DIFFERENT,
    ),
    (system("kagome", [2, 1], "PO", "heisenberg", J=1), system("kagome", [1, 2], "OP", "heisenberg", J=1), SAME),
    (system("cubic", [2, 2, 2], "PPP", "tfim", J=-1, h=2), system("cubic", [2, 2, 2], "OOO", "tfim", J=1, h=2), SAME),
    # the Kac factor and the sign of long-range couplings
    (chain(6, "P", LONG, J=-4, h=-2, alpha=3), chain(6, "P", LONG, J=-2, h=1, alpha=3), SAME),
    (
        chain(6, "P", LONG, J=-2, h=1, alpha=3),
        chain(6, "P", LONG, J=2, h=1, alpha=3),
        DIFFERENT,
    ),
    (
        chain(6, "P", LONG, J=-2, h=1, alpha=3),
        chain(6, "P", LONG, J=-2, h=1, alpha=4),
        DIFFERENT,
    ),
    # models that contain the Heisenberg model
    (chain(6, "P", "xxz", J=-1, Delta=0.4), chain(6, "P", "xxz", J=1, Delta=-0.4), SAME),
    (chain(5, "P", "xxz", J=-1, Delta=0.4), chain(5, "P", "xxz", J=1, Delta=-0.4), DIFFERENT),
    (chain(6, "P", "xxz", J=-2, Delta=-1), chain(6, "P", "heisenberg", J=1), SAME),
    (chain(6, "P", "xxz", J=3, Delta=-1), chain(6, "P", "heisenberg", J=-1), SAME),
    (chain(5, "P", "xxz", J=3, Delta=-1), chain(5, "P", "heisenberg", J=-1), DIFFERENT),
    (chain(6, "P", "xxz", J=3, Delta=1), chain(6, "P", "j1j2", J1=2, J2=0), SAME),
    (square([2, 3], "PO", "j1j2", J1=2, J2=1), square([3, 2], "OP", "j1j2", J1=1, J2=0.5), SAME),
    (square([2, 4], "PP", "j1j2", J1=2, J2=1), square([4, 2], "PO", "j1j2", J1=1, J2=0.5), SAME),
    (square([5, 1], "PP", "j1j2", J1=2, J2=1), square([5, 1], "PO", "j1j2", J1=1, J2=0.5), DIFFERENT),
    (chain(6, "P", "j1j2", J1=-1, J2=0.5), chain(6, "P", "j1j2", J1=1, J2=-0.5), DIFFERENT),
]


def spectrum(lattice, extent, boundary, hamiltonian, couplings):
    lattice = "square" if lattice == "rectangular" else lattice
    matrix = kron.hamiltonian(hamiltonian, lattice, extent, [b == "P" for b in boundary], couplings)
    return np.linalg.eigvalsh(matrix)


@pytest.mark.parametrize(("a", "b", "same"), PAIRS, ids=lambda v: str(v).replace(" ", ""))
def test_equal_keys_mean_equal_spectra_and_unequal_keys_unequal_ones(a, b, same):
    (fields_a, factor_a), (fields_b, factor_b) = matching.canonical_fields(*a), matching.canonical_fields(*b)
    assert (matching.key(fields_a) == matching.key(fields_b)) == same
    one, two = factor_a * spectrum(*a), factor_b * spectrum(*b)
    assert (one.shape == two.shape and bool(np.abs(one - two).max() < 1e-9)) == same


def test_every_row_of_the_table_is_its_own_canonical_form():
    rows = load_table()
    assert len(rows) > 1800
    for row in rows:
        fields, factor = matching.canonical_fields(
            row["lattice"], row["extent"], row["boundary"], row["hamiltonian"], row["couplings"]
        )
        assert matching.key(fields) == row["key"]
        assert factor == 1.0
        assert fields["n_sites"] == row["n_sites"]


def test_rows_of_built_models_are_found_from_a_configuration():
    found = 0
    for row in load_table():
        periodic = [letter == "P" for letter in row["boundary"]]
        shape = {"extent": row["extent"], "periodic": periodic}
        if row["lattice"] == "chain":
            shape = {"length": row["extent"][0], "periodic": periodic[0]}
        config = parse(
            {
                "lattice": {"name": row["lattice"], "params": shape},
                "hamiltonian": {"name": row["hamiltonian"], "params": row["couplings"]},
            }
        )
        fields, factor = matching.canonical(config)
        assert (matching.key(fields), factor, fields["n_sites"]) == (row["key"], 1.0, row["n_sites"])
        found += 1
    assert found > 1800


def config(**changes):
    base = {"lattice": {"name": "chain", "params": {"length": 6}}, "hamiltonian": {"name": "tfim"}}
    return parse(base | changes)


def test_defaults_the_run_and_the_marshall_sign_do_not_change_the_key():
    plain = matching.key(matching.canonical(config())[0])
    assert plain == "tfim|chain|6|P|J=1,h=1"
    assert matching.key(matching.canonical(config(seed=7, n_steps=3, name="x"))[0]) == plain
    keys = {
        matching.key(matching.canonical(config(hamiltonian={"name": "heisenberg", "params": {"marshall": m}}))[0])
        for m in (True, False)
    }
    assert keys == {"heisenberg|chain|6|P|J=1"}


def test_the_factor_turns_energies_of_the_run_into_canonical_ones():
    fields, factor = matching.canonical(config(hamiltonian={"name": "tfim", "params": {"J": -2.0, "h": 3.0}}))
    assert fields["couplings"] == {"J": 1.0, "h": 1.5}
    assert factor == 0.5


def test_without_a_unit_the_whole_system_is_the_key():
    def free(h):
        return matching.canonical(config(hamiltonian={"name": "tfim", "params": {"J": 0.0, "h": h}}))

    assert matching.key(free(1.0)[0]) == matching.key(free(1.0)[0])
    assert matching.key(free(1.0)[0]) != matching.key(free(2.0)[0])
    assert free(1.0)[1] == 1.0


@pytest.mark.parametrize(
    ("sector", "label"),
    [
        (None, "full"),
        ({}, "full"),
        ({"sz": 0.0}, "Sz=0"),
        ({"sz": -0.0}, "Sz=0"),
        ({"sz": 1.5}, "Sz=1.5"),
        ({"sz": 0.0, "momentum": [4], "spin_flip": -1}, "Sz=0,k=4,P=-1"),
    ],
)
def test_labels_of_sectors(sector, label):
    assert matching.sector_label(config(sector=sector)) == label


GROUND = [
    (chain(6, "P", J=1, h=0.7), ("full", "P=+1")),
    (chain(5, "P", J=-1, h=0.7), ("full", "P=+1")),
    (chain(6, "P", J=1, h=0.7, h_z=0.2), ("full",)),
    (chain(6, "P", "heisenberg", J=1), ("full", "Sz=0")),
    (chain(6, "P", "heisenberg", J=-1), ("full", "Sz=0")),
    (chain(5, "P", "heisenberg", J=1), ("full",)),
    (square([2, 3], "PO", "heisenberg", J=1), ("full", "Sz=0")),
    (chain(6, "P", "xxz", J=1, Delta=-0.7), ("full", "Sz=0")),
    (chain(6, "P", "xxz", J=1, Delta=-1.3), ("full",)),
    (chain(6, "P", "j1j2", J1=-1, J2=0.4), ("full", "Sz=0")),
    (chain(6, "P", LONG, J=3, h=1, alpha=2), ("full", "P=+1")),
]


@pytest.mark.parametrize(("of", "sectors"), GROUND, ids=str)
def test_sectors_that_share_the_ground_state(of, sectors):
    fields, factor = matching.canonical_fields(*of)
    assert matching.ground_sectors(fields, "full") == sectors
    assert all(set(matching.ground_sectors(fields, s)) == set(sectors) for s in sectors)
    assert matching.ground_sectors(fields, "Sz=3") == ("Sz=3",)
    n, lattice, extent = fields["n_sites"], of[0], of[1]
    matrix = factor * kron.hamiltonian(of[3], lattice, extent, [b == "P" for b in of[2]], of[4])
    down = np.bitwise_count(np.arange(2**n))
    if "P=+1" in sectors:
        even = (matrix + matrix[:, ::-1])[: 2 ** (n - 1), : 2 ** (n - 1)]
        assert np.linalg.eigvalsh(even)[0] == pytest.approx(np.linalg.eigvalsh(matrix)[0], abs=1e-10)
    if "Sz=0" in sectors:
        inside = np.flatnonzero(down == n / 2)
        assert np.linalg.eigvalsh(matrix[np.ix_(inside, inside)])[0] == pytest.approx(
            np.linalg.eigvalsh(matrix)[0], abs=1e-10
        )
