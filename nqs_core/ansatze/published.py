"""Where the tensors of a published file go in the parameters of a network. Not needed to add a network."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from nqs_core.types import Params, Shapes

Shape = tuple[int, ...]


class Place(NamedTuple):
    """A leaf by its path, or one row of it where layers are stacked; `shape` is that of the tensor.

    transposed: the leaf is the transposed tensor.
    """

    path: tuple[str, ...]
    row: int | None
    shape: Shape
    transposed: bool = False


class Published(NamedTuple):
    """The layout of a published file: places of its tensors by name.

    Axes of length 1 do not count. `own`: tensors that go with the vocabulary, for which a network keeps its fresh ones
    where a file has others or none; `unused`: what a file may hold besides.
    """

    places: Mapping[str, Place]
    own: frozenset[str]
    unused: frozenset[str] = frozenset()

    def differences(self, tensors: Mapping[str, Shape]) -> list[str]:
        """What does not fit, a tensor each in words; empty where the file fits."""
        wrong = []
        for name, place in self.places.items():
            if name in self.own:
                continue
            if name not in tensors:
                wrong.append(f"{name} {_words(place.shape)} is not in the file")
            elif _squeezed(tensors[name]) != _squeezed(place.shape):
                wrong.append(f"{name} is {_words(tensors[name])} in the file and {_words(place.shape)} here")
        known = self.places.keys() | self.unused
        return wrong + [f"{name} {_words(tensors[name])} is in the file only" for name in tensors if name not in known]

    def taken(self, tensors: Mapping[str, Shape]) -> list[str]:
        """The names of the tensors that a file which fits gives to the network."""
        return [
            name
            for name, place in self.places.items()
            if name in tensors and _squeezed(tensors[name]) == _squeezed(place.shape)
        ]

    def fill(self, fresh: Params, tensors: Mapping[str, Any]) -> Params:
        """`fresh` with the tensors of a file that fits, in the types of `fresh`."""
        rows: dict[tuple[str, ...], dict[int | None, Any]] = {}
        for name in self.taken({name: tensor.shape for name, tensor in tensors.items()}):
            path, row, shape, transposed = self.places[name]
            tensor = np.asarray(tensors[name]).reshape(shape)
            rows.setdefault(path, {})[row] = tensor.T if transposed else tensor
        return {"params": _filled(fresh["params"], (), rows)}


def _filled(node: Any, path: tuple[str, ...], rows: Mapping[tuple[str, ...], dict[int | None, Any]]) -> Any:
    if isinstance(node, dict):
        return {name: _filled(value, (*path, name), rows) for name, value in node.items()}
    given = rows.get(path)
    if given is None:
        return node
    tensor = given[None] if None in given else np.stack([given[k] for k in sorted(given, key=lambda k: k or 0)])
    return jnp.asarray(tensor).astype(node.dtype)


def of_layers(shapes: Shapes, stacks: Mapping[str, int], prefix: str) -> dict[str, Place]:
    """Places by the paths of leaves joined by dots; in `stacks`, rows are layers, from the number given on."""
    places: dict[str, Place] = {}

    def walk(node: Any, path: tuple[str, ...]) -> None:
        if isinstance(node, dict):
            for name, value in node.items():
                walk(value, (*path, name))
        elif path[0] in stacks:
            for row in range(node.shape[0]):
                name = ".".join((prefix, str(row + stacks[path[0]]), *path[1:]))
                places[name] = Place(path, row, tuple(node.shape[1:]))
        else:
            places[".".join(path)] = Place(path, None, tuple(node.shape))

    walk(shapes["params"], ())
    return places


def _squeezed(shape: Shape) -> Shape:
    return tuple(n for n in shape if n != 1)


def _words(shape: Shape) -> str:
    return " × ".join(map(str, shape)) or "of a number"
