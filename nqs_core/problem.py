"""A run configuration with its names resolved and its parts checked against each other."""

import os
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from nqs_core import budget
from nqs_core.ansatze import ANSATZE, Ansatz, SequentialAnsatz, check_precision
from nqs_core.ansatze.memory import shapes_of
from nqs_core.ansatze.projected import Projected, project
from nqs_core.config import RunConfig, Spec
from nqs_core.conserved import check_labels, check_sz
from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.hamiltonians import HAMILTONIANS, Hamiltonian
from nqs_core.jacobian import bytes_of
from nqs_core.lattices import LATTICES, Lattice
from nqs_core.observables import OBSERVABLES, Observable
from nqs_core.operators import flip_energy, is_flip_invariant, spectrum
from nqs_core.optimizers import OPTIMIZERS, Optimizer
from nqs_core.samplers import SAMPLERS, Sampler
from nqs_core.sector import Sector
from nqs_core.several import several_states

MAX_SITES = 2**17  # of a run: on more of them the plan alone takes seconds
LABELS = ("momentum", "point_group", "spin_flip")  # what a network gets by projection


@dataclass(frozen=True)
class Problem:
    """What the driver needs, and nothing else. A pytree: couplings and rates are traced, so a sweep compiles once."""

    hamiltonian: Hamiltonian
    ansatz: Ansatz
    sampler: Sampler
    optimizer: Optimizer
    observables: tuple[Observable, ...]
    config: RunConfig | None = None

    @property
    def n_sites(self) -> int:
        """Number of spins, of all copies where several states are optimised together."""
        return self.hamiltonian.lattice.n_sites

    @property
    def n_states(self) -> int:
        """Number of states that are optimised together."""
        return self.sector.copies

    @property
    def spectrum(self) -> tuple[float, float]:
        """Bounds of every energy; for concrete couplings."""
        return spectrum(self.hamiltonian.terms())

    @property
    def sector(self) -> Sector:
        """The subspace of the run."""
        return self.ansatz.sector


jax.tree_util.register_dataclass(
    Problem,
    data_fields=["hamiltonian", "ansatz", "sampler", "optimizer", "observables"],
    meta_fields=[],
    drop_fields=["config"],  # everything that matters to a compiled step is in the components
)


def with_defaults(config: RunConfig) -> RunConfig:
    """`config` with sampler, optimizer, observables and every parameter spelled out.

    The default observables are those that exist on the system and are cheap at its size.

    Raises:
        ConfigError: an unknown name or parameter.
    """
    autoregressive = issubclass(ANSATZE[config.ansatz.name], SequentialAnsatz)
    direct = autoregressive and not has_labels(config)
    sampler = config.sampler or Spec(name="autoregressive" if direct else "metropolis")
    optimizer = config.optimizer or Spec(name="adam" if autoregressive else "minsr")
    families = (
        ("lattice", LATTICES, config.lattice),
        ("hamiltonian", HAMILTONIANS, config.hamiltonian),
        ("ansatz", ANSATZE, config.ansatz),
        ("sampler", SAMPLERS, sampler),
        ("optimizer", OPTIMIZERS, optimizer),
    )
    specs = {family: Spec(name=s.name, params=registry.params(s)) for family, registry, s in families}
    names = _all_that_apply(config) if config.observables is None else config.observables
    for name in names:
        OBSERVABLES[name]
    return config.model_copy(update={**specs, "observables": names})


def has_labels(config: RunConfig) -> bool:
    """Whether the network is to be projected on a symmetry."""
    return config.sector is not None and any(getattr(config.sector, name) is not None for name in LABELS)


def _all_that_apply(config: RunConfig) -> list[str]:
    lattice = _lattice(config)
    hamiltonian = HAMILTONIANS.build(config.hamiltonian, lattice=lattice)
    return [
        name
        for name, cls in OBSERVABLES.items()
        if lattice.n_sites <= cls.default_sites
        and not cls.unavailable(lattice, hamiltonian)
        and (config.n_states == 1 or cls.copies == 1)
    ]


def build(config: RunConfig, memory_limit: int | None = None) -> Problem:
    """Resolve every name in `config`; shapes only, nothing large is allocated.

    Args:
        config: the configuration.
        memory_limit: bytes that the run may use; by default four fifths of this machine's memory.

    Raises:
        ConfigError: an unknown name or value, or parts that do not fit together.
        TooLargeError: more than 2^17 sites, or the run would need more memory than the limit.
    """
    config = with_defaults(config)
    assert config.sampler is not None
    assert config.optimizer is not None
    assert config.observables is not None
    lattice = _lattice(config)
    limit = _limit(memory_limit)
    sector = Sector(lattice.n_sites, config.sector.sz if config.sector else None)
    check_precision(config)
    ansatz = ANSATZE.build(config.ansatz, lattice=lattice, sector=sector, precision=config.precision)
    _hold(shapes_of(ansatz), lattice, limit)
    hamiltonian = HAMILTONIANS.build(config.hamiltonian, lattice=lattice)
    check_sz(config, hamiltonian)
    if has_labels(config):
        check_labels(config, hamiltonian)
        ansatz = project(ansatz, lattice, config.sector, getattr(hamiltonian, "marshall", False))
    observables = tuple(_observable(n, hamiltonian, sector) for n in config.observables)
    if config.n_states > 1:
        hamiltonian, ansatz, observables = several_states(config.n_states, hamiltonian, ansatz, observables)
    return _complete(config, hamiltonian, ansatz, observables, limit)


