"""What a run takes, by part: memory, floating-point operations of a step, and seconds on a device of nominal speed."""

import functools
import math
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Inexact

from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.memory import cache_bytes, shapes_of
from nqs_core.ansatze.operations import Effort, Operations, forward, local
from nqs_core.batching import MOST
from nqs_core.hamiltonians import Hamiltonian
from nqs_core.jacobian import bytes_of, real_size
from nqs_core.operators import LocalOperator, compile
from nqs_core.optimizers import Optimizer
from nqs_core.samplers import Sampler
from nqs_core.sector import Sector

PROBES = 64  # random configurations that are looked at
ROOM = 2**22  # matrix elements that they may have together
BLOCK = 100  # moves that a CPU evaluates together, where those that are forbidden are skipped


class Memory(NamedTuple):
    """Bytes beyond the 0.6 GB of a JAX process.

    parameters: with their update; samples: configurations and what is kept of each, the final measurement's energies
    included; caches: of the local updates; hamiltonian: its matrix elements; optimizer: workspace of an update.
    """

    parameters: int
    samples: int
    caches: int
    hamiltonian: int
    optimizer: int


class Work(NamedTuple):
    """Operations of a step."""

    sampling: Operations
    energies: Operations
    update: Operations

    @property
    def batch(self) -> Operations:
        """Of samples and their local energies, without the update."""
        return self.sampling.plus(self.energies)

    @property
    def step(self) -> Operations:
        """Of everything."""
        return self.batch.plus(self.update)


class Rates(NamedTuple):
    """Operations a second by kind, and seconds a call."""

    products: float
    elements: float
    special: float
    call: float


CPU = Rates(products=2e10, elements=4e9, special=1e9, call=8e-6)
GPU = Rates(products=1e13, elements=1e12, special=2e11, call=1e-5)


def rates(on_cpu: bool, precision: str) -> Rates:
    """Of a device of nominal speed."""
    nominal = CPU if on_cpu else GPU
    if precision != "float64":
        return nominal
    return Rates(nominal.products / 2, nominal.elements / 2, nominal.special / 2, nominal.call)


def n_params(ansatz: Ansatz) -> int:
    """Number of parameters; a complex one counts as two."""
    return sum(map(real_size, jax.tree.leaves(shapes_of(ansatz))))


def memory(hamiltonian: Hamiltonian, ansatz: Ansatz, sampler: Sampler, optimizer: Optimizer, measured: int) -> Memory:
    """Estimated memory of a run that measures `measured` samples at its end."""
    shapes, n = shapes_of(ansatz), sampler.n_samples
    return Memory(
        parameters=2 * bytes_of(shapes),
        samples=n * (2 * ansatz.lattice.n_sites + 64) + 32 * max(measured, n),
        caches=3 * n * cache_bytes(ansatz),
        hamiltonian=64 * len(operator(hamiltonian).moves),
        optimizer=optimizer.workspace(ansatz, shapes, n),
    )


@functools.lru_cache(maxsize=16)
def operator(hamiltonian: Hamiltonian) -> LocalOperator:
    """The Hamiltonian with concrete couplings, compiled once."""
    return compile(hamiltonian.terms(), hamiltonian.lattice.n_sites)


@functools.lru_cache(maxsize=16)
def elements(hamiltonian: Hamiltonian, sector: Sector) -> Inexact[np.ndarray, "n n_moves"]:
    """Off-diagonal elements ⟨σ|H|flip(σ, k)⟩ of a few random configurations; on no device, nothing is compiled."""
    found, random = operator(hamiltonian), np.random.default_rng(0)
    n = max(1, min(PROBES, ROOM // max(1, len(found.moves))))
    ordered = np.where(np.arange(sector.n_each) < (sector.n_up or 0), 1, -1).astype(np.int8)
    sigma = np.stack([random.permutation(ordered) for _ in range(n * sector.copies)]).reshape(n, sector.n_sites)
    if sector.n_up is None:
        sigma = random.choice(np.array([-1, 1], np.int8), sigma.shape)
    return found.elements(sigma)


def work(hamiltonian: Hamiltonian, ansatz: Ansatz, sampler: Sampler, optimizer: Optimizer) -> Work:
    """Of one step. Allowed moves: the mean over a few random configurations of the sector."""
    n, cost = sampler.n_samples, ansatz.local_updates().cost
    found = elements(hamiltonian, ansatz.sector)
    n_moves = found.shape[1]
    if cost.skips:
        n_moves = float(np.count_nonzero(found)) / len(found)
    rounds = n * n_moves / BLOCK if cost.skips else n_moves * math.ceil(n / MOST)
    return Work(
        sampling=_spent(ansatz, sampler.effort(cost)),
        energies=_spent(ansatz, Effort(caches=n, ratios=n * n_moves, rounds=rounds)),
        update=_spent(ansatz, optimizer.effort(ansatz, shapes_of(ansatz), n)),
    )


def _spent(ansatz: Ansatz, effort: Effort) -> Operations:
    network, updates = forward(ansatz), local(ansatz, move_size(ansatz))
    total = network.times(effort.forwards)
    for each, times in zip(updates, (effort.caches, effort.ratios, effort.advances), strict=True):
        total = total.plus(each.times(times))
    one = network if effort.forwards or ansatz.local_updates().cost.skips else updates.advance
    return total._replace(calls=effort.rounds * (one.calls + 1)).plus(effort.beside)


def move_size(ansatz: Ansatz) -> int:
    """Sites that a move of a sampler or of a common Hamiltonian flips: two where the sector fixes S^z."""
    return 1 if ansatz.sector.sz is None else 2


def seconds(operations: Operations, rates: Rates) -> float:
    """One kind after the other."""
    spent = (operations.products / rates.products, operations.elements / rates.elements)
    return sum(spent) + operations.special / rates.special + operations.calls * rates.call
