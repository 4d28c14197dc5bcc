"""Observables as figures and where their numbers come from; energy against variance."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from frontend.client import Client
from frontend.figures import observables
from frontend.figures.extrapolation import Extrapolated, plain_sentence, sentences
from frontend.figures.extrapolation import figure as against_variance
from frontend.figures.geometry import MomentumGrid, around, in_zone, periods
from frontend.figures.observables import Quantity, in_order, quantity
from frontend.observed import Observed
from nqs_core.config import Spec
from nqs_core.lattices import LATTICES
from nqs_core.lattices.drawing import draw
from nqs_core.observables.structure_factor import wave_vectors
from tests.asynchronous import finish

SHAPES: list[tuple[str, dict[str, Any]]] = [
    ("chain", {"length": 8}), ("chain", {"length": 7, "periodic": False}), ("square", {"extent": [3, 4]}),
    ("square", {"extent": [4, 4], "periodic": [True, False]}), ("triangular", {"extent": [3, 3]}),
    ("honeycomb", {"extent": [3, 2]}), ("kagome", {"extent": [2, 3]}), ("cubic", {"extent": [2, 2, 3]}),
]  # fmt: skip


def built(name: str, params: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    lattice = LATTICES.build(Spec(name=name, params=params))
    return lattice, json.loads(json.dumps(draw(lattice)))


def sent(figure: dict[str, Any]) -> dict[str, Any]:
    """As the browser gets it; NaN is no JSON."""
    return json.loads(json.dumps(figure, allow_nan=False))


def made(name: str, mean: Any, axis: Any = None, error: Any = None) -> Quantity:
    found = quantity(name, mean, np.full(np.shape(mean), 0.01) if error is None else error, axis, "step 3")
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "params"), SHAPES, ids=str)
def test_every_lattice_shows_its_structure_factor_and_bonds(name: str, params: dict[str, Any]) -> None:
    lattice, drawing = built(name, params)
    momenta = wave_vectors(lattice)
    factor = made("structure_factor", 1 + momenta[:, 0] ** 2, momenta)
    figure = sent(observables.figure([("run", 0, factor)], drawing))
    assert figure["data"]
    maps = [trace for trace in figure["data"] if trace["type"] == "heatmap"]
    assert bool(maps) == (len(drawing["extent"]) == 2)
    bonds = lattice.bonds()
    shown = sent(observables.figure([("run", 0, made("bond_energy", np.arange(len(bonds)) / 8, bonds))], drawing))
    words = [word for trace in shown["data"] for word in trace.get("text", [])]
    assert len(words) == len(bonds)
    assert any(word.startswith(f"sites {bonds[-1][0]}, {bonds[-1][1]}:") for word in words)


@pytest.mark.parametrize("open_axis", [False, True], ids=["periodic", "one axis open"])
def test_the_map_shows_each_momentum_at_its_place(open_axis: bool) -> None:
    lattice, drawing = built("square", {"extent": [4, 4], "periodic": [True, not open_axis]})
    momenta = wave_vectors(lattice)
    mark = int(np.argmin(np.linalg.norm(momenta - np.array([np.pi / 2, 0.0]), axis=1)))
    values = np.zeros(len(momenta))
    values[mark] = 1.0
    figure = sent(observables.figure([("run", 0, made("structure_factor", values, momenta))], drawing))
    (raster,) = [trace for trace in figure["data"] if trace["type"] == "heatmap"]
    z = np.array(raster["z"], float)
    y, x = np.nonzero(z > 0.5)
    found = np.stack([np.array(raster["x"])[x], np.array(raster["y"])[y]], axis=1)
    # S(-q) = S(q): where -q is another momentum of the grid, the later one counts
    near = np.abs(found) - np.array([np.pi / 2, 0.0])
    assert len(found) > 50
    assert np.all(np.abs(near) <= np.pi / 4 + 0.06)


def test_the_grid_finds_the_nearest_momentum_of_a_slanted_lattice() -> None:
    lattice, drawing = built("triangular", {"extent": [6, 6]})
    momenta, vectors = wave_vectors(lattice), np.array(drawing["reciprocal"])
    grid = MomentumGrid(vectors, np.array([6, 6]), momenta)
    points = np.random.default_rng(0).uniform(-3, 3, (200, 2))
    points = points[in_zone(points, vectors)]
    images = [np.array([a, b]) @ vectors for a in (-1, 0, 1) for b in (-1, 0, 1)]
    for point, index in zip(points, grid.nearest(points), strict=True):
        away = [min(np.linalg.norm(point - s * q - g) for g in images for s in (1, -1)) for q in momenta]
        assert away[index] <= min(away) + 1e-9


def test_bonds_around_the_border_leave_on_both_sides() -> None:
    _, drawing = built("square", {"extent": [4, 4]})
    sites = np.array(drawing["sites"])
    way = around(sites[0], sites[12], periods(drawing))
    assert way is not None
    np.testing.assert_allclose(way, [-1, 0], atol=1e-9)
    assert around(sites[0], sites[12], np.zeros((0, 2))) is None


def test_curves_have_error_bars_and_negative_values_are_told() -> None:
    q = made("correlation", [1.0, -0.5, 0.25], [0.0, 1.0, 2.0])
    (trace,) = sent(observables.figure([("run", 0, q)], {}))["data"]
    assert trace["error_y"]["array"] == [0.01, 0.01, 0.01]
    assert trace["y"] == [1.0, -0.5, 0.25]
    (trace,) = sent(observables.figure([("run", 0, q)], {}, log=True))["data"]
    assert trace["y"] == [1.0, 0.5, 0.25]
    assert trace["marker"]["symbol"] == ["circle", "circle-open", "circle"]


def test_the_diagonal_does_not_set_the_colours_of_a_map() -> None:
    figure = sent(observables.figure([("run", 0, made("correlation_map", [[1.0, -0.2], [-0.2, 1.0]]))], {}))
    assert (figure["data"][0]["zmin"], figure["data"][0]["zmax"]) == (-0.2, 0.2)


@pytest.mark.parametrize(
    ("mean", "axis", "kind"),
    [([1.0, 2.0], None, "curve"), ([1.0, 2.0], [0.5, 1.5], "curve"), ([[1.0, 2.0], [2.0, 1.0]], None, "map"),
     ([1.0, 2.0], [[0, 1], [1, 2]], "bonds"), ([1.0, 2.0], [[0.0, 0.1], [1.0, -2.0]], "structure"),
     ([1.0, 2.0], [[0.1, 0.0, 0.1], [1.0, 2.0, 3.0]], "structure")],
)  # fmt: skip
def test_unknown_arrays_are_drawn_by_their_shape(mean: Any, axis: Any, kind: str) -> None:
    q = made("something_new", mean, axis)
    assert q.kind == kind
    assert q.title == "Something new"
    assert sent(observables.figure([("run", 0, q)], {}))["data"]  # also without a lattice


def test_what_is_no_array_of_numbers_is_left_out() -> None:
    for mean in (1.5, "x", [], [["a"]], [[[1.0]]], None):
        assert quantity("x", mean) is None
    q = quantity("x", [1.0, 2.0], [0.1], [1.0])
    assert q is not None
    assert q.error is None
    assert q.axis is None
    missing = made("x", [1.0, float("nan")])
    assert sent(observables.figure([("run", 0, missing)], {}))["data"][0]["y"] == [1.0, None]


def test_what_one_looks_at_first_comes_first() -> None:
    assert in_order(["new", "bond_energy", "correlation"]) == ["correlation", "bond_energy", "new"]


ANSWER: dict[str, Any] = {
    "accepted": True, "reason": "", "energy": -8.0, "error": 0.04, "slope": 0.5, "n_points": 3,
    "points": [[1.0, -7.5, 0.1], [0.5, -7.75, 0.1], [0.2, -7.9, 0.1]],
}  # fmt: skip
RUN: Any = {"id": "r1", "name": "<b>", "n_sites": 4, "system_key": "k",
            "reference": {"energy": -8.02, "bound": "exact", "method": "closed form"}}  # fmt: skip


def test_the_line_goes_through_the_points_to_zero_variance() -> None:
    one = Extrapolated(RUN, 0, ANSWER)
    points, line, limit = sent(against_variance([one], "site"))["data"]
    assert points["x"] == [0.25, 0.125, 0.05]
    assert line["y"] == [-2.0, -2.0 + 0.5 * 0.25]  # the slope is the same per site
    assert limit["error_y"]["array"] == [0.01]
    assert "E/N → −2.000(10) at zero variance from 3 points, 0.5 σ above the reference" in plain_sentence(one, "site")
    assert "&lt;b&gt;" in sentences([one], "site")
    assert sent(against_variance([one], "total"))["data"][1]["y"] == [-8.0, -7.5]


def test_a_refusal_has_its_reason_and_no_line() -> None:
    refused = {**ANSWER, "accepted": False, "reason": "the variance hardly changes", "energy": None, "slope": None}
    one = Extrapolated(RUN, 0, refused)
    assert len(against_variance([one], "site")["data"]) == 1
    assert plain_sentence(one, "site").endswith("not extrapolated, the variance hardly changes")
    assert against_variance([Extrapolated(RUN, 0, {**refused, "points": []})], "site") == {}


def test_runs_of_another_system_are_not_drawn_over_each_other() -> None:
    other: Any = {**RUN, "id": "r2", "system_key": "other", "reference": None}
    figure = against_variance([Extrapolated(RUN, 0, ANSWER), Extrapolated(other, 1, ANSWER)], "site")
    assert len(figure["data"]) == 3
    assert len(sentences([Extrapolated(RUN, 0, ANSWER), Extrapolated(other, 1, ANSWER)], "site").split("</div>")) == 3


def metrics(seq: int, step: int, arrays: Any = None, **scalars: float) -> dict[str, Any]:
    return {"seq": seq, "kind": "metrics", "step": step, "phase": "train", "scalars": scalars, "arrays": arrays or {}}


class Api:
    """A scripted API with one run."""

    def __init__(self) -> None:
        self.run: dict[str, Any] = {
            "id": "r", "state": "running", "attempt": 1, "ended": None, "last_seq": 3, "n_steps": 100, "result": None,
            "config": {"lattice": {"name": "chain"}}, "measurements": [],
        }  # fmt: skip
        self.events = [
            metrics(1, 1, {"correlation": [1.0, 0.1], "correlation_error": [0.0, 0.1]}, energy=-1.0),
            metrics(2, 2, {"correlation": [1.0, 0.2], "correlation_error": [0.0, 0.1]}, magnetisation=0.3,
                    magnetisation_error=0.1, learning_rate=0.02, jsd_floor=0.005),
            metrics(3, 3, energy=-1.1),
        ]  # fmt: skip
        self.calls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.calls.append(path)
        if path.endswith("/events"):
            after = int(request.url.params["after"])
            found = [e for e in self.events if e["seq"] > after]
            return httpx.Response(200, json={"events": found, "last_seq": self.run["last_seq"]})
        answers: dict[str, Any] = {
            "/api/runs/r": self.run, "/api/lattice": {"n_sites": 2}, "/api/runs/m": {"id": "m", "step": 1, "n_steps": 4}
        }  # fmt: skip
        return httpx.Response(200, json=answers[path])


def result(samples: int, value: float) -> dict[str, Any]:
    entry = {"mean": [1.0, value], "error": [0.0, 0.01], "axis": [0.0, 1.0]}
    return {"n_samples_final": samples, "observables": {"correlation": entry, "magnetisation": {"mean": 0.1}}}


def test_newest_arrays_then_the_largest_measurement() -> None:
    api = Api()

    async def story() -> None:
        observed = Observed(Client("http://api", transport=httpx.MockTransport(api)))
        await observed.update(api.run)  # type: ignore[arg-type]
        found = observed.quantities("r")["correlation"]
        assert (found.mean[1], found.origin) == (0.2, "step 2")
        assert observed.scalars("r") == ["magnetisation", "learning_rate"]
        assert observed.latest("r", "jsd_floor") == 0.005
        api.run |= {"state": "done", "ended": 5.0, "result": result(100, 0.5)}
        await observed.update(api.run)  # type: ignore[arg-type]
        assert observed.quantities("r")["correlation"].mean[1] == 0.5
        again = {"id": "m", "state": "running", "n_samples": 400, "result": None}
        api.run["measurements"] = [again]
        observed.forget("r")
        await observed.update(api.run)  # type: ignore[arg-type]
        full = observed.known("r")
        assert full is not None
        assert [(m["step"], m["n_steps"]) for m in full.get("measurements", [])] == [(1, 4)]
        api.run["measurements"] = [{**again, "state": "done", "result": result(400, 0.6)}]
        await observed.update(api.run)  # type: ignore[arg-type] # asked again, as a measurement was going
        found = observed.quantities("r")["correlation"]
        assert (found.mean[1], found.origin) == (0.6, "measured again, 400 samples")
        before = len(api.calls)
        await observed.update(api.run)  # type: ignore[arg-type]
        assert len(api.calls) == before  # nothing is going: nothing is asked
        await observed.drawing(api.run)  # type: ignore[arg-type]
        await observed.drawing(api.run)  # type: ignore[arg-type]
        assert api.calls.count("/api/lattice") == 1

    finish(story())


def test_a_map_says_that_its_colours_leave_the_diagonal_out() -> None:
    found = quantity("correlation_map", np.eye(2).tolist(), origin="final measurement")
    assert found is not None
    assert found.note == "final measurement, diagonal = 1, clipped"


def test_undefined_errors_are_said_to_be() -> None:
    found = quantity("c", [[1.0, 2.0], [3.0, 4.0]], [["NaN", "NaN"], ["NaN", "NaN"]])
    assert found is not None
    assert found.note == "errors undefined"
    partly = quantity("c", [1.0, 2.0], ["NaN", 0.5])
    assert partly is not None
    assert partly.note == ""
