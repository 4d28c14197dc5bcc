"""How many configurations are evaluated at once: the only place that decides. Not needed to add a component."""

from collections.abc import Callable
from typing import Any

import jax

HELD_BYTES = 2**28  # that what is evaluated for many configurations together may take
GRADIENT_BYTES = 2**30  # that per-sample gradients may take: fewer passes are worth more memory
MOST = 4096  # configurations at once: more gain nothing on any device


def at_once(n: int, bytes_each: int, most: int | None = None) -> int:
    """How many of `n` configurations that take `bytes_each` go at once: at least 1, and at most `most` or MOST."""
    return max(1, min(n, most or MOST, HELD_BYTES // max(1, bytes_each)))


def in_blocks(function: Callable[..., Any], samples: Any, block: int) -> Any:
    """function(sample) of every sample, a pytree with a leading axis, `block` of them at once."""
    n = len(jax.tree.leaves(samples)[0])
    return jax.vmap(function)(samples) if n <= block else jax.lax.map(function, samples, batch_size=block)


def over_samples(function: Callable[..., Any], samples: Any, bytes_each: int) -> Any:
    """function(sample) of every sample, a pytree with a leading axis, as many at once as the memory allows.

    Args:
        function: of one sample, without a batch axis; what it gives does not depend on the size of the blocks.
        samples: a pytree of arrays whose first axis counts the samples.
        bytes_each: what `function` holds for one sample.
    """
    return in_blocks(function, samples, at_once(len(jax.tree.leaves(samples)[0]), bytes_each))
