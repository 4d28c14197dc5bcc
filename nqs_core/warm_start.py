"""Warm starts: a run begins with the parameters of a trained network, or published weights, instead of random ones."""

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nqs_core import checkpoint, driver, weight_files
from nqs_core.ansatze import ANSATZE, Ansatz
from nqs_core.ansatze.published import Published
from nqs_core.config import RunConfig, parse
from nqs_core.driver import VMCState
from nqs_core.errors import ConfigError
from nqs_core.lattices import LATTICES
from nqs_core.problem import Problem
from nqs_core.sector import Sector
from nqs_core.types import Params

NAMED = 8  # tensors that a refusal names
PARAMS = ".params"  # where the parameters are in a state
ANY_SIZE = (
    "rescnn",
    "convnext",
    "gcnn",
    "dysonnet",
)  # networks whose parameters do not depend on the size of the lattice


class Trained(NamedTuple):
    """Parameters after `step` steps of a run of `config`, by the paths of their leaves."""

    params: Mapping[str, Any]  # arrays; shapes and types are enough for `check`
    config: RunConfig
    step: int


class Weights(NamedTuple):
    """A file of published weights, and the sha256 that it must have."""

    path: Path
    sha256: str | None = None


Source = Trained | Weights


def record(source: Source) -> dict[str, Any]:
    """What tells a source from others under the same name."""
    return {"sha256": source.sha256} if isinstance(source, Weights) else {"step": source.step}


def trained(problem: Problem, state: VMCState) -> Trained:
    """What another run can start from, of a state in memory."""
    assert problem.config is not None
    return Trained(_by_path(state.params), problem.config, int(state.step))


