"""What a network is, and what a run of it takes: known before anything is launched."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from nqs_core import budget
from nqs_core.ansatze import Ansatz, Projected, taps
from nqs_core.ansatze.memory import shapes_of
from nqs_core.ansatze.operations import forward, local
from nqs_core.ansatze.representation import representation
from nqs_core.jacobian import real_size
from nqs_core.lattices import Lattice, symmetry
from nqs_core.problem import Problem, describe_update, fits, memory, work
from nqs_core.schedules import Schedule

CURVE_POINTS = 33


@dataclass(frozen=True)
class Group:
    """The parameters of layers of one kind."""

    name: str
    n_layers: int
    n_params: int


@dataclass(frozen=True)
class Card:
    """n_params: real numbers, a complex parameter counts two; groups: the same by kind of layer.

    receptive_field: cells along every axis that a unit before the sum over the lattice depends on, of `extent` cells;
    a network that sees all has both equal. amplitudes, symmetry, local_updates, update: in words.
    n_elements: of the group that the network is projected with, 1 without; n_forwards: evaluations of the network in
    one amplitude. memory: bytes by part. flops: real floating-point operations of a step by part.
    fits: for every sampler and optimizer why it cannot be combined with the rest, empty where it can.
    curves: parameters that change during the run, `family.parameter` -> values from the first step to the last.
    """

    n_sites: int
    n_params: int
    groups: tuple[Group, ...]
    extent: tuple[int, ...]
    receptive_field: tuple[int, ...]
    amplitudes: str
    symmetry: tuple[str, ...]
    n_elements: int
    n_forwards: int
    local_updates: str
    update: str
    memory: dict[str, int]
    flops: dict[str, float]
    fits: dict[str, dict[str, str]]
    curves: dict[str, list[float]]


def card(problem: Problem, memory_limit: int | None = None) -> Card:
    """The card of a configuration that has been built; evaluates a few matrix elements on the default device.

    Args:
        problem: from `problem.build`, whose configuration it holds.
        memory_limit: bytes that other samplers and optimizers may use, as in `problem.build`.
    """
    ansatz = problem.ansatz
    words, n_elements, n_forwards = _symmetry(problem)
    return Card(
        n_sites=problem.n_sites,
        n_params=budget.n_params(ansatz),
        groups=_groups(ansatz),
        extent=ansatz.lattice.extent,
        receptive_field=ansatz.receptive_field,
        amplitudes="signed or complex" if ansatz.signed else "positive",
        symmetry=words,
        n_elements=n_elements,
        n_forwards=n_forwards,
        local_updates=_local_updates(ansatz),
        update=describe_update(problem),
        memory=memory(problem)._asdict(),
        flops={name: part.total for name, part in work(problem)._asdict().items()},
        fits=fits(problem, memory_limit),
        curves=_curves(problem),
    )


def _curves(problem: Problem) -> dict[str, list[float]]:
    return {
        f"{family}.{field.name}": value.curve(CURVE_POINTS).tolist()
        for family in ("sampler", "optimizer")
        for field in dataclasses.fields(getattr(problem, family))
        if isinstance(value := getattr(getattr(problem, family), field.name), Schedule)
    }


def _groups(ansatz: Ansatz) -> tuple[Group, ...]:
    """Layers whose names differ by their number alone are of one kind."""
    sizes: dict[str, int] = {}
    layers: dict[str, set[str]] = {}
    for path, leaf in taps.leaves(shapes_of(ansatz)).items():
        layer = path.partition("/")[0]
        kind = taps.kind(layer)
        sizes[kind] = sizes.get(kind, 0) + real_size(leaf)
        layers.setdefault(kind, set()).add(layer)
    return tuple(Group(kind, len(layers[kind]), size) for kind, size in sizes.items())


def _local_updates(ansatz: Ansatz) -> str:
    ratio = local(ansatz, budget.move_size(ansatz)).ratio.total / forward(ansatz).total
    words = ansatz.local_updates().words
    return words if ratio == 1 else f"{words}, {ratio:.2g} of a forward pass a move"


def _symmetry(problem: Problem) -> tuple[tuple[str, ...], int, int]:
    """What leaves ψ as it is and what is projected on, in words; elements of that group; forwards of an amplitude."""
    ansatz, lattice = problem.ansatz, problem.hamiltonian.lattice
    network = ansatz.ansatz if isinstance(ansatz, Projected) else ansatz
    words = [*_translations(network, lattice)]
    if network.keeps_point_group:
        words.append(f"every operation of {symmetry.point_group(lattice).name} leaves ψ unchanged")
    sector: Any = problem.config.sector if problem.config else None
    if sector is None:
        return tuple(words), 1, 1
    if sector.sz is not None:
        words.append(f"total Sᶻ = {sector.sz:g}, by the choice of configurations")
    group = representation(lattice, sector, getattr(problem.hamiltonian, "marshall", False))
    if group is None:
        return tuple(words), 1, 1
    words.append(f"projected on {', '.join(_labels(sector, lattice))}")
    n_forwards = 1
    if isinstance(ansatz, Projected):
        n_forwards = int(np.count_nonzero(ansatz.symmetry.elements(network.steps).characters))
    return tuple(words), len(group.elements().characters), n_forwards


def _translations(network: Ansatz, lattice: Lattice) -> list[str]:
    periodic = [k for k, flag in enumerate(lattice.periodicity) if flag]
    if network.steps is None or not periodic:
        return []
    where = "" if len(periodic) == len(lattice.extent) else " along periodic axes"
    steps = [network.steps[k] for k in periodic]
    if set(steps) == {1}:
        return [f"every translation{where} leaves ψ unchanged"]
    return [f"translations by {' × '.join(map(str, steps))} cells{where} leave ψ unchanged"]


def _labels(sector: Any, lattice: Lattice) -> list[str]:
    out, k = [], sector.momentum
    if k is not None:
        out.append(f"momentum {k if isinstance(k, str) else '(' + ', '.join(map(str, k)) + ')'}")
    if sector.point_group is not None:
        group = symmetry.point_group(lattice, k)
        out.append(f"irrep {symmetry.resolve(group, sector.point_group)} of {group.name}")
    if sector.spin_flip is not None:
        out.append(f"spin flip {sector.spin_flip:+d}")
    return out
