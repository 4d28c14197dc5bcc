"""Compiling and working are told apart."""

import time

import jax
import jax.numpy as jnp
import pytest

from nqs_core.stopwatch import Stopwatch, covered


def test_spans_that_lie_in_each_other_count_once_and_only_inside():
    assert covered([(1.0, 4.0), (2.0, 3.0), (3.5, 5.0)], 0.0, 10.0) == 4.0
    assert covered([(1.0, 4.0), (8.0, 12.0)], 2.0, 10.0) == 4.0
    assert covered([], 0.0, 1.0) == 0.0


def test_what_is_compiled_in_a_block_is_no_work_of_it():
    def slow(x):
        time.sleep(0.3)  # traced, not run
        return jnp.sin(x) @ x

    function = jax.jit(slow)
    x = jnp.ones((3, 3))
    with Stopwatch() as outer:
        with Stopwatch() as first:
            function(x).block_until_ready()
        with Stopwatch() as second:
            function(x).block_until_ready()
    assert first.compiling > 0.3
    assert second.compiling == 0.0
    assert second.working > 0.0
    assert outer.compiling == pytest.approx(first.compiling)


def test_a_block_that_fails_is_no_longer_watched():
    with pytest.raises(ZeroDivisionError), Stopwatch() as watch:
        _ = 1 / 0
    assert watch.working > 0.0
    jax.jit(lambda x: x + 1)(1.0)
    assert watch.compiling == 0.0
