"""`spinscope ising`: the classical Ising model on the command line, with the exact values beside what it measures."""

import argparse
import io
import math
import sys

import numpy as np
from tqdm import tqdm

from backend.cli import CommandError, check_writable, write
from nqs_core import classical
from nqs_core.classical import Counts, Estimate, Ising
from nqs_core.errors import ConfigError

MAX_SWEEPS = 10_000_000
MIN_WIDTH = 256  # pixels of the animation
MAX_FRAMES = 120
MAX_PIXELS = 2**26  # of all frames together
FRAME_MS = 60
PALETTE = [0x00, 0x72, 0xB2, 0xF2, 0xB0, 0x4C]  # down blue, up yellow, as on the page
DOUBT = 5.0  # standard errors from the exact energy that chance does not explain
SAME = 1e-3  # J a site, within which an energy that did not change is the exact one
ADVICE = "try more sweeps, another start, or wolff"


def command(args: argparse.Namespace) -> int:
    """Simulate, print, and write the animation.

    Raises:
        NQSError: an argument is out of range or the file cannot be written.
    """
    model = Ising(args.size, args.temperature, args.field)
    algorithm = classical.algorithm(args.algorithm, args.order)
    if not 1 <= args.sweeps <= MAX_SWEEPS:
        raise ConfigError(f"sweeps must be between 1 and {MAX_SWEEPS}; given: {args.sweeps}")
    if not 0 <= args.seed < 2**32:
        raise ConfigError(f"seed must be between 0 and {2**32 - 1}; given: {args.seed}")
    if args.algorithm == "kawasaki" and args.start == "up":
        raise ConfigError("kawasaki keeps the magnetisation, and with all spins up none can move; choose start random")
    check_writable(args.gif)
    rng = np.random.default_rng(args.seed)
    sigma = model.start(args.start, rng)
    film = Film(model.size, args.sweeps)
    if args.gif:
        film.offer(0, sigma)
    n_discarded = args.sweeps // 5
    energies, magnetisations, total = [], [], Counts()
    sweeps = classical.simulate(model, algorithm, sigma, rng, n_discarded, args.sweeps - n_discarded)
    for i, sweep in enumerate(tqdm(sweeps, total=args.sweeps, unit="sweep", disable=None, leave=False), 1):
        if args.gif:
            film.offer(i, sweep.sigma)
        if not sweep.equilibrating:
            energies.append(sweep.energy_per_site)
            magnetisations.append(sweep.magnetisation_per_site)
            total = total.plus(sweep.counts)
    head = f"2D Ising model, {model.size} x {model.size} sites, T = {model.temperature:g} J/k_B, h = {model.field:g} J"
    lines = [head, f"{args.algorithm}, {args.sweeps} sweeps from {args.start}, the first {n_discarded} not measured"]
    if args.algorithm == "metropolis" and args.order in ("sequential", "checkerboard"):
        lines.append(f"{args.order} order is right in equilibrium, but its kinetics after a quench is unphysical")
    lines += summary(model, np.array(energies), np.array(magnetisations), total, args.algorithm == "kawasaki")
    if args.gif:
        write(args.gif, film.gif())
        lines.append(f"{len(film.frames)} frames in {args.gif}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def summary(
    model: Ising, energies: np.ndarray, magnetisations: np.ndarray, counts: Counts, conserved: bool
) -> list[str]:
    """What was measured, and what is known exactly for this ensemble.

    Exact values exist without a field; `conserved`: the magnetisation is fixed, to which no closed form applies.
    """
    energy = classical.estimate(energies)
    known = model.field == 0 and not conserved
    exact = classical.kaufman_energy(model.size, model.temperature) if known else None
    lines = [_line("energy per site", energy, " J")]
    if conserved:
        lines.append(f"{'magnetisation per site':<26}{magnetisations[0]:.6f}   conserved")
    else:
        lines.append(_line("magnetisation per site", classical.estimate(magnetisations)))
        lines.append(_line("|magnetisation| per site", classical.estimate(np.abs(magnetisations))))
    if known:
        infinite = classical.onsager_energy(model.temperature)
        yang = classical.spontaneous_magnetisation(model.temperature)
        lines[0] += f"   exact {exact:.6f}, infinite lattice {infinite:.6f}"
        lines[1] += "   exact 0, by symmetry"
        lines[2] += f"   infinite lattice {yang:.6f}"
    tau = "undefined" if math.isnan(energy.tau) else f"{energy.tau:.2f} sweeps (energy)"
    lines.append(f"{'autocorrelation time':<26}{tau}")
    if counts.clusters:
        per_sweep = counts.clusters / len(energies)
        lines.append(f"{'mean cluster':<26}{counts.cluster_size:.1f} spins, {per_sweep:.1f} clusters a sweep")
    lines.append(f"{'acceptance':<26}{counts.acceptance:.4f}")
    lines += _doubts(energy, exact, None if conserved else model.ground_energy_per_site, len(energies), counts)
    return lines


def _line(name: str, value: Estimate, unit: str = "") -> str:
    error = "undefined" if math.isnan(value.error) else f"{value.error:.6f}"
    return f"{name:<26}{value.mean:.6f} ± {error}{unit}"


def _doubts(energy: Estimate, exact: float | None, lowest: float | None, n: int, counts: Counts) -> list[str]:
    """Say in a sentence why the averages of n sweeps are not to be trusted; energies are None where not known."""
    if energy.error > 0:
        apart = 0.0 if exact is None else abs(energy.mean - exact) / energy.error
        sentence = f"The energy is {apart:.1f} standard errors from the exact one: not yet in equilibrium; {ADVICE}."
        return [sentence] if apart > DOUBT else []
    if n < 2 and counts.accepted:
        return []
    what = "The energy never changed" if counts.accepted else "Nothing moved (acceptance 0)"
    right = lowest if exact is None else exact
    if right is None or abs(energy.mean - right) > SAME:
        return [f"{what}: stuck, or not yet in equilibrium, and no mean is to be trusted; {ADVICE}."]
    return [f"{what}: the energy is the {'lowest' if exact is None else 'exact'} one, but its error is undefined."]


class Film:
    """Configurations at equal distances in time, as an animated GIF with two colours."""

    def __init__(self, size: int, n_sweeps: int) -> None:
        self.scale = -(-MIN_WIDTH // size)
        n_frames = max(min(MAX_FRAMES, MAX_PIXELS // (size * self.scale) ** 2), 2)
        self.every = -(-n_sweeps // (n_frames - 1))
        self.frames: list[np.ndarray] = []

    def offer(self, sweep: int, sigma: np.ndarray) -> None:
        """Keep the configuration after `sweep` sweeps if it is its turn."""
        if sweep % self.every == 0:
            self.frames.append(sigma > 0)

    def gif(self) -> bytes:
        """The animation; every site is a square of `scale` pixels."""
        from PIL import Image

        def picture(frame: np.ndarray) -> Image.Image:
            pixels = frame.astype(np.uint8).repeat(self.scale, 0).repeat(self.scale, 1)
            image = Image.fromarray(pixels).convert("L")
            out = Image.frombytes("P", image.size, image.tobytes())
            out.putpalette(PALETTE)
            return out

        first, *rest = [picture(frame) for frame in self.frames]
        content = io.BytesIO()
        try:
            first.save(content, "GIF", save_all=True, append_images=rest, duration=FRAME_MS, loop=0, optimize=False)
        except (OSError, ValueError) as error:
            raise CommandError(f"cannot make the animation: {error}") from None
        return content.getvalue()
