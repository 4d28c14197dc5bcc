"""Group convolutions over the space group of a lattice."""

import functools
import itertools
import math
from collections.abc import Hashable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Int

from nqs_core.ansatze.grid import CellNetwork, require_cells
from nqs_core.ansatze.layers import Head, dtype_of, log_sum
from nqs_core.ansatze.representation import Representation
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.crystal import Crystal
from nqs_core.registry import component, context, param
from nqs_core.sector import Sector


class _Filters(NamedTuple):
    """Where a convolution over cells finds its weights.

    low, size: the window of cells that the filters reach, from cell + low on; weight: index of the weight of every
    (window cell, input channel group, point operation), -1 where there is none; n_weights: number of weights.
    """

    low: tuple[int, ...]
    size: tuple[int, ...]
    weight: np.ndarray
    n_weights: int


class _Convolution(nn.Module):
    """f(t, p) = Σ_(t', q) W(p⁻¹(t' - t), p⁻¹ q) x(t', q) + b: one convolution over cells with gathered filters."""

    features: int
    filters: str  # "lift" or "group"
    lattice: Any
    reach: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "*extent n_groups n_in"]) -> Float[Array, "*extent n_point n_out"]:
        low, size, weight, n_weights = _filters(self.lattice, self.reach, self.filters)
        n_groups, n_in = x.shape[-2:]
        n_point = weight.shape[-1]
        fan_in = n_in * np.sum(weight[..., 0] >= 0)
        shape = (n_weights, n_in, self.features)
        kernel = self.param("kernel", nn.initializers.normal(1 / float(fan_in) ** 0.5), shape, self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), self.dtype)
        gathered = kernel[np.maximum(weight, 0)] * (weight >= 0).astype(self.dtype)[..., None, None]
        # (*window, group, point, in, out) -> (*window, group · in, point · out)
        d = len(size)
        gathered = jnp.moveaxis(gathered, d + 2, d + 1).reshape(*size, n_groups * n_in, n_point * self.features)
        x = x.reshape(*x.shape[:-2], n_groups * n_in)
        for axis in range(d):
            widths = [(-low[a], low[a] + size[a] - 1) if a == axis else (0, 0) for a in range(d + 1)]
            x = jnp.pad(x, widths, mode="wrap")
        letters = "xyz"[:d]
        out = jax.lax.conv_general_dilated(
            x[None],
            gathered,
            (1,) * d,
            "VALID",
            dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
            precision="highest",
        )[0]
        return out.reshape(*out.shape[:-1], n_point, self.features) + bias.reshape(*(1,) * (d + 1), -1)


class _Net(nn.Module):
    lattice: Any
    features: int
    layers: int
    reach: float
    head: Head
    symmetry: Representation | None
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "*extent n_basis"]) -> Inexact[Array, ""]:
        x = x[..., None]
        for layer in range(self.layers):
            last = layer == self.layers - 1
            x = _Convolution(
                self.features * (2 if last and self.head == "complex" else 1),
                "group" if layer else "lift",
                self.lattice,
                self.reach,
                self.dtype,
                name=f"layer_{layer}",
            )(x)
            x = x if last else nn.selu(x)
        if self.head == "complex":
            x = jax.lax.complex(x[..., : self.features], x[..., self.features :])
        characters = on_grid(self.lattice, self.symmetry)
        weights = np.repeat(characters.reshape(-1).conj(), self.features) / characters.size / self.features
        is_signed = self.head == "complex" or bool(np.any(weights != np.abs(weights)))
        single = self.dtype == jnp.float32
        return log_sum(x.reshape(-1), weights, dtype_of("float32" if single else "float64", is_signed))


