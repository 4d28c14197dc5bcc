"""A Hamiltonian's Pauli strings on the chain of a matrix product state: order, conserved charge, start, operators.

Couplings between all pairs, as of long-range models, share few channels from each site to the next.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nqs_core.errors import ConfigError
from nqs_core.lattices import Lattice
from nqs_core.operators import Terms
from nqs_core.reference.exact import Labels

_NAMES = {"X": "Sigmax", "Y": "Sigmay", "Z": "Sigmaz"}
MAX_CHANNELS = 16
_EXACT, _ROUGH = 1e-12, 1e-4  # singular values that are left out, relative to the largest coupling
_EXCHANGED = {"X": "Sigmaz", "Y": "Sigmay", "Z": "Sigmax"}  # turned by π about x + z; Y changes its sign
Start = list[Any]  # a state or two amplitudes for each site
Strings = dict[tuple[int, ...], dict[str, float]]  # Pauli letters and coefficients by positions in rising order


def order(lattice: Lattice, terms: Sequence[Terms]) -> np.ndarray:
    """order[k]: the site at position k. Row-major, with the axes in the order that puts fewest bonds across a cut."""
    n, extent = lattice.n_sites, lattice.extent
    if n % math.prod(extent):
        return np.arange(n)
    grid = np.arange(n).reshape(*extent, -1)
    pairs = np.concatenate(
        [np.zeros((0, 2), int), *(np.reshape(t.sites, (-1, 2)) for t in terms if len(t.operators) == 2)]
    )
    found = []
    for axes in itertools.permutations(range(len(extent))):
        order = grid.transpose(*axes, len(extent)).reshape(-1)
        ends = np.sort(np.argsort(order)[pairs], axis=1)
        change = np.bincount(ends[:, 0], minlength=n) - np.bincount(ends[:, 1], minlength=n)
        found.append((int(np.cumsum(change).max()), axes, order))
    return min(found, key=lambda f: f[:2])[2]


def strings(terms: Sequence[Terms], order: np.ndarray) -> Strings:
    position = np.argsort(order)
    found: Strings = {}
    for letters, sites, coefficient in terms:
        places = position[np.reshape(sites, (-1, len(letters)))]
        values = np.broadcast_to(np.asarray(coefficient, float), (len(places),))
        for place, value in zip(places.tolist(), values.tolist(), strict=True):
            where, what = zip(*sorted(zip(place, letters, strict=True)), strict=True)
            row = found.setdefault(where, {})
            row["".join(what)] = row.get("".join(what), 0.0) + value
    kept = {where: {p: c for p, c in row.items() if c} for where, row in found.items()}
    return {where: row for where, row in kept.items() if row}


def conserves_sz(strings: Strings) -> bool:
    """Whether the sum keeps total S^z: along z whatever it is, across it a (XX + YY) + b (XY - YX) for each pair."""
    for where, row in strings.items():
        if len(where) == 1 and set(row) - {"Z"}:
            return False
        if len(where) == 2:
            across = {letters: row.get(letters, 0.0) for letters in ("XX", "YY", "XY", "YX")}
            room = 1e-12 * max(abs(c) for c in across.values())
            mixed = set(row) - {"ZZ", *across}
            if mixed or abs(across["XX"] - across["YY"]) > room or abs(across["XY"] + across["YX"]) > room:
                return False
    return True


def conserved(strings: Strings, sz: float | None, ground_sz: float | None) -> str | None:
    """ "parity" (flip of all spins) where only σᶻσᶻ and σˣ occur: its ground sector is known; else "Sz" or None.

    S^z is kept where it is asked for (`sz`), or where a ground state has a known one; a ground state in a sector that
    nobody knows is looked for in the whole space.
    """
    used = {letters for row in strings.values() for letters in row}
    if sz is None and used <= {"ZZ", "X"}:
        return "parity"
    return "Sz" if (sz is not None or ground_sz is not None) and conserves_sz(strings) else None


def start(
    lattice: Lattice, order: np.ndarray, strings: Strings, charge: str | None, labels: Labels, ground_sz: float | None
) -> Start:
    """A product state in the sector, site by site; in the basis of x where z and x are exchanged."""
    n = lattice.n_sites
    if labels.momentum is not None or labels.point_group is not None:
        raise ConfigError(
            "DMRG knows no momentum and no point group: leave sector.momentum and sector.point_group away, or use "
            "exact diagonalisation"
        )
    if charge != "Sz":
        if labels.sz is not None:
            raise ConfigError(f"sector.sz = {labels.sz:g} needs a Hamiltonian that conserves S^z")
        if labels.spin_flip is not None and charge is None:
            raise ConfigError("sector.spin_flip: DMRG holds it only where the strings are ZZ and X")
        # Along the fields: the ground state is positive in the basis of z, hence in this sector.
        state: Start = ["down" if strings.get((k,), {}).get("X", 0.0) > 0 else "up" for k in range(n)]
        if labels.spin_flip is not None and (-1) ** state.count("down") != labels.spin_flip:
            state[n // 2] = "up" if state[n // 2] == "down" else "down"
        return state
    if labels.spin_flip is not None:
        raise ConfigError("sector.spin_flip: DMRG holds it only where the strings are ZZ and X")
    sz = ground_sz if labels.sz is None else labels.sz
    assert sz is not None
    colour = lattice.sublattice()
    up = (np.arange(n) % 2 if colour is None else np.asarray(colour)[order]) == 0
    surplus = int(up.sum()) - round(n / 2 + sz)
    middle_first = sorted(np.flatnonzero(up == (surplus > 0)).tolist(), key=lambda k: abs(k - n / 2))
    up[middle_first[: abs(surplus)]] = surplus < 0
    return ["up" if u else "down" for u in up]


def further_starts(n: int, strings: Strings, charge: str | None, first: Start) -> list[Any]:
    """Starts far from the first: a configuration that the terms along z like, and two drawn at random (fixed seeds).

    With a parity the first is the part {"cat": s_i along the couplings, "parity": ±1} of that configuration.
    """
    found: list[Any] = []
    if any(set(letters) == {"Z"} for row in strings.values() for letters in row):
        z = low_configuration(n, strings, first.count("up") if charge == "Sz" else None)
        if charge == "Sz":
            found.append(["up" if s > 0 else "down" for s in z])
        elif charge == "parity":
            found.append({"cat": z, "parity": (-1) ** first.count("down")})
        else:
            found.append([[math.sqrt(0.5), s * math.sqrt(0.5)] for s in z])
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        if charge == "Sz":
            found.append(rng.permutation(np.array(first)).tolist())
        elif charge == "parity":
            drawn = rng.choice(["up", "down"], n).tolist()
            if (drawn.count("down") - first.count("down")) % 2:
                drawn[0] = "up" if drawn[0] == "down" else "down"
            found.append(drawn)
        else:
            angles = rng.uniform(0, 2 * math.pi, n)
            found.append(np.stack([np.cos(angles), np.sin(angles)], axis=1).tolist())
    return found


def low_configuration(n: int, strings: Strings, n_up: int | None) -> list[int]:
    """s_i = ±1 from which no flip (with `n_up` up spins: no exchange) lowers the terms along z; the best of 16."""
    matrix, field = np.zeros((n, n)), np.zeros(n)
    for where, row in strings.items():
        if len(where) == 2:
            matrix[where] = matrix[where[::-1]] = row.get("ZZ", 0.0)
        else:
            field[where] = row.get("Z", 0.0)
    rng, best, lowest = np.random.default_rng(0), np.ones(n, int), math.inf
    for _ in range(16):
        ups = n_up if n_up is not None else int(rng.integers(n + 1))
        s = rng.permutation(np.where(np.arange(n) < ups, 1, -1))
        for _ in range(4 * n):
            flip = -2 * s * (matrix @ s + field)
            if n_up is None:
                moved = [int(flip.argmin())]
                change = flip[moved[0]]
            else:
                a, b = np.flatnonzero(s > 0), np.flatnonzero(s < 0)
                if not len(a) or not len(b):
                    break
                both = flip[a][:, None] + flip[b] - 4 * matrix[np.ix_(a, b)]
                i, j = np.unravel_index(int(both.argmin()), both.shape)
                moved, change = [int(a[i]), int(b[j])], both[i, j]
            if change >= -1e-12:
                break
            s[moved] *= -1
        energy = float(s @ matrix @ s / 2 + field @ s)
        if energy < lowest:
            best, lowest = s.copy(), energy
    return best.tolist()


def operators(strings: Strings, charge: str | None) -> tuple[list[list], list[list]]:
    """On-site terms [name, site, coefficient] and couplings [name, name, i, j, coefficient] as TeNPy names them.

    The coefficient of a coupling is a number, or its real and imaginary part.
    """
    onsite: list[list] = []
    couplings: list[list] = []
    for where, row in sorted(strings.items()):
        for letters, value in row.items():
            if charge == "Sz":
                if letters in ("XX", "XY"):  # a (XX + YY) + b (XY - YX) = 2 (a + i b) S⁺S⁻ + 2 (a - i b) S⁻S⁺
                    for first, second, sign in (("Sp", "Sm", 1), ("Sm", "Sp", -1)):
                        amplitude = [2 * value, 0.0] if letters == "XX" else [0.0, sign * 2 * value]
                        couplings.append([first, second, *where, amplitude])
                elif letters not in ("YY", "YX"):
                    names = [_NAMES[p] for p in letters]
                    (couplings if len(names) == 2 else onsite).append([*names, *where, value])
            else:
                sign = (-1) ** letters.count("Y")
                names = [_EXCHANGED[p] for p in letters]
                (couplings if len(names) == 2 else onsite).append([*names, *where, sign * value])
    return onsite, couplings


def mpo_dimension(n: int, couplings: Sequence[Sequence]) -> int:
    """2 and, across the widest cut, one for each left operator that waits for a partner."""
    last: dict[tuple[str, int], int] = {}
    for first, _, i, j, _ in couplings:
        last[first, i] = max(last.get((first, i), 0), j)
    change = np.zeros(n + 1, int)
    for (_, i), j in last.items():
        change[i] += 1
        change[j] -= 1
    return 2 + int(np.cumsum(change).max())


class Channels(NamedTuple):
    """Couplings V_ij = v_i W_i+1 ... W_j-1 u_j between sites i < j, in matrices of a few channels.

    last[j]: u_j, what each channel into site j ends with. onward[j]: W_j, from the channels into site j to those out
    of it, with v_j as a last row. error: largest difference from the couplings.
    """

    last: list[np.ndarray]
    onward: list[np.ndarray]
    error: float

    @property
    def dimension(self) -> int:
        """Of the MPO: the channels of the widest cut, and 2."""
        return 2 + max(w.shape[1] for w in self.onward)


def ising_couplings(n: int, strings: Strings) -> np.ndarray | None:
    """The upper triangle of V where σᶻσᶻ are the only couplings."""
    matrix = np.zeros((n, n))
    for where, row in strings.items():
        if len(where) == 2:
            if set(row) != {"ZZ"}:
                return None
            matrix[where] = row["ZZ"]
    return matrix


def compress(matrix: np.ndarray) -> Channels:
    """The fewest channels through each cut: the singular values of the block of V that couples its two sides.

    Exact to rounding with up to 16 channels (any couplings of 32 sites need no more); beyond, singular values below
    1e-4 of the largest coupling are left out. A ring with r^-α needs N / 2 channels for the last digit, because its
    couplings have a cusp at N / 2.
    """
    n, largest = len(matrix), float(np.abs(matrix).max())
    waiting, before = np.zeros((0, n)), np.zeros((0, 0))  # couplings to come, and of earlier sites, by channel
    last, onward = [], []
    error = 0.0
    for site in range(n):
        ends = waiting[:, 0]
        error = max(error, float(np.abs(before @ ends - matrix[:site, site]).max(initial=0.0)))
        last.append(ends)
        if site == n - 1:
            break
        stacked = np.concatenate([waiting[:, 1:], matrix[site : site + 1, site + 1 :]])
        left, values, right = np.linalg.svd(stacked, full_matrices=False)
        kept = int(np.count_nonzero(values > _EXACT * largest))
        if kept > MAX_CHANNELS:
            kept = max(MAX_CHANNELS, int(np.count_nonzero(values > _ROUGH * largest)))
        kept = max(kept, 1)
        step = left[:, :kept]
        onward.append(step)
        before = np.concatenate([before @ step[:-1], step[-1:]])
        waiting = values[:kept, None] * right[:kept]
    return Channels(last, onward, error)
