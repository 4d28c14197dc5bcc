"""A checkpoint gives the very same bits back, or says why it cannot."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import checkpoint


class State(NamedTuple):
    step: Any
    key: Any
    params: Any


def make(seed: int = 0, n: int = 3) -> State:
    params = {
        "real": jnp.linspace(0, 1, n, dtype=jnp.float32),
        "complex": jnp.asarray([1 + 2j, -0.0j]),
        "chains": jnp.ones((2, n), jnp.int8),
        "scalar": jnp.asarray(0.1),
        "empty": jnp.zeros((0, 2)),
        "nothing": (),
        "weak": jnp.full((3,), 0.5),
        "nan": jnp.asarray([jnp.nan, -0.0]),
    }
    return State(jnp.asarray(7), jax.random.key(seed), params)


def assert_same(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        assert x.weak_type == y.weak_type  # it decides the precision of what comes next
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def test_round_trip_keeps_every_bit(tmp_path: Path) -> None:
    state = make(seed=3)
    saved = checkpoint.save(tmp_path, state, 7, {"config": {"seed": 3}})
    found = checkpoint.latest(tmp_path, make(seed=0))
    assert (found.step, found.path, found.bad) == (7, saved.path, [])
    assert found.meta == {"config": {"seed": 3}, "step": 7}
    assert_same(found.state, state)
    assert jax.random.normal(found.state.key) == jax.random.normal(state.key)


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path / "missing", make()) == (None, 0, None, {}, [])


def test_the_newest_three_stay(tmp_path: Path) -> None:
    for step in (1, 20, 300, 4000):
        saved = checkpoint.save(tmp_path, make(), step, {})
    assert saved.kept == [p.name for p in checkpoint.files(tmp_path)]
    saved = checkpoint.save(tmp_path, make(), 2, {}, keep=1)  # the newest in time, not in step
    assert saved.kept == [p.name for p in checkpoint.files(tmp_path)] == ["step-000000000002.ckpt"]


def test_only_what_is_on_record_counts(tmp_path: Path) -> None:
    first, second, third = (checkpoint.save(tmp_path, make(seed=step), step, {}) for step in (1, 2, 3))
    record = {saved.path.name: saved.sha256 for saved in (first, second)}
    found = checkpoint.latest(tmp_path, make(), record)
    assert (found.step, found.bad) == (2, [(third.path, "it is not on record")])
    impostor = checkpoint.save(tmp_path, make(seed=9), 2, {})  # whole, and under the name of the recorded one
    assert checkpoint.latest(tmp_path, make()).step == 3
    found = checkpoint.latest(tmp_path, make(), record)
    assert found.step == 1
    assert found.bad[1] == (impostor.path, "it is not the one on record")
    assert_same(found.state, make(seed=1))
    assert checkpoint.latest(tmp_path, make(), {}).state is None


def test_the_newest_three_are_those_of_the_highest_steps(tmp_path: Path) -> None:
    for step in (1, 20, 300, 4000):
        checkpoint.save(tmp_path, make(), step, {})
    assert [int(p.stem.split("-")[1]) for p in checkpoint.files(tmp_path)] == [4000, 300, 20]
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "torn head"])
def test_a_damaged_file_gives_way_to_the_one_before(tmp_path: Path, damage: str) -> None:
    checkpoint.save(tmp_path, make(seed=1), 1, {})
    path = checkpoint.save(tmp_path, make(seed=2), 2, {}).path
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    content = {"truncated": raw[:-5], "flipped": raw, "empty": b"", "torn head": raw[:20]}[damage]
    path.write_bytes(content)
    found = checkpoint.latest(tmp_path, make())
    assert found.step == 1
    assert found.bad == [(path, "the file is damaged")]
    assert_same(found.state, make(seed=1))


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (make(n=4), "this run needs int8"),
        (make()._replace(params={}), "one of the two only"),
        (make()._replace(step=jnp.ones(1)), "step"),
    ],
)
def test_the_state_of_another_problem_is_refused(tmp_path: Path, other: State, reason: str) -> None:
    path = checkpoint.save(tmp_path, make(), 1, {}).path
    with pytest.raises(ValueError, match=reason):
        checkpoint.load(path, other)


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, make(seed=1), 1, {})

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(tmp_path, make(seed=2), 2, {})
    assert checkpoint.latest(tmp_path, make()).step == 1
    assert not list(tmp_path.glob("*.tmp"))
