"""A state on disk: one file, verified when read, replaced atomically. No pickle.

magic | sha256 of the rest | length of the header | header (JSON) | body (msgpack of {path of the leaf: array})
"""

import contextlib
import hashlib
import json
import os
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np

MAGIC = b"SPINCKP1"
_HEAD = len(MAGIC) + 32
_NAME = re.compile(r"step-(\d{12})\.ckpt")

State = TypeVar("State")


class Saved(NamedTuple):
    """A checkpoint on the disk; `kept` are the names of all that are left in the folder."""

    path: Path
    sha256: str
    kept: list[str]


class Loaded(NamedTuple):
    """The newest checkpoint that can be read; `bad` are the newer ones that cannot, with the reasons."""

    state: Any
    step: int
    path: Path | None
    meta: dict[str, Any]
    bad: list[tuple[Path, str]]


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _is_weak(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and not _is_key(leaf) and leaf.weak_type


def _flatten(state: Any) -> tuple[dict[str, Any], Any]:
    leaves, structure = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}, structure


def _to_numpy(leaf: Any) -> np.ndarray:
    # np.ascontiguousarray would turn a scalar into an array of one element.
    return np.array(jax.device_get(jax.random.key_data(leaf) if _is_key(leaf) else leaf), order="C")


def save(folder: Path, state: Any, step: int, meta: Mapping[str, Any], keep: int = 3) -> Saved:
    """Write `state` as the checkpoint of `step` and remove all but the `keep` newest.

    Raises:
        OSError: the disk is full, for example; the earlier checkpoints are untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:012d}.ckpt"
    digest = write_state(path, state, step, meta)
    others = [other for other in files(folder) if other != path]
    for old in others[keep - 1 :]:
        old.unlink(missing_ok=True)
    return Saved(path, digest, [path.name, *(other.name for other in others[: keep - 1])])


def write_state(path: Path, state: Any, step: int, meta: Mapping[str, Any]) -> str:
    """Write `state`, that of `step`, to a file of any name; its sha256.

    Raises:
        OSError: nothing can be written there; what was there is untouched.
    """
    leaves, _ = _flatten(state)
    weak = [name for name, leaf in leaves.items() if _is_weak(leaf)]
    return write(path, {name: _to_numpy(leaf) for name, leaf in leaves.items()}, {**meta, "step": step}, weak)


def write(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], weak: Sequence[str] = ()) -> str:
    """Write arrays under the paths of their leaves; `weak` are the weakly typed ones. Returns the sha256.

    Raises:
        OSError: nothing can be written there; what was there is untouched.
    """
    header = json.dumps({"meta": dict(meta), "weak": list(weak)}).encode()
    content = struct.pack("<I", len(header)) + header + flax.serialization.msgpack_serialize(dict(arrays))
    digest = hashlib.sha256(content)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(MAGIC + digest.digest())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync(path.parent)
    return digest.hexdigest()


def _sync(folder: Path) -> None:
    # Without this a power cut can take the new name back.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def files(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, newest first."""
    return sorted((p for p in folder.glob("step-*.ckpt") if _NAME.fullmatch(p.name)), reverse=True)


def step_of(path: Path) -> int:
    """The step of a checkpoint in a folder."""
    return int(path.stem.split("-")[1])


def load(path: Path, like: State, sha256: str | None = None) -> tuple[State, dict[str, Any]]:
    """The state in `path`, with the structure, shapes and types of `like`, and its header.

    Raises:
        ValueError: the file is damaged, is not the one with this `sha256`, or holds the state of another problem.
    """
    stored, header = read(path, sha256)
    leaves, structure = _flatten(like)
    if stored.keys() != leaves.keys():
        odd = sorted(stored.keys() ^ leaves.keys())
        raise ValueError(f"it holds another state: {odd[0]} is in one of the two only")
    restored = [_restore(name, stored[name], leaf, name in header["weak"]) for name, leaf in leaves.items()]
    return jax.tree_util.tree_unflatten(structure, restored), header["meta"]


def read(path: Path, sha256: str | None = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays in `path` by the paths of their leaves, and its header: `meta`, and `weak` names.

    Raises:
        ValueError: the file is damaged, or is not the one with this `sha256`.
    """
    raw = path.read_bytes()
    if raw[: len(MAGIC)] != MAGIC or hashlib.sha256(raw[_HEAD:]).digest() != raw[len(MAGIC) : _HEAD]:
        raise ValueError("the file is damaged")
    if sha256 is not None and raw[len(MAGIC) : _HEAD].hex() != sha256:
        raise ValueError("it is not the one on record")
    (length,) = struct.unpack_from("<I", raw, _HEAD)
    start = _HEAD + 4
    header = json.loads(raw[start : start + length])
    stored: dict[str, np.ndarray] = dict(flax.serialization.msgpack_restore(raw[start + length :]))  # type: ignore[arg-type]
    return stored, header


def _restore(name: str, stored: np.ndarray, leaf: Any, weak: bool) -> Any:
    expected = _to_numpy(leaf)
    if stored.shape != expected.shape or stored.dtype != expected.dtype:
        raise ValueError(f"{name} is {stored.dtype}{stored.shape}, this run needs {expected.dtype}{expected.shape}")
    if _is_key(leaf):
        return jax.random.wrap_key_data(jnp.array(stored), impl=jax.random.key_impl(leaf))
    if weak:
        # A weakly typed float64 times a float32 is a float32: without this a resumed run could round differently.
        zeros = jnp.full(stored.shape, stored.dtype.type(0).item())
        return zeros.at[...].set(stored) if zeros.dtype == stored.dtype else jnp.array(stored)
    return jnp.array(stored)


def latest(folder: Path, like: Any, among: Mapping[str, str] | None = None) -> Loaded:
    """The newest readable checkpoint in `folder`, of those in `among` (name: sha256); state None if there is none."""
    bad: list[tuple[Path, str]] = []
    for path in files(folder):
        if among is not None and path.name not in among:
            bad.append((path, "it is not on record"))
            continue
        try:
            state, meta = load(path, like, among[path.name] if among else None)
        except (OSError, ValueError, KeyError, struct.error) as error:
            bad.append((path, str(error)))
            continue
        return Loaded(state, step_of(path), path, meta, bad)
    return Loaded(None, 0, None, {}, bad)