@component
class GCNN(CellNetwork):
    """ψ(σ) = Σ_g χ*(g) Σ_c exp x_c(g), x(g) of a lifting layer and group convolutions over the space group, with SELU.

    Lifting: x(g) = Σ_i w_i (g⁻¹ σ)_i; convolution: x'(g) = Σ_h W(g⁻¹ h) x(h), g and h translations times point
    operations. Filters reach cells (lifting: sites) up to `reach` primitive vectors away. The characters are those of
    the run's momentum and irrep, else 1. Head "complex": x is complex in the last layer.
    Source: Roth and MacDonald, arXiv:2104.05085; Roth, Szabó and MacDonald, Phys. Rev. B 108, 054410 (2023).

    Raises:
        ConfigError: a lattice that is open along an axis or has no unit cells.
    """

    features: int = param(4, ge=1, le=256, title="Features", help="Features per element of the group.")
    layers: int = param(2, ge=1, le=32, title="Layers", help="The lifting layer and group convolutions.")
    reach: float = param(
        1.5, ge=1, le=100, title="Reach", help="Of the filters, in lengths of the primitive vectors.", unit="cells"
    )
    head: Literal["real", "complex"] = param("real", title="Head", help="Complex where the ground state has signs.")
    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context("float32")
    symmetry: Representation | None = context(None)

    def __post_init__(self) -> None:
        require_cells("gcnn", self.lattice)
        if not all(self.lattice.periodicity):
            raise ConfigError(
                f"ansatz 'gcnn' needs periodic boundaries along every axis, not {list(self.lattice.periodicity)}; "
                "rescnn and convnext take open ones"
            )

    @property
    def signed(self) -> bool:
        characters = on_grid(self.lattice, self.symmetry)
        return self.head == "complex" or bool(np.any(characters != np.abs(characters)))

    @property
    def receptive_field(self) -> tuple[int, ...]:
        windows = [_filters(self.lattice, self.reach, kind).size for kind in ("lift", *["group"] * (self.layers - 1))]
        widths = [1 + sum(length - 1 for length in along) for along in zip(*windows, strict=True)]
        return tuple(min(width, length) for width, length in zip(widths, self.lattice.extent, strict=True))

    @property
    def keeps_point_group(self) -> bool:
        return self.symmetry is None

    @property
    def steps(self) -> tuple[int, ...] | None:
        known = self.symmetry
        if known is None or (known.momentum is not None and not any(known.momentum) and not known.staggered):
            return (1,) * len(self.lattice.extent)
        return None

    @property
    def layout(self) -> Hashable:
        return _layout(self.lattice, self.reach)

    def module(self) -> _Net:
        return _Net(
            self.lattice,
            self.features,
            self.layers,
            self.reach,
            self.head,
            self.symmetry,
            dtype_of(self.precision),
        )


@functools.lru_cache(maxsize=32)
def on_grid(lattice: Crystal, symmetry: Representation | None) -> Inexact[np.ndarray, "n_cells n_point"]:
    """χ(t p) for every translation t (row-major) and operation p of the lattice; 0 outside the group of the labels.

    Without labels 1; without a momentum t is the identity, without an irrep p is.
    """
    matrices, _, _, permutations = lattice.operations()
    if symmetry is None:
        return np.ones((len(lattice.translations()), len(matrices)))
    out = np.zeros((len(lattice.translations()), len(matrices)), complex)
    kept = symmetry.little_group() if symmetry.irrep is not None else np.array([0])
    characters = symmetry.point_group()[1]
    shifts = symmetry.translations()
    out[: len(shifts), kept] = symmetry.phases()[:, None] * characters
    for k in kept:
        out[: len(shifts), k] *= np.where(symmetry.swaps(permutations[k][shifts]), -1, 1)
    return np.round(out, 14) + 0.0


