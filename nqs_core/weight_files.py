"""Files of weights that others have published: tensors by name. Nothing in a file is ever executed."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nqs_core import pth
from nqs_core.errors import ConfigError

SUFFIXES = (".safetensors", ".pth")
MOST = 1000  # files of a list


class Tensor(NamedTuple):
    """A tensor of a file; `read` gives its numbers."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def find(folder: Path, name: str) -> Path:
    """The file `name` below `folder`.

    Raises:
        ConfigError: the name leads out of the folder, has another ending, or there is no such file.
    """
    where = "init_from.file"
    if not name.endswith(SUFFIXES):
        raise ConfigError(f"{where}: {name[:60]!r} does not end with {' or '.join(SUFFIXES)}")
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{where}: {name[:60]!r} is not below the folder {folder.name!r} of the data folder")
    try:
        there = path.is_file()
    except OSError:  # a name that is too long
        there = False
    if not there:
        raise ConfigError(f"{where}: there is no {name[:60]!r} in the folder {folder.name!r} of the data folder")
    return path


def listing(folder: Path) -> list[dict[str, Any]]:
    """Names below `folder` and sizes in bytes of the weights files there, by name."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    inside = [path for path in paths if path.resolve().is_relative_to(folder.resolve())]
    return [{"file": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size} for path in inside[:MOST]]


def sha256(path: Path) -> str:
    """The digest of a file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"init_from.file: {path.name} cannot be read: {error.strerror or error}") from None


@contextlib.contextmanager
def tensors(path: Path) -> Iterator[Mapping[str, Tensor]]:
    """The tensors of a file by name; their numbers can be read until the context ends.

    Raises:
        ConfigError: the file cannot be read, is damaged, or holds anything but tensors.
    """
    opened = _safetensors if path.suffix == ".safetensors" else _pth
    try:
        with opened(path) as content:
            yield content
    except OSError as error:
        raise ConfigError(f"init_from.file: {path.name} cannot be read: {error.strerror or error}") from None
    except (ValueError, MemoryError) as error:
        raise ConfigError(f"init_from.file: {path.name} cannot be used: {error}") from None


@contextlib.contextmanager
def _safetensors(path: Path) -> Iterator[Mapping[str, Tensor]]:
    import safetensors  # nobody needs it who starts from no file

    try:
        with safetensors.safe_open(path, "np") as file:

            def at(name: str) -> Tensor:
                return Tensor(tuple(file.get_slice(name).get_shape()), lambda: file.get_tensor(name))

            yield {name: at(name) for name in file.keys()}  # noqa: SIM118, which iterates by keys only
    except safetensors.SafetensorError as error:
        raise ValueError(f"it is no whole file of the format safetensors ({error})") from None


@contextlib.contextmanager
def _pth(path: Path) -> Iterator[Mapping[str, Tensor]]:
    with pth.opened(path) as content:
        yield {name: Tensor(stored.shape, stored.read) for name, stored in content.items()}
