"""Values that change during a run: rates and shifts as functions of the steps done. Add a class, and a line below."""

from abc import ABC, abstractmethod
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from nqs_core.registry import Registry, component, context, param
from nqs_core.types import Coupling

SCALED = "Values are in units of 1 / (what turning one spin costs), so that they fit every system."


class Schedule(ABC):
    """A value v(t), t = n / (n_steps - 1) from 0 at the first step to 1 at the last; `@component`.

    n_steps and flip_energy are filled by `build`, and traced: neither compiles anew. Where `scaled`, v is divided by
    flip_energy, what turning one spin costs at most.
    """

    scaled: bool
    n_steps: Coupling
    flip_energy: Coupling

    @abstractmethod
    def shape(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """v(t) before it is scaled."""

    def at(self, n: Any) -> Float[Array, ""]:
        """The value after `n` steps; `n` need not be whole."""
        last = jnp.maximum(jnp.asarray(self.n_steps, jnp.float64) - 1, 1)
        return self._scale(self.shape(jnp.clip(jnp.asarray(n, jnp.float64) / last, 0, 1)))

    def curve(self, n_points: int) -> Float[Array, " n_points"]:
        """The values at this many times, the first and the last step among them."""
        return self._scale(self.shape(jnp.linspace(0.0, 1.0, n_points)))

    def _scale(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        return value / jnp.maximum(jnp.asarray(self.flip_energy, jnp.float64), 1e-30) if self.scaled else value


@component
class Constant(Schedule):
    """v(t) = v."""

    value: Coupling = param(0.1, ge=0, le=1000, title="Value", help="The value at every step.")
    scaled: bool = param(False, title="Scaled", help=SCALED)
    n_steps: Coupling = context(1.0)
    flip_energy: Coupling = context(1.0)

    def shape(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.full_like(t, self.value)


@component
class Linear(Schedule):
    """v(t) = a + (b - a) t."""

    start: Coupling = param(0.1, ge=0, le=1000, title="Start a", help="The value at the first step.")
    end: Coupling = param(0.01, ge=0, le=1000, title="End b", help="The value at the last step.")
    scaled: bool = param(False, title="Scaled", help=SCALED)
    n_steps: Coupling = context(1.0)
    flip_energy: Coupling = context(1.0)

    def shape(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.start + (self.end - self.start) * t


@component
class Cosine(Schedule):
    """v(t) = b + (a - b) (1 + cos π t) / 2. Source: Loshchilov and Hutter, arXiv:1608.03983 (2016)."""

    start: Coupling = param(0.1, ge=0, le=1000, title="Start a", help="The value at the first step.")
    end: Coupling = param(0.01, ge=0, le=1000, title="End b", help="The value at the last step.")
    scaled: bool = param(False, title="Scaled", help=SCALED)
    n_steps: Coupling = context(1.0)
    flip_energy: Coupling = context(1.0)

    def shape(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return _half_wave(self.start, self.end, t)


@component
class OneCycle(Schedule):
    """v(t) rises from s p to p until t = w and falls to e p at t = 1, both along half a cosine.

    Source: Smith and Topin, arXiv:1708.07120 (2017).
    """

    peak: Coupling = param(0.1, ge=0, le=1000, title="Peak p", help="The largest value.")
    warm_up: Coupling = param(0.15, gt=0, lt=1, title="Warm-up w", help="Part of the steps until the peak.")
    start: Coupling = param(0.1, ge=0, le=1, title="Start s", help="The first value, as a part of the peak.")
    end: Coupling = param(0.01, ge=0, le=1, title="End e", help="The last value, as a part of the peak.")
    scaled: bool = param(False, title="Scaled", help=SCALED)
    n_steps: Coupling = context(1.0)
    flip_energy: Coupling = context(1.0)

    def shape(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        rise = _half_wave(self.start, 1.0, jnp.minimum(t / self.warm_up, 1.0))
        fall = _half_wave(1.0, self.end, jnp.maximum(t - self.warm_up, 0.0) / (1 - self.warm_up))
        return self.peak * jnp.where(t < self.warm_up, rise, fall)


def _half_wave(start: Coupling, end: Coupling, t: Float[Array, "..."]) -> Float[Array, "..."]:
    return end + (start - end) * (1 + jnp.cos(jnp.pi * t)) / 2


SCHEDULES = Registry[Schedule](
    "schedule", {"constant": Constant, "linear": Linear, "cosine": Cosine, "one_cycle": OneCycle}, number="constant"
)
