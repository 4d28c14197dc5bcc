"""The lowest energy of Hamiltonians whose strings are diagonal together: a minimum over configurations, exactly.

Spins are taken in one after another; of all configurations behind the frontier only the best for each configuration of
the frontier is kept (dynamic programming, the transfer matrix at zero temperature).
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import reverse_cuthill_mckee

from nqs_core.hamiltonians import Hamiltonian
from nqs_core.operators import Terms
from nqs_core.reference import dmrg_model
from nqs_core.reference.exact import Estimate, Labels, Tick

MAX_SITES = 1024
MAX_FRONTIER = 26  # spins
MAX_SECONDS = 600.0
_SECONDS = 1e-8  # for each entry that is written, on an ordinary core
_BYTES = 32.0  # for each entry of the widest table

Factors = Mapping[tuple[int, ...], float]  # coefficient of the product of ±1 on these sites, in rising order


class Plan(NamedTuple):
    """order[k]: the site that is taken in as k-th. entries: of the table after each; n_up: total of up spins, if held.

    flips: whether the flip of all spins keeps the energy, so that the first one may be held up.
    """

    factors: Factors
    order: list[int]
    entries: list[int]
    n_up: int | None
    flips: bool

    @property
    def estimate(self) -> Estimate:
        """What `minimum` takes."""
        largest, n = max(self.entries), len(self.order)
        seconds = 2e-5 * n + _SECONDS * sum(self.entries)
        return Estimate(largest, _BYTES * largest, seconds, f"{n} classical spins")


def plan(hamiltonian: Hamiltonian, labels: Labels) -> Plan | None:
    """How to find the lowest energy; None where H is not diagonal, is too wide, or a label is none of S^z and flip."""
    n = hamiltonian.lattice.n_sites
    if n > MAX_SITES or labels.momentum is not None or labels.point_group is not None:
        return None
    terms = hamiltonian.terms()
    if sum(len(np.reshape(sites, (-1, len(p)))) for p, sites, _ in terms if len(p) == 2) > 3 * n * MAX_FRONTIER:
        return None
    found = factors(terms, n)
    if found is None:
        return None
    values, only_z = found
    if max(map(len, values), default=0) > MAX_FRONTIER:
        return None
    flips = all(len(sites) % 2 == 0 for sites in values)
    if (labels.sz is not None and not only_z) or (labels.spin_flip is not None and not (only_z and flips)):
        return None
    if labels.spin_flip is not None and labels.sz:
        return None
    n_up = None if labels.sz is None else round(n / 2 + labels.sz)
    flips = flips and n_up is None
    candidates = [list(range(n)), dmrg_model.order(hamiltonian.lattice, terms).tolist(), _banded(n, values)]
    sized = [(_entries(n, values, order, n_up, flips), order) for order in candidates]
    entries, order = min(sized, key=lambda pair: (max(pair[0]), sum(pair[0])))
    if max(entries) > 2**MAX_FRONTIER or _SECONDS * sum(entries) > MAX_SECONDS:
        return None
    return Plan(values, order, entries, n_up, flips)


def factors(terms: Sequence[Terms], n: int) -> tuple[Factors, bool] | None:
    """Coefficients by sites where each site has the same letter in all strings, and whether that is Z everywhere.

    A turn of each spin then makes H diagonal. Strings that cancel do not count.
    """
    sums: dict[tuple[tuple[int, str], ...], float] = {}
    for letters, sites, coefficient in terms:
        rows = np.reshape(sites, (-1, len(letters))).tolist()
        for row, value in zip(rows, np.broadcast_to(np.asarray(coefficient, float), (len(rows),)), strict=True):
            if value:
                string = tuple(sorted(zip(row, letters, strict=True)))
                sums[string] = sums.get(string, 0.0) + float(value)
    kept = {string: value for string, value in sums.items() if value}
    letter = [""] * n
    for site, name in itertools.chain.from_iterable(kept):
        if letter[site] not in ("", name):
            return None
        letter[site] = name
    values = {tuple(site for site, _ in string): value for string, value in kept.items()}
    return values, set(letter) <= {"", "Z"}


def _banded(n: int, values: Factors) -> list[int]:
    pairs = [(sites[0], other) for sites in values for other in sites[1:]]
    if not pairs:
        return list(range(n))
    i, j = np.array(pairs).T
    graph = scipy.sparse.csr_matrix((np.ones(2 * len(i)), (np.append(i, j), np.append(j, i))), shape=(n, n))
    return reverse_cuthill_mckee(graph, symmetric_mode=True).tolist()


def _last_use(n: int, values: Factors, order: list[int]) -> tuple[list[int], list[list[tuple[int, ...]]]]:
    """By site: when its last string is complete; by step: the strings that its site completes."""
    position = {site: k for k, site in enumerate(order)}
    last, complete = [position[site] for site in range(n)], [[] for _ in range(n)]
    for sites in values:
        when = max(position[site] for site in sites)
        complete[when].append(sites)
        for site in sites:
            last[site] = max(last[site], when)
    return last, complete


def _entries(n: int, values: Factors, order: list[int], n_up: int | None, flips: bool) -> list[int]:
    last, _ = _last_use(n, values, order)
    opened, found = 0, []
    closing = np.bincount(last, minlength=n).tolist()
    for step in range(n):
        opened += 1
        held = flips and last[order[0]] >= step
        counts = 1 if n_up is None else min(step + 1, n_up) + 1
        found.append(2 ** (opened - held) * counts)
        opened -= closing[step]
    return found


def minimum(plan: Plan, tick: Tick | None = None) -> float:
    """min over s of Σ c Π s_i, with `n_up` of the s_i = 1 where that is held.

    The table has an axis for each spin of the frontier (up first) and a last one for the number of up spins so far.
    """
    n = len(plan.order)
    last, complete = _last_use(n, plan.factors, plan.order)
    table, frontier = np.zeros(1), []
    for step, site in enumerate(plan.order):
        if tick:
            tick()
        axes = {other: k for k, other in enumerate(frontier)}
        field = np.zeros((1,) * (len(frontier) + 1))
        for sites in complete[step]:
            sign = np.full((1,) * (len(frontier) + 1), plan.factors[sites])
            for other in sites:
                if other != site:
                    k = axes[other]
                    shape = [1] * (len(frontier) + 1)
                    shape[k] = table.shape[k]
                    sign = sign * np.array([1.0, -1.0])[: table.shape[k]].reshape(shape)
            field = field + sign
        table = _with_spin(table, field, plan, step)
        frontier.append(site)
        for other in [other for other in frontier if last[other] == step]:
            table = table.min(axis=frontier.index(other))
            frontier.remove(other)
    return float(table[-1])


def _with_spin(table: np.ndarray, field: np.ndarray, plan: Plan, step: int) -> np.ndarray:
    """Take in one spin, up with energy +field, down with -field."""
    if plan.n_up is None:
        both = [table + field] if plan.flips and step == 0 else [table + field, table - field]
        return np.stack(both, axis=-2)
    # One more up spin is one further along the last axis; more than `n_up` are dropped.
    counts = min(step + 1, plan.n_up) + 1
    shape = np.broadcast_shapes(table.shape, field.shape)[:-1]
    up, down = (np.full((*shape, counts), np.inf) for _ in range(2))
    up[..., 1:] = (table + field)[..., : counts - 1]
    down[..., : table.shape[-1]] = table - field
    return np.stack([up, down], axis=-2)
