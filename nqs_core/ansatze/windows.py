"""Networks whose stages look a few cells far: after a flip only a window around it is computed again."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Inexact, Int

from nqs_core.ansatze.base import Cost, FullForward, LocalUpdates
from nqs_core.ansatze.compaction import over_allowed
from nqs_core.ansatze.grid import CellNetwork
from nqs_core.ansatze.layers import pad
from nqs_core.ansatze.memory import backward_at_once
from nqs_core.types import Params, Sigma

# Moving all stages around takes half a forward pass: chains of 32 and 64, squares of 10 and 16, 8 channels, on a CPU.
MOVING = 0.5
PAYS = 0.75  # windows cost at most this share of forward passes
BLOCK = 4096  # moves at once on an accelerator


class StagedNet(nn.Module):
    """x_{k+1} = stage(k, x_k with the `reaches[k]` cells around, x_{skips[k]}), ψ from readout(the last)."""

    periodicity: tuple[bool, ...]
    reaches: tuple[int, ...]
    skips: tuple[int | None, ...]
    dtype: Any

    @abstractmethod
    def stage(self, k: int, x: Array, skip: Array | None) -> Array:
        """One stage on a window: `x` wider than the result by the reach at every end, `skip` as wide as the result."""

    @abstractmethod
    def readout(self, x: Array) -> Inexact[Array, ""]:
        """log ψ from the whole last stage."""

    def surround(self, x: Array, reach: int) -> Array:
        """`x` with `reach` more cells at every end."""
        return pad(x, reach, self.periodicity)

    def stages(self, x: Array) -> tuple[Array, ...]:
        """The input and the results of all stages on the whole lattice."""
        out = [x]
        for k, (reach, skip) in enumerate(zip(self.reaches, self.skips, strict=True)):
            wide = self.surround(out[-1], reach)
            out.append(self.stage(k, wide, None if skip is None else out[skip]))
        return tuple(out)

    def __call__(self, x: Array) -> Inexact[Array, ""]:
        return self.readout(self.stages(x)[-1])


class _Stages(NamedTuple):
    values: tuple[Array, ...]
    log_psi: Inexact[Array, ""]


def field_of_stages(ansatz: CellNetwork) -> tuple[int, ...]:
    """Cells along every axis that one result of the last stage depends on."""
    net: Any = ansatz.module()
    width = (1 + 2 * sum(net.reaches)) * ansatz.patch
    return tuple(min(width, length) for length in ansatz.lattice.extent)


def windows_where_they_pay(ansatz: CellNetwork) -> LocalUpdates:
    """Windows if those of a pair of flips are far smaller than the lattice, else full forward passes."""
    net: Any = ansatz.module()
    extent = tuple(length // ansatz.patch for length in ansatz.lattice.extent)
    radii = [sum(net.reaches[: k + 1]) for k in range(len(net.reaches))]
    whole = math.prod(extent) * len(radii)
    window = sum(math.prod(min(2 * r + 1, n) for n in extent) for r in radii)
    share = MOVING + 2 * window / whole
    if share > PAYS or not all(ansatz.lattice.periodicity):
        return FullForward(ansatz)
    return Windows(ansatz, Cost(1.0, share, share, skips=True))


@dataclass(frozen=True)
class Windows(LocalUpdates):
    """The results of all stages are carried; a flip is seen 2R + 1 cells wide, R the sum of the reaches so far.

    Exact: the same numbers as a forward pass up to the order of sums. Sites of a move are taken one after the other,
    each brought to the middle of the lattice, so that its windows are plain slices.
    """

    words: ClassVar[str] = "windows around the flipped sites"
    ansatz: CellNetwork
    cost: Cost

    def prepare(self, params: Params) -> Params:
        return params

    def cache(self, prepared: Params, sigma: Sigma) -> _Stages:
        values: Any = self.ansatz.module().apply(prepared, self.ansatz.cells(sigma), method="stages")
        return _Stages(values, self._readout(prepared, values))

    def log_psi(self, prepared: Params, cache: _Stages) -> Inexact[Array, ""]:
        return cache.log_psi

    def log_ratios(
        self,
        prepared: Params,
        cache: _Stages,
        sigma: Sigma,
        moves: Int[Array, "n_moves move_size"],
        mask: Bool[Array, " n_moves"] | None = None,
    ) -> Inexact[Array, " n_moves"]:
        allowed = jnp.ones(len(moves), bool) if mask is None else mask

        def one(params: Params, values: Any, move: Array) -> Inexact[Array, ""]:
            return self._readout(params, self._move(params, values, move)[0])

        out = over_allowed(one, prepared, cache.values, moves, allowed, backward_at_once(self.ansatz, BLOCK))
        return out - cache.log_psi

    def advance(self, prepared: Params, cache: _Stages, sigma: Sigma, move: Int[Array, " move_size"]) -> _Stages:
        values, origin = self._move(prepared, cache.values, move)
        values = _roll(values, -origin)
        return _Stages(values, self._readout(prepared, values))

    def _readout(self, params: Params, values: Any) -> Inexact[Array, ""]:
        out: Any = self.ansatz.module().apply(params, values[-1], method="readout")
        return out

    def _move(self, params: Params, values: Any, move: Array) -> tuple[tuple[Array, ...], Array]:
        """The stages after a move, shifted, and by how many cells along each axis."""
        shape = values[0].shape[:-1]
        middle = jnp.array([n // 2 for n in shape])
        places, shifted = jnp.asarray(self.ansatz.places()), jnp.zeros(len(shape), middle.dtype)
        for k in range(move.shape[0]):
            place = places[jnp.maximum(move[k], 0)]
            wanted = middle - place[:-1]
            values, shifted = _roll(values, wanted - shifted), wanted
            flipped = self._flip_middle(params, values, place[-1])
            values = jax.tree.map(lambda new, old, k=k: jnp.where(move[k] < 0, old, new), flipped, values)
        return values, shifted

    def _flip_middle(self, params: Params, values: Any, position: Array) -> tuple[Array, ...]:
        net: Any = self.ansatz.module()
        shape = values[0].shape[:-1]
        out = [values[0].at[*(n // 2 for n in shape), position].multiply(-1)]
        radius = 0
        for k, (reach, skip) in enumerate(zip(net.reaches, net.skips, strict=True)):
            radius += reach
            window = tuple(
                slice(n // 2 - radius, n // 2 + radius + 1) if 2 * radius < n else slice(0, n) for n in shape
            )
            wider = tuple(slice(w.start, w.stop + 2 * reach) for w in window)
            wide = pad(out[k], reach, net.periodicity)[wider]
            part = None if skip is None else out[skip][window]
            new = net.apply(params, k, wide, part, method="stage")
            out.append(values[k + 1].at[window].set(new))
        return tuple(out)


def _roll(values: Any, shift: Array) -> tuple[Array, ...]:
    return tuple(jnp.roll(x, shift, axis=range(x.ndim - 1)) for x in values)
