"""Lattices as arrays: cells along the first axes, the sites of a cell as channels."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Int, PRNGKeyArray

from nqs_core.ansatze import unrolled
from nqs_core.ansatze.base import Ansatz
from nqs_core.ansatze.layers import dtype_of, start
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.crystal import Crystal
from nqs_core.types import Params, Sigma


class CellNetwork(Ansatz):
    """A network on the cells of a lattice, or on patches of patch^d cells."""

    patch: int = 1

    @property
    def filters(self) -> tuple[int, ...]:
        """Widths of the filters of its layers `Convolution`; empty where there is none."""
        return ()

    @abstractmethod
    def module(self) -> nn.Module:
        """The network: an array (*patches, sites of a patch) in, log ψ out."""

    def init(self, key: PRNGKeyArray) -> Params:
        return start(self.module(), key, self.cells(jnp.ones(self.lattice.n_sites, jnp.int8)))

    def log_psi(self, params: Params, sigma: Sigma) -> Inexact[Array, ""]:
        out: Any = self.module().apply(params, self.cells(sigma))
        return out

    def prepare(self, params: Params) -> Any:
        extent = tuple(length // self.patch for length in self.lattice.extent)
        if self.filters and unrolled.pays(extent, self.filters):
            return unrolled.unroll(params, extent, self.lattice.periodicity)
        return params

    def evaluate(self, prepared: Any, sigma: Sigma) -> Inexact[Array, ""]:
        if isinstance(prepared, unrolled.Unrolled):
            return unrolled.apply(self.module(), prepared, self.cells(sigma), self.lattice.periodicity)
        return self.log_psi(prepared, sigma)

    def cells(self, sigma: Sigma) -> Float[Array, "*patches n"]:
        """σ as the network takes it."""
        return patches(sigma.reshape(*self.lattice.extent, -1), self.patch).astype(dtype_of(self.precision))

    def places(self) -> Int[np.ndarray, "n_sites n_axes_and_1"]:
        """Patch and position in it of every site."""
        sites = np.arange(self.lattice.n_sites).reshape(*self.lattice.extent, -1)
        table = patches(sites, self.patch)
        return np.stack(np.unravel_index(np.argsort(table, axis=None), table.shape), axis=-1)


def require_cells(name: str, lattice: Lattice) -> None:
    """Raises:
    ConfigError: the lattice has no unit cell to translate by.
    """
    if not isinstance(lattice, Crystal):
        raise ConfigError(
            f"ansatz {name!r} needs a lattice of unit cells; {lattice!r} has no translations. "
            "Networks for it: jastrow, rbm, mlp"
        )


def require_odd(name: str, kernel: int) -> None:
    """Raises:
    ConfigError: a filter without a middle.
    """
    if kernel % 2 == 0:
        raise ConfigError(f"ansatz {name!r}: kernel = {kernel} must be odd, such as {kernel - 1 or 3} or {kernel + 1}")


def require_patch(name: str, lattice: Lattice, patch: int) -> None:
    """Raises:
    ConfigError: the patch does not divide every axis, or leaves one patch only.
    """
    common = math.gcd(*lattice.extent)
    fitting = [b for b in range(1, common + 1) if common % b == 0 and math.prod(n // b for n in lattice.extent) > 1]
    if patch not in fitting:
        allowed = ", ".join(map(str, fitting))
        raise ConfigError(
            f"ansatz {name!r}: patch = {patch} must divide every length of extent {list(lattice.extent)}; "
            f"allowed: {allowed}"
        )


def usual_patch(lattice: Lattice) -> int:
    """2 where it divides every length and leaves several patches along each, else 1."""
    return 2 if all(length % 2 == 0 and length > 2 for length in lattice.extent) else 1


def patches(x: Any, patch: int) -> Any:
    """Blocks of patch^d cells as one cell: their sites become channels, in the order of the cells."""
    d = x.ndim - 1
    shape = [size for length in x.shape[:d] for size in (length // patch, patch)]
    split = x.reshape(*shape, x.shape[-1])
    order = [2 * a for a in range(d)] + [2 * a + 1 for a in range(d)] + [2 * d]
    return split.transpose(order).reshape(*(length // patch for length in x.shape[:d]), -1)


def displacements(extent: Sequence[int], periodicity: Sequence[bool]) -> Int[np.ndarray, "n n"]:
    """The index of the displacement i - j for every pair of cells, from 0 without gaps in the numbering.

    Along a periodic axis of length L there are L of them, along an open one 2L - 1.
    """
    counts = _counts(extent, periodicity)
    positions = np.stack(np.unravel_index(np.arange(math.prod(extent)), tuple(extent)))
    difference = (positions[:, :, None] - positions[:, None, :]) % np.array(counts)[:, None, None]
    return np.asarray(np.ravel_multi_index(tuple(difference), counts))


def n_displacements(extent: Sequence[int], periodicity: Sequence[bool]) -> int:
    """How many displacements between cells there are."""
    return math.prod(_counts(extent, periodicity))


def _counts(extent: Sequence[int], periodicity: Sequence[bool]) -> tuple[int, ...]:
    return tuple(n if periodic else 2 * n - 1 for n, periodic in zip(extent, periodicity, strict=True))
