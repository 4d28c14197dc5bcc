"""`spinscope ising` as a user meets it."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend import ising
from backend.cli import main
from nqs_core import classical
from nqs_core.classical import Counts, Ising
from tests.backend.test_cli import refused

NUMBER = r"(-?\d+\.\d+)"


def simulated(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    status = main(["ising", *map(str, args)])
    streams = capsys.readouterr()
    assert status == 0, streams.err
    return streams.out


def line(text: str, name: str) -> list[float]:
    """The numbers behind a name."""
    [found] = [x for x in text.splitlines() if x.startswith(name)]
    return [float(x) for x in re.findall(NUMBER, found)]


def test_prints_what_it_measured_and_what_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    out = simulated(capsys, "--size", 8, "--temperature", 3.0, "--sweeps", 400)
    energy, error, exact, infinite = line(out, "energy per site")
    assert exact == pytest.approx(classical.kaufman_energy(8, 3.0), abs=1e-6)
    assert infinite == pytest.approx(classical.onsager_energy(3.0), abs=1e-6)
    assert 0 < error < 0.1
    assert abs(energy - exact) < 4 * error
    m, m_error = line(out, "magnetisation per site")
    assert abs(m) < 4 * m_error
    assert 0 < line(out, "acceptance")[0] < 1
    assert "8 x 8" in out
    assert "cluster" not in out
    assert out == simulated(capsys, "--size", 8, "--temperature", 3.0, "--sweeps", 400)
    assert out != simulated(capsys, "--size", 8, "--temperature", 3.0, "--sweeps", 400, "--seed", 1)


def test_clusters_and_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--size", 8, "--temperature", 2.0, "--algorithm", "wolff", "--sweeps", 100, "--start", "up")
    out = simulated(capsys, *given)
    assert 1 < line(out, "mean cluster")[0] <= 64
    assert line(out, "|magnetisation| per site")[2] == pytest.approx(0.911319, abs=1e-6)
    out = simulated(capsys, *given, "--field", -0.5)
    assert line(out, "magnetisation per site")[0] < -0.8
    assert "exact" not in out
    assert "infinite" not in out


def test_conserved_magnetisation_has_no_exact_energy(capsys: pytest.CaptureFixture[str]) -> None:
    out = simulated(capsys, "--size", 6, "--temperature", 2.0, "--algorithm", "kawasaki", "--sweeps", 20)
    assert "conserved" in out
    assert "exact" not in out
    assert "±" not in next(x for x in out.splitlines() if x.startswith("magnetisation"))


def test_one_sweep_has_no_error_bar(capsys: pytest.CaptureFixture[str]) -> None:
    assert "± undefined" in simulated(capsys, "--size", 4, "--temperature", 2.0, "--sweeps", 1)


def test_what_never_moved_is_not_certain(capsys: pytest.CaptureFixture[str]) -> None:
    """Of quenches to T = 0.1 some end in the ground state and some in stripes; no spin of either moves again."""
    ends = set()
    for seed in range(6):
        out = simulated(capsys, "--size", 8, "--temperature", 0.1, "--sweeps", 60, "--seed", seed).splitlines()
        assert out[-2] == "acceptance                0.0000"
        assert out[-1].startswith("Nothing moved (acceptance 0)")
        energy = next(float(x.split()[3]) for x in out if x.startswith("energy per site"))
        assert ("no mean is to be trusted" in out[-1]) == (energy > -1.99)
        assert [x for x in out if "± undefined" in x] == [x for x in out if "±" in x]
        ends.add(energy)
    assert ends == {-2.0, -1.5}


def sentences(model: Ising, energy: float, counts: Counts, conserved: bool = False) -> list[str]:
    """What is said below the acceptance of a run whose energy was the same in all sweeps."""
    lines = ising.summary(model, np.full(48, energy), np.ones(48), counts, conserved)
    return lines[lines.index(next(x for x in lines if x.startswith("acceptance"))) + 1 :]


def test_an_energy_that_never_changed_is_right_or_remarked() -> None:
    frozen, moving = Counts(100, 0), Counts(100, 50)
    for counts, what in ((frozen, "Nothing moved (acceptance 0): "), (moving, "The energy never changed: ")):
        for model, energy, rest in (
            (Ising(8, 0.1), -2.0, "the energy is the exact one, but its error is undefined."),
            (Ising(8, 0.1), -1.75, "stuck, or not yet in equilibrium"),
            (Ising(8, 0.1, -0.5), -2.5, "the energy is the lowest one, but its error is undefined."),
            (Ising(2, 0.1, 0.5), -1.5, "the energy is the lowest one, but its error is undefined."),
            (Ising(8, 0.1, -0.5), -1.5, "stuck, or not yet in equilibrium"),
        ):
            [sentence] = sentences(model, energy, counts)
            assert sentence.startswith(what + rest)
        [sentence] = sentences(Ising(8, 0.1), -1.5, counts, conserved=True)
        assert sentence.startswith(what + "stuck")


def test_a_fixed_order_of_metropolis_is_unphysical(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--size", 8, "--temperature", 2.0, "--sweeps", 10)
    assert simulated(capsys, *given) == simulated(capsys, *given, "--order", "random")
    for algorithm, order, remarked in (
        ("metropolis", "random", False),
        ("metropolis", "sequential", True),
        ("metropolis", "checkerboard", True),
        ("heat_bath", "checkerboard", False),
    ):
        out = simulated(capsys, *given, "--algorithm", algorithm, "--order", order)
        assert (
            f"{order} order is right in equilibrium, but its kinetics after a quench is unphysical" in out
        ) == remarked


def test_an_energy_far_from_the_exact_one_is_remarked() -> None:
    model, rng = Ising(16, 2.0), np.random.default_rng(0)
    exact = classical.kaufman_energy(16, 2.0)
    for shift, remarked in ((0.1, True), (0.0, False)):
        energies = exact + shift + 0.05 * rng.normal(size=200)
        lines = ising.summary(model, energies, np.zeros(200), Counts(1, 1), conserved=False)
        assert any("not yet in equilibrium" in x for x in lines) == remarked


@pytest.mark.parametrize("size", [3, 64, 300])
def test_the_animation_shows_the_lattice(size: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.gif"
    out = simulated(capsys, "--size", size, "--temperature", 2.27, "--sweeps", 12, "--start", "up", "--gif", path)
    with Image.open(path) as film:
        assert film.format == "GIF"
        assert film.width == film.height >= 256
        assert film.width % size == 0
        frames = film.n_frames  # type: ignore[attr-defined]
        assert 2 <= frames <= 13
        colours = film.convert("RGB").getcolors()
        assert colours == [(film.width**2, (0xF2, 0xB0, 0x4C))]  # starts with all spins up
    assert f"13 frames in {path}" in out


def test_pixels_are_the_spins() -> None:
    film = ising.Film(64, 10)
    sigma = Ising(64, 2.0).start("random", np.random.default_rng(0))
    film.offer(0, sigma)
    with Image.open(io.BytesIO(film.gif())) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape == (256, 256, 3)
    assert np.array_equal(pixels[2::4, 2::4, 0] == 0xF2, sigma > 0)
    assert {tuple(c) for c in pixels.reshape(-1, 3)} == {(0xF2, 0xB0, 0x4C), (0x00, 0x72, 0xB2)}


@pytest.mark.parametrize(("size", "sweeps"), [(2, 10_000_000), (64, 5000), (2048, 500), (1000, 1)])
def test_an_animation_stays_small(size: int, sweeps: int) -> None:
    film = ising.Film(size, sweeps)
    n_frames = sweeps // film.every + 1
    assert 2 <= n_frames <= ising.MAX_FRAMES
    assert n_frames * (size * film.scale) ** 2 <= ising.MAX_PIXELS


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--size", 1], "size must be between 2 and 2048 sites; given: 1"),
        (["--size", 2049], "size must be between 2 and 2048 sites; given: 2049"),
        (["--temperature", -1], "temperature must be between 0.001 and 1e+06 J/k_B; given: -1"),
        (["--temperature", "nan"], "temperature must be between 0.001 and 1e+06 J/k_B; given: nan"),
        (["--field", "inf"], "field must be between -1000 and 1000 J; given: inf"),
        (["--sweeps", 0], "sweeps must be between 1 and 10000000; given: 0"),
        (["--seed", -1], "seed must be between 0 and 4294967295; given: -1"),
        (["--algorithm", "worm"], "unknown algorithm 'worm'; choose one of metropolis, heat_bath, wolff"),
        (["--order", "spiral"], "unknown order 'spiral'; choose one of random, sequential, checkerboard"),
        (["--algorithm", "wolff", "--order", "random"], "wolff does not go from site to site; order 'random' is for"),
        (["--start", "down"], "unknown start 'down'; choose random or up"),
        (["--algorithm", "kawasaki", "--start", "up"], "kawasaki keeps the magnetisation"),
        (
            ["--gif", "/no/such/folder/out.gif"],
            "cannot write /no/such/folder/out.gif: there is no folder /no/such/folder",
        ),
        (["--gif", "/"], "cannot write /: it is a folder"),
        (["--size", "many"], "argument --size: invalid int value: 'many'"),
    ],
)
def test_bad_input_is_one_sentence(given: list[object], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sentence in refused("ising", "--temperature", 2.0, *given, capsys=capsys)
