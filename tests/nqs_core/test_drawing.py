"""What a drawing holds: sites, straight and wrapping bonds, the Brillouin zone, the choices of a sector."""

import json

import numpy as np
import pytest

from nqs_core.lattices import LATTICES, drawing, momenta, symmetry
from tests.nqs_core.small import LATTICE_CASES, lattice

CASES = [(name, params) for name in LATTICES for params in LATTICE_CASES[name]]
each_lattice = pytest.mark.parametrize(("name", "params"), CASES, ids=lambda v: str(v).replace(" ", ""))


@each_lattice
def test_drawings_are_json_and_hold_every_site_and_bond(name, params):
    lat = lattice(name, **params)
    drawn = drawing.draw(lat)
    assert json.loads(json.dumps(drawn, allow_nan=False)) == drawn
    assert drawn["n_sites"] == len(drawn["sites"]) == lat.n_sites
    assert len({tuple(np.round(site, 6)) for site in drawn["sites"]}) == lat.n_sites
    assert (drawn["extent"], drawn["periodicity"]) == (list(lat.extent), list(lat.periodicity))
    assert [shell["order"] for shell in drawn["bonds"]] == [1, 2, 3]
    for shell in drawn["bonds"]:
        assert sorted(shell["pairs"] + shell["wraps"]) == lat.bonds(shell["order"]).tolist()
    colour = lat.sublattice()
    assert drawn["sublattice"] == (None if colour is None else colour.tolist())
    assert drawn["note"] == ""


@each_lattice
def test_straight_bonds_are_those_of_the_lattice_with_open_ends(name, params):
    lat = lattice(name, **params)
    ends = params | {"periodic": False} if name != "all_to_all" else params
    cut_open = lattice(name, **ends)
    for shell in drawing.draw(lat)["bonds"]:
        assert shell["pairs"] == cut_open.bonds(shell["order"]).tolist()


@each_lattice
def test_what_a_sector_may_hold_is_listed(name, params):
    lat = lattice(name, **params)
    drawn = drawing.draw(lat)
    assert {tuple(row["m"]) for row in drawn["momenta"]} == {tuple(m) for m in momenta.integers(lat).tolist()}
    assert [row["label"] for row in drawn["momenta"]][: len(momenta.labels(lat))] == list(momenta.labels(lat))
    assert drawn["point_group"] == symmetry.little(lat, None)
    assert all(momenta.resolve(lat, row["m"]) == tuple(row["m"]) for row in drawn["momenta"])


@pytest.mark.parametrize("name", [n for n in LATTICES if n not in ("chain", "cubic", "all_to_all")])
def test_the_zone_holds_each_momentum_once(name):
    """Area of the polygon = that of the reciprocal cell, and its corners are as near to 0 as to two other vectors."""
    lat = lattice(name)
    b = lat.reciprocal()
    corners = np.array(drawing.draw(lat)["zone"])
    assert len(corners) == (4 if name == "square" else 6)
    x, y = corners.T
    area = 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))  # positive: counter-clockwise
    assert area == pytest.approx(abs(np.linalg.det(b)))
    images = np.array([[i, j] for i in range(-3, 4) for j in range(-3, 4)]) @ b
    distance = np.sort(np.linalg.norm(corners[:, None] - images, axis=-1), axis=1)
    np.testing.assert_allclose(distance[:, 0], np.linalg.norm(corners, axis=1), atol=1e-9)
    np.testing.assert_allclose(distance[:, :3], distance[:, :1] * np.ones((1, 3)), atol=1e-9)


def test_labels_sit_on_corners_and_middles_of_the_zone():
    square, kagome, ring = (drawing.draw(lattice(name)) for name in ("square", "kagome", "chain"))
    assert list(square["points"]) == ["Γ", "X", "Y", "M"]
    expected = np.pi * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    np.testing.assert_allclose(list(square["points"].values()), expected, atol=1e-9)
    np.testing.assert_allclose(ring["zone"], [[-np.pi, 0], [np.pi, 0]], atol=1e-9)
    np.testing.assert_allclose(ring["points"]["X"], [np.pi, 0], atol=1e-9)
    for label in ("K", "K'"):
        assert np.min(np.linalg.norm(np.array(kagome["zone"]) - kagome["points"][label], axis=1)) < 1e-9


def test_three_dimensions_are_projected_without_a_zone():
    drawn = drawing.draw(lattice("cubic", extent=[2, 3, 2], periodic=False))
    assert drawn["zone"] is None
    assert drawn["points"] == {}
    assert {row["label"] for row in drawing.draw(lattice("cubic", extent=[2, 2, 2]))["momenta"]} >= {"Γ", "X", "M", "R"}


def test_the_complete_graph_has_bonds_and_no_zone():
    drawn = drawing.draw(lattice("all_to_all", size=6))
    assert (len(drawn["bonds"][0]["pairs"]), drawn["bonds"][0]["wraps"]) == (15, [])
    assert (drawn["zone"], drawn["reciprocal"], drawn["points"]) == (None, None, {})
    assert drawn["momenta"] == [{"label": "Γ", "m": [0]}]


def test_what_is_too_large_is_said_and_left_out():
    drawn = drawing.draw(lattice("square", extent=[1_000_000, 1_000_000]))
    assert (drawn["sites"], drawn["bonds"], drawn["point_group"]) == ([], [], {"name": None, "irreps": []})
    assert "1000000000000 sites" in drawn["note"]
    assert len(drawn["momenta"]) == 64
    assert len(drawn["zone"]) == 4
    dense = drawing.draw(lattice("all_to_all", size=200))
    assert len(dense["sites"]) == 200
    assert dense["bonds"][0]["pairs"] == []
    assert "8192 bonds" in dense["note"]