@functools.lru_cache(maxsize=32)
def _filters(lattice: Crystal, reach: float, kind: str) -> _Filters:
    """The sites (kind "lift", one channel group for every site of a cell) or cells that a filter reaches.

    They are those within a distance of the centre of the group, so that every operation maps them onto each other.
    """
    table = _reached(lattice, reach, kind)
    n_positions, n_reached = len(lattice.basis) if kind == "lift" else 1, int(table[:, -1].max()) + 1
    number = np.full(math.prod(lattice.extent) * n_positions, -1)
    number[_index(lattice, table[:, :-2]) * n_positions + table[:, -2]] = table[:, -1]
    window = _window(lattice, np.unique(table[:, :-2], axis=0))
    weight = _lifted(lattice, window, number) if kind == "lift" else _turned(lattice, window, number)
    low = tuple(window[(0,) * len(lattice.extent)].tolist())
    return _Filters(low, window.shape[:-1], weight, n_reached * (1 if kind == "lift" else weight.shape[-1]))


@functools.lru_cache(maxsize=32)
def _layout(lattice: Crystal, reach: float) -> Hashable:
    """How the sites and cells that the filters reach are numbered, and the operations that turn them."""
    operations = lattice.operations()
    reached = [_reached(lattice, reach, kind).tolist() for kind in ("lift", "group")]
    return repr((reached, operations.matrices.tolist(), operations.centre.tolist()))


def _reached(lattice: Crystal, reach: float, kind: str) -> Int[np.ndarray, "n_reached n_axes_and_2"]:
    """Rows (cell, from that of the filter on; position in it; number): images of one site or cell share a number."""
    frame, axes = np.array(lattice.vectors), len(lattice.extent)
    inside = np.zeros((1, axes))
    if kind == "lift":
        inside = np.array(lattice.basis) @ np.linalg.inv(frame) - lattice.operations().centre
    limit = reach * np.linalg.norm(frame, axis=1).min() + 1e-9
    span = range(-int(2 * reach) - 2, int(2 * reach) + 3)
    offsets = np.array(list(itertools.product(span, repeat=axes)))
    near = np.linalg.norm((offsets[:, None, :] + inside) @ frame, axis=-1) <= limit  # (offset, position in the cell)
    k, position = np.nonzero(near)
    number = np.unique(_index(lattice, offsets[k]) * len(inside) + position, return_inverse=True)[1]
    return np.column_stack([offsets[k], position, number])


def _index(lattice: Crystal, cells: np.ndarray) -> np.ndarray:
    """The number of the cell with these coordinates, up to periods."""
    return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(cells % np.array(lattice.extent), -1, 0)), lattice.extent))


def _window(lattice: Crystal, offsets: np.ndarray) -> np.ndarray:
    """The smallest box of cells around `offsets`, or along an axis where it would overlap itself, every cell once."""
    extent = np.array(lattice.extent)
    low, high = offsets.min(axis=0), offsets.max(axis=0)
    whole = high - low + 1 > extent
    low, high = np.where(whole, -((extent - 1) // 2), low), np.where(whole, extent // 2, high)
    ranges = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1)


def _lifted(lattice: Crystal, window: np.ndarray, number: np.ndarray) -> np.ndarray:
    """(p w)_j = w_(p⁻¹ j), and perm_p[j] = p⁻¹ j."""
    n_basis = len(lattice.basis)
    sites = _index(lattice, window)[..., None] * n_basis + np.arange(n_basis)
    return number[np.moveaxis(lattice.point_group()[:, sites], 0, -1)]


def _turned(lattice: Crystal, window: np.ndarray, number: np.ndarray) -> np.ndarray:
    """W(p⁻¹ d, p⁻¹ q) for every cell d of the window, q and p."""
    matrices = lattice.operations().matrices
    position = {w.tobytes(): k for k, w in enumerate(matrices)}
    inverses = np.round(np.linalg.inv(matrices)).astype(matrices.dtype)
    relative = np.array([[position[(back @ q).tobytes()] for back in inverses] for q in matrices])
    turned = number[_index(lattice, np.einsum("pij,...j->...pi", inverses, window))][..., None, :]
    return np.where(turned < 0, -1, turned * len(matrices) + relative)