def _lattice(config: RunConfig) -> Lattice:
    """Raises:
    TooLargeError: more sites than runs are offered for.
    """
    lattice = LATTICES.build(config.lattice)
    if lattice.n_sites > MAX_SITES:
        sites = f"lattice {config.lattice.name!r} has {lattice.n_sites} sites"
        raise TooLargeError(f"{sites}; runs are offered for up to {MAX_SITES} sites")
    return lattice


def _limit(memory_limit: int | None) -> int:
    return memory_limit or int(0.8 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _complete(
    config: RunConfig, hamiltonian: Hamiltonian, ansatz: Ansatz, observables: tuple[Observable, ...], limit: int
) -> Problem:
    """With the sampler and the optimizer of `config`.

    Raises:
        ConfigError: one of them does not fit.
        TooLargeError: together they need more memory than the limit.
    """
    assert config.sampler is not None
    assert config.optimizer is not None
    sampler = SAMPLERS.build(
        config.sampler,
        lattice=hamiltonian.lattice,
        sector=ansatz.sector,
        flip_invariant=is_flip_invariant(hamiltonian.terms()),
    )
    if reason := sampler.refuses(ansatz):
        raise ConfigError(reason)
    problem = Problem(
        hamiltonian=hamiltonian,
        ansatz=ansatz,
        sampler=sampler,
        optimizer=OPTIMIZERS.build(config.optimizer, **_scales(config, hamiltonian)),
        observables=observables,
        config=config,
    )
    if (need := memory_bytes(problem)) > limit:
        raise TooLargeError(
            f"the run needs about {need / 1e9:.3g} GB (limit {limit / 1e9:.3g} GB); "
            "fewer samples, a smaller network or a smaller lattice need less"
        )
    return problem


def _scales(config: RunConfig, hamiltonian: Hamiltonian) -> dict[str, float]:
    """What rates and bounds are measured by."""
    terms = hamiltonian.terms()
    lowest, highest = spectrum(terms)
    flip = flip_energy(terms, hamiltonian.lattice.n_sites) or 1.0  # of H = 0 any
    return {"n_steps": float(config.n_steps), "flip_energy": flip, "lowest": lowest, "highest": highest}


def fits(problem: Problem, memory_limit: int | None = None) -> dict[str, dict[str, str]]:
    """For every sampler and optimizer, with its default parameters, why it does not fit the rest; empty where it does.

    By the checks of `build`.
    """
    config, limit = problem.config, _limit(memory_limit)
    assert config is not None
    rest = (problem.hamiltonian, problem.ansatz, problem.observables, limit)
    found: dict[str, dict[str, str]] = {}
    for family, registry in (("sampler", SAMPLERS), ("optimizer", OPTIMIZERS)):
        found[family] = dict.fromkeys(registry, "")
        for name in registry:
            if name == getattr(config, family).name:
                continue
            try:
                _complete(config.model_copy(update={family: Spec(name=name)}), *rest)
            except (ConfigError, TooLargeError) as error:
                found[family][name] = str(error)
    return found


def memory(problem: Problem) -> budget.Memory:
    """Estimated memory of a run, by part."""
    measured = problem.config.measure if problem.config else 0
    return budget.memory(problem.hamiltonian, problem.ansatz, problem.sampler, problem.optimizer, measured)


def work(problem: Problem) -> budget.Work:
    """Operations of a step; evaluates a few matrix elements on the default device."""
    return budget.work(problem.hamiltonian, problem.ansatz, problem.sampler, problem.optimizer)


def memory_bytes(problem: Problem) -> int:
    """Estimated memory of a run beyond the 0.6 GB of a JAX process: the sum of its parts."""
    return sum(memory(problem))


def describe_update(problem: Problem) -> str:
    """How the optimizer gets its derivatives for these shapes, in words."""
    shapes = shapes_of(problem.ansatz)
    return problem.optimizer.describe(problem.ansatz, shapes, problem.sampler.n_samples)


def warnings(problem: Problem) -> list[str]:
    """What is allowed but probably not meant; evaluates a few matrix elements on the default device."""
    out = []
    network = problem.ansatz.ansatz if isinstance(problem.ansatz, Projected) else problem.ansatz
    if not network.signed:  # the characters of a projection alone do not make the signs of a ground state
        elements = budget.elements(problem.hamiltonian, problem.sector)
        if elements.size and float(np.max(np.maximum(np.real(elements), np.abs(np.imag(elements))))) > 1e-12:
            out.append(
                "The ansatz is positive, but the Hamiltonian has positive or complex off-diagonal elements in this "
                "basis: the ground state may change sign and be out of reach. Use a complex ansatz, or the Marshall "
                "rotation on a bipartite lattice."
            )
    return out + problem.optimizer.doubts(flip_energy(problem.hamiltonian.terms(), problem.n_sites))


def _observable(name: str, hamiltonian: Hamiltonian, sector: Sector) -> Observable:
    lattice = hamiltonian.lattice
    observable = OBSERVABLES.build(Spec(name=name), lattice=lattice, hamiltonian=hamiltonian, sector=sector)
    if reason := observable.unavailable(lattice, hamiltonian):
        raise ConfigError(f"observable {name!r} is not available here: {reason}")
    return observable


def _hold(shapes: Any, lattice: Lattice, limit: int) -> None:
    need = 2 * bytes_of(shapes)
    if need > limit:
        raise TooLargeError(
            f"{lattice.n_sites} sites: the parameters and their update alone need {need / 1e9:.3g} GB "
            f"(limit {limit / 1e9:.3g} GB)"
        )
