"""PyTorch's files read as tensors only. A pickle in them may name two harmless builders and is refused otherwise.

A file is a ZIP archive of `NAME/data.pkl`, a pickled dict whose tensors refer to storages, and of `NAME/data/KEY`, the
numbers of a storage. PyTorch itself is not needed.
Source: the format of torch.save since version 1.6, and torch/_weights_only_unpickler.py for what is harmless.
"""

import collections
import contextlib
import io
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

PICKLE_BYTES = 2**26  # of names and shapes; the largest published model needs 0.2 MB
TYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
}


class Refused(pickle.UnpicklingError):
    """A pickle that names or makes anything but tensors."""


@dataclass(frozen=True)
class Storage:
    """A run of `size` numbers of one type under `key` in the archive."""

    key: str
    dtype: np.dtype
    size: int


@dataclass(frozen=True)
class Stored:
    """A tensor: `shape` and `strides`, in numbers, of a storage from `offset` on."""

    archive: zipfile.ZipFile
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self) -> np.ndarray:
        """The numbers.

        Raises:
            ValueError: the storage is damaged or too short for the tensor.
        """
        folder = _folder(self.archive)
        raw = _member(
            self.archive, f"{folder}/data/{self.storage.key}", self.storage.size * self.storage.dtype.itemsize
        )
        numbers = np.frombuffer(raw, self.storage.dtype)
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if 0 in self.shape:
            return np.zeros(self.shape, self.storage.dtype)
        if last >= len(numbers):
            raise ValueError("a tensor reaches beyond its storage")
        steps = [step * numbers.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, steps, writeable=False).copy()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Mapping[str, Stored]]:
    """The tensors of a file by name, as long as the context lasts.

    Raises:
        ValueError: it is no such archive, is damaged, or its pickle holds anything but a dict of tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield _tensors(archive)
    except zipfile.BadZipFile as error:
        raise ValueError(f"it is no ZIP archive as PyTorch has written since version 1.6 ({error})") from None


def _tensors(archive: zipfile.ZipFile) -> dict[str, Stored]:
    folder = _folder(archive)
    names = set(archive.namelist())
    if f"{folder}/byteorder" in names and _member(archive, f"{folder}/byteorder") != b"little":
        raise ValueError("its numbers are not little-endian")
    raw = _member(archive, f"{folder}/data.pkl")
    try:
        content = _TensorsOnly(archive, raw).load()
    except Refused as error:
        raise ValueError(f"its pickle holds more than tensors: {error}") from None
    except Exception as error:  # a broken pickle raises whatever its operations meet
        raise ValueError(f"its pickle is damaged ({type(error).__name__})") from None
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ValueError("its pickle is no dict of tensors by name")
    if other := [name for name, value in content.items() if not isinstance(value, Stored)]:
        raise ValueError(f"{other[0][:60]!r} in it is no tensor")
    return dict(content)


def _folder(archive: zipfile.ZipFile) -> str:
    folders = [name.removesuffix("/data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(folders) != 1:
        raise ValueError("there is not one data.pkl in its archive")
    return folders[0]


def _member(archive: zipfile.ZipFile, name: str, size: int | None = None) -> bytes:
    """The bytes of a member, of which there must be `size`; PyTorch compresses none, so that none can be a bomb."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ValueError(f"it lacks {name}") from None
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} in it is compressed")
    if info.file_size > PICKLE_BYTES if size is None else info.file_size != size:
        raise ValueError(f"{name} in it has {info.file_size} bytes")
    return archive.read(info)


class _TensorsOnly(pickle.Unpickler):
    """An unpickler to which three names mean something of our own, and all others are refused."""

    def __init__(self, archive: zipfile.ZipFile, raw: bytes) -> None:
        super().__init__(io.BytesIO(raw))
        self._archive = archive

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name in the pickle; nothing is ever imported."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._builder()
        if module == "torch" and name in TYPES:
            return np.dtype(TYPES[name])
        raise Refused(f"{module[:40]}.{name[:40]}")

    def persistent_load(self, pid: Any) -> Storage:
        """A storage by what the pickle says of it."""
        kind, dtype, key, _, size = pid
        named = isinstance(key, str) and key.isalnum()
        if kind != "storage" or not isinstance(dtype, np.dtype) or not named or type(size) is not int or size < 0:
            raise Refused("a reference to no storage")
        return Storage(key, dtype, size)

    def _builder(self) -> Any:
        archive = self._archive  # a new function every time: a pickle can set attributes of what it was given

        def build(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Stored:
            numbers = (offset, *shape, *strides)
            whole = all(type(n) is int and 0 <= n < 2**48 for n in numbers)
            if not isinstance(storage, Storage) or len(shape) != len(strides) or not whole:
                raise Refused("a tensor of no storage or of no shape")
            return Stored(archive, storage, offset, tuple(shape), tuple(strides))

        return build