def read(path: Path, sha256: str | None = None) -> Trained:
    """What another run can start from, of a checkpoint or of a file of `write`.

    Raises:
        ConfigError: the file cannot be read, is damaged, is not the one with this `sha256`, or holds no network.
    """
    try:
        arrays, header = checkpoint.read(path, sha256)
        found = {name.removeprefix(PARAMS): a for name, a in arrays.items() if name.startswith(f"{PARAMS}[")}
        if not found:
            raise ValueError("it holds no parameters of a network")
        return Trained(found, parse(header["meta"]["config"]), int(header["meta"]["step"]))
    except OSError as error:
        raise ConfigError(f"init_from: {path.name} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, struct.error, ConfigError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise ConfigError(f"init_from: {path.name} cannot be used: {reason}") from None


def write(path: Path, trained: Trained, **about: Any) -> str:
    """Keep parameters, without the rest of their state, for a start; `about` goes along. Returns the sha256.

    Raises:
        OSError: nothing can be written there.
    """
    arrays = {PARAMS + name: np.asarray(leaf) for name, leaf in trained.params.items()}
    return checkpoint.write(
        path, arrays, {**about, "config": trained.config.model_dump(mode="json"), "step": trained.step}
    )


def start(problem: Problem, source: Source, seed: int) -> VMCState:
    """The state before the first step, with the parameters of a trained network or published weights.

    All else is as `driver.init` makes it: random numbers of `seed`, chains warmed up on these parameters, an optimizer
    that has seen nothing.

    Raises:
        ConfigError: the parameters are of another network.
    """
    return driver.init(problem, seed, parameters(problem, source, seed))


def parameters(problem: Problem, source: Source, seed: int = 0) -> Params:
    """The parameters in the structure and the precision of the network of `problem`.

    Those that published weights do not have are random numbers of `seed`.

    Raises:
        ConfigError: they are of another network; the first parameter that differs is named.
    """
    assert problem.config is not None
    if isinstance(source, Weights):
        return _published(problem, source, seed)
    trained = source
    check(problem.config, trained)
    leaves, structure = jax.tree_util.tree_flatten_with_path(_shapes(problem.ansatz))
    values = [jnp.asarray(trained.params[jax.tree_util.keystr(path)], leaf.dtype) for path, leaf in leaves]
    return jax.tree_util.tree_unflatten(structure, values)


def check(config: RunConfig, trained: Trained) -> None:
    """The parameters' paths and shapes must be those of the network of `config`, and mean the same there.

    Precision, sector, Hamiltonian and all else may differ.

    Raises:
        ConfigError: why the parameters do not fit, in one sentence.
    """
    name, other = config.ansatz.name, trained.config.ansatz.name
    if name != other:
        raise ConfigError(
            f"init_from: the run trained the network {other!r}, this one has {name!r}; parameters fit one kind only"
        )
    here = _network(config)
    try:
        there = _network(trained.config)
    except ConfigError as error:
        raise ConfigError(f"init_from: the run's configuration is no longer valid: {error}") from None
    if difference := _difference(trained.params, _by_path(_shapes(here))):
        raise ConfigError(f"init_from: {difference}; {_advice(name, here, there)}")
    if here.layout != there.layout:
        how = "have another meaning here"
        if here.lattice != there.lattice:
            how = f"are numbered by the displacements of {there.lattice!r}, not of {here.lattice!r}"
        raise ConfigError(f"init_from: the parameters of {name!r} {how}; {_advice(name, here, there)}")


def check_weights(config: RunConfig, path: Path) -> list[str]:
    """The names in a file of published weights that the network of `config` takes.

    Raises:
        ConfigError: the file cannot be read, or names and shapes of its tensors are not those of the network.
    """
    layout = _layout(config)
    with weight_files.tensors(path) as tensors:
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
    wrong = layout.differences(shapes)
    if wrong:
        more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise ConfigError(
            f"init_from.file: {path.name} does not fit this network {config.ansatz.name!r}: "
            f"{'; '.join(wrong[:NAMED])}{more}"
        )
    return layout.taken(shapes)


def takes_weights() -> list[str]:
    """The networks of which there are published weights."""
    return [name for name, cls in ANSATZE.items() if cls.takes_weights]


def _layout(config: RunConfig) -> Published:
    layout = _network(config).published()
    if layout is None:
        raise ConfigError(
            f"init_from.file: there are no published weights of the network {config.ansatz.name!r}; "
            f"networks with some: {', '.join(takes_weights())}"
        )
    return layout


def _published(problem: Problem, source: Weights, seed: int) -> Params:
    assert problem.config is not None
    names, layout = check_weights(problem.config, source.path), _layout(problem.config)
    if source.sha256 not in (None, weight_files.sha256(source.path)):
        raise ConfigError(f"init_from.file: {source.path.name} is not the file with the sha256 {source.sha256}")
    fresh = problem.ansatz.init(jax.random.split(jax.random.key(seed), 3)[1])  # as without the file
    with weight_files.tensors(source.path) as tensors:
        return layout.fill(fresh, {name: tensors[name].read() for name in names})


def _network(config: RunConfig) -> Ansatz:
    """The network of a run, before any projection."""
    lattice = LATTICES.build(config.lattice)
    sector = Sector(lattice.n_sites, config.sector.sz if config.sector else None)
    return ANSATZE.build(config.ansatz, lattice=lattice, sector=sector, precision=config.precision)


def _shapes(ansatz: Ansatz) -> Any:
    return jax.eval_shape(lambda: ansatz.init(jax.random.key(0)))


def _by_path(params: Any) -> dict[str, Any]:
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def _difference(given: Mapping[str, Any], needed: Mapping[str, Any]) -> str:
    """The first parameter that differs, in words; empty where none does."""
    for path, leaf in needed.items():
        if path not in given:
            return f"the parameter {_label(path)} is in this network only"
        if given[path].shape != leaf.shape:
            shapes = (_shape(given[path]), _shape(leaf))
            return f"the parameter {_label(path)} has shape {shapes[0]} in the run and {shapes[1]} here"
        is_complex = [jnp.issubdtype(x.dtype, jnp.complexfloating) for x in (given[path], leaf)]
        if is_complex == [True, False]:  # a real number is a complex one too
            return f"the parameter {_label(path)} is complex in the run and real here"
    for path in given:
        if path not in needed:
            return f"the parameter {_label(path)} is in the run's network only"
    return ""


def _advice(name: str, here: Ansatz, there: Ansatz) -> str:
    if here.lattice == there.lattice:
        return "the parameters of the ansatz must be those of the run"
    if name in ANY_SIZE:
        return f"{name!r} fits lattices of any size with the same axes, sites per cell and parameters of the ansatz"
    return f"networks that fit lattices of other sizes: {', '.join(ANY_SIZE)}"


def _label(path: str) -> str:
    """params/hidden/kernel is hidden/kernel."""
    return "/".join(re.findall(r"\['([^']*)'\]", path)).removeprefix("params/")


def _shape(leaf: Any) -> str:
    return " × ".join(map(str, leaf.shape)) or "of a number"
