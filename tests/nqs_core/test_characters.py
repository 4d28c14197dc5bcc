"""Character tables against textbooks: which irrep has which name."""

import itertools

import numpy as np

from nqs_core.lattices import characters, symmetry
from tests.nqs_core.small import crystal


def by_kind(lat, symbol):
    """Characters by what an element does to the plane: its rotation angle in degrees, or the angle of its mirror."""
    cartesian = lat.operations().cartesian
    group = symmetry.point_group(lat)
    assert group.name == symbol
    kinds = []
    for o in cartesian:
        angle = round(np.degrees(np.arctan2(o[1, 0], o[0, 0]))) % 360
        kinds.append(f"C{angle}" if np.linalg.det(o) > 0 else f"s{angle // 2}")
    return {name: dict(zip(kinds, chi.tolist(), strict=True)) for name, chi in group.irreps.items()}


def test_the_table_of_c4v_is_the_textbook_one():
    found = by_kind(crystal("square"), "C4v")
    columns = ("C0", "C90", "C180", "s0", "s90", "s45", "s135")
    assert {name: [chi[c] for c in columns] for name, chi in found.items()} == {
        "A1": [1, 1, 1, 1, 1, 1, 1],
        "A2": [1, 1, 1, -1, -1, -1, -1],
        "B1": [1, -1, 1, 1, 1, -1, -1],
        "B2": [1, -1, 1, -1, -1, 1, 1],
        "E": [2, 0, -2, 0, 0, 0, 0],
    }


def test_the_table_of_c6v_is_the_textbook_one():
    found = by_kind(crystal("honeycomb"), "C6v")
    columns = ("C0", "C60", "C120", "C180", "s0", "s60", "s30", "s90")
    assert {name: [chi[c] for c in columns] for name, chi in found.items()} == {
        "A1": [1, 1, 1, 1, 1, 1, 1, 1],
        "A2": [1, 1, 1, 1, -1, -1, -1, -1],
        "B1": [1, -1, 1, -1, 1, 1, -1, -1],
        "B2": [1, -1, 1, -1, -1, -1, 1, 1],
        "E1": [2, 1, -1, -2, 0, 0, 0, 0],
        "E2": [2, -1, -1, 2, 0, 0, 0, 0],
    }


def test_the_table_of_oh_is_the_textbook_one():
    lat = crystal("cubic", extent=[3, 3, 3])
    cartesian = np.round(lat.operations().cartesian).astype(int)
    diagonal = np.array([np.count_nonzero(np.diagonal(o)) for o in cartesian])
    kinds = [
        ("" if np.linalg.det(o) > 0 else "i") + str(np.trace(o) * round(np.linalg.det(o))) + "d" * int(k == 3)
        for o, k in zip(cartesian, diagonal, strict=True)
    ]  # proper part: 3 E, 0 C3, 1 C4, -1 C2 (d: along an axis)
    found = symmetry.point_group(lat).irreps
    proper = {"A1": (1, 1, 1, 1, 1), "A2": (1, 1, -1, -1, 1), "E": (2, -1, 0, 0, 2)}
    proper |= {"T1": (3, 0, -1, 1, -1), "T2": (3, 0, 1, -1, -1)}  # E 8C3 6C2' 6C4 3C2
    columns = ("3d", "0", "-1", "1", "-1d")
    for (name, row), parity in itertools.product(proper.items(), (1, -1)):
        chi = found[name + ("g" if parity > 0 else "u")]
        for kind, value in zip(kinds, chi, strict=True):
            expected = row[columns.index(kind.removeprefix("i"))] * (parity if kind.startswith("i") else 1)
            assert value == expected
    assert len(found) == 10


def test_names_of_d4h_and_d2h_follow_their_axes():
    long = crystal("cubic", extent=[3, 3, 2])
    o = long.operations().cartesian
    quarter = np.flatnonzero(np.all(np.abs(o - [[0, -1, 0], [1, 0, 0], [0, 0, 1]]) < 1e-9, axis=(1, 2)))[0]
    about_x = np.flatnonzero(np.all(np.abs(o - np.diag([1, -1, -1])) < 1e-9, axis=(1, 2)))[0]
    found = symmetry.point_group(long).irreps
    assert [found[name][quarter] for name in ("A1g", "A2g", "B1g", "B2g", "Eg")] == [1, 1, -1, -1, 0]
    assert [found[name][about_x] for name in ("A1u", "A2u", "B1u", "B2u", "Eu")] == [1, -1, 1, -1, 0]
    brick = crystal("cubic", extent=[2, 3, 4])
    o, found = brick.operations().cartesian, symmetry.point_group(brick).irreps
    for name, axis in (("B1g", 2), ("B2g", 1), ("B3g", 0)):
        about = np.flatnonzero(
            np.all(np.abs(o - np.diag([1.0 if a == axis else -1.0 for a in range(3)])) < 1e-9, (1, 2))
        )
        assert found[name][about[0]] == 1
        assert sum(found[name][k] for k in range(len(o)) if np.linalg.det(o[k]) > 0) == 0


def test_groups_without_names_here_are_numbered():
    quarter = np.array([[0, -1], [1, 0]])
    rotations = np.array([np.linalg.matrix_power(quarter, k) for k in range(4)], float)
    table = characters.table(np.array([[(a + b) % 4 for b in range(4)] for a in range(4)]))
    assert characters.names(rotations, table) == ("C4", ["Γ1", "Γ2", "Γ3", "Γ4"])
    np.testing.assert_allclose(table @ table.conj().T, 4 * np.eye(4), atol=1e-9)
    swaps = np.array([np.eye(3)[list(p)] for p in itertools.permutations(range(3))])
    tetrahedral = np.concatenate([swaps @ np.diag(s) for s in ([1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1])])
    where = {o.tobytes(): k for k, o in enumerate(tetrahedral + 0.0)}
    product = np.array([[where[(a @ b + 0.0).tobytes()] for b in tetrahedral] for a in tetrahedral])
    table = characters.table(product)
    assert characters.names(tetrahedral, table) == ("order 24", [f"Γ{k}" for k in range(1, 6)])
    assert table[:, 0].tolist() == [1, 1, 2, 3, 3]
