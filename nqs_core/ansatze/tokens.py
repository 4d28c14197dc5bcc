"""Configurations as sequences of tokens: groups of sites in any order, each a letter of an alphabet."""

import functools
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from nqs_core.ansatze.grid import patches, require_patch
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.types import Sigma

Order = Literal["row", "snake"]
Groups = tuple[tuple[int, ...], ...]

MAX_SPINS = 10  # of a token: 1024 letters


class _Tables(NamedTuple):
    """sites: of every token, -1 pads; place: of every site, its token and its bit; n_up: up spins of every letter."""

    sites: np.ndarray
    place: np.ndarray
    n_up: np.ndarray
    is_letter: np.ndarray


@dataclass(frozen=True)
class Tokens:
    """A partition of all sites into groups; group j is token j, and its letter has bit k = (1 - σ)/2 of its k-th site.

    Letter 0 is all up. Groups may differ in size: the alphabet is that of the largest, and a smaller one has fewer
    letters.

    Raises:
        ConfigError: a site is missing or in two groups, or a group has more than 10 sites.
    """

    groups: Groups

    def __post_init__(self) -> None:
        sites = sorted(site for group in self.groups for site in group)
        if sites != list(range(len(sites))) or not all(self.groups):
            raise ConfigError(f"tokens must hold every site from 0 on once, none empty; given: {self.groups!r}")
        if self.size > MAX_SPINS:
            raise ConfigError(f"a token of {self.size} spins has 2^{self.size} letters; at most {MAX_SPINS} spins")

    @property
    def n_tokens(self) -> int:
        """Number of tokens."""
        return len(self.groups)

    @property
    def size(self) -> int:
        """Sites of the largest group."""
        return max(map(len, self.groups))

    @property
    def n_letters(self) -> int:
        """Letters of the alphabet."""
        return 2**self.size

    @property
    def sites(self) -> Int[np.ndarray, "n_tokens size"]:
        """The sites of every token; -1 pads."""
        return _tables(self).sites

    @property
    def place(self) -> Int[np.ndarray, "n_sites 2"]:
        """Token and bit of every site."""
        return _tables(self).place

    @property
    def n_up(self) -> Int[np.ndarray, "n_tokens n_letters"]:
        """Up spins of every letter in every place."""
        return _tables(self).n_up

    @property
    def is_letter(self) -> np.ndarray:
        """Whether a letter exists in a place: (n_tokens, n_letters)."""
        return _tables(self).is_letter

    def encode(self, sigma: Sigma) -> Int[Array, " n_tokens"]:
        """The letters of a configuration."""
        down = jnp.concatenate([(sigma < 0).astype(jnp.int32), jnp.zeros(1, jnp.int32)])  # the last one pads
        return jnp.sum(down[self.sites] << np.arange(self.size, dtype=np.int32)[None], axis=1, dtype=jnp.int32)

    def decode(self, letters: Int[Array, " n_tokens"]) -> Sigma:
        """The configuration of these letters."""
        token, bit = self.place.T
        return (1 - 2 * ((letters[token] >> bit) & 1)).astype(jnp.int8)


@functools.lru_cache(maxsize=64)
def _tables(tokens: Tokens) -> _Tables:
    groups, size = tokens.groups, tokens.size
    sites = np.full((len(groups), size), -1, np.int32)
    place = np.zeros((sum(map(len, groups)), 2), np.int32)
    for j, group in enumerate(groups):
        sites[j, : len(group)] = group
        place[list(group)] = np.stack([np.full(len(group), j), np.arange(len(group))], axis=1)
    letters = np.arange(2**size, dtype=np.int32)
    n_down = np.sum((letters[:, None] >> np.arange(size)) & 1, axis=1, dtype=np.int32)
    lengths = np.array([len(group) for group in groups], np.int32)
    return _Tables(sites, place, lengths[:, None] - n_down, letters < 2 ** lengths[:, None])


@functools.lru_cache(maxsize=64)
def of_lattice(name: str, lattice: Lattice, patch: int, order: Order) -> Tokens:
    """Patches of patch^d cells, or single sites for patch = 1, along rows, or to and fro (snake).

    Raises:
        ConfigError: the patch does not divide the lattice, or has too many sites.
    """
    sites = np.arange(lattice.n_sites).reshape(*lattice.extent, -1)
    if patch > 1:
        require_patch(name, lattice, patch)
        n_spins = patch ** len(lattice.extent) * sites.shape[-1]
        if n_spins > MAX_SPINS:
            raise ConfigError(
                f"ansatz {name!r}: a patch of {patch} cells along every axis has {n_spins} spins, at most {MAX_SPINS}"
            )
        sites = patches(sites, patch)
    extent = sites.shape[:-1]
    cells = np.arange(math.prod(extent)).reshape(extent)
    if order == "snake":
        for axis in range(1, len(extent)):
            # The walk turns back along this axis each time that it makes a step along those before it.
            steps = np.indices(extent[:axis]).sum(axis=0).reshape(-1)
            table = cells.reshape(len(steps), *extent[axis:])
            table[steps % 2 == 1] = np.flip(table[steps % 2 == 1], axis=1)
            cells = table.reshape(extent)
    walked = sites.reshape(-1, sites.shape[-1])[cells.reshape(-1)]
    groups = walked if patch > 1 else walked.reshape(-1, 1)
    return Tokens(tuple(map(tuple, groups.tolist())))
