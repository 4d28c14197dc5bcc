"""The subspace of a run: which configurations belong to it."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int8, PRNGKeyArray

from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.types import Sigma

MAX_STATES = 2**24  # enumeration beyond this is refused: 24 bytes of work a state and more


@dataclass(frozen=True)
class Sector:
    """All configurations of `n_sites` spins, or those with total S^z = `sz` = (n_up - n_down) / 2.

    Of several copies of a system (`n_sites` counts the spins of all) `sz` holds in every copy.

    Raises:
        ConfigError: `sz` is no value that the spins 1/2 of a copy can have.
    """

    n_sites: int
    sz: float | None = None
    copies: int = 1

    def __post_init__(self) -> None:
        if self.sz is None:
            return
        doubled, n = 2 * self.sz, self.n_each
        if doubled != int(doubled) or (int(doubled) - n) % 2 or abs(doubled) > n:
            allowed = f"{-n / 2:g}, {1 - n / 2:g}, ..., {n / 2:g}"
            raise ConfigError(f"sector.sz = {self.sz:g} is not possible for {n} spins; allowed: {allowed}")

    @property
    def n_each(self) -> int:
        """Spins of one copy."""
        return self.n_sites // self.copies

    @property
    def n_up(self) -> int | None:
        """Number of up spins of every copy, None in the whole space."""
        return None if self.sz is None else int(self.n_each + 2 * self.sz) // 2

    @property
    def size(self) -> int:
        """Number of configurations."""
        return 2**self.n_sites if self.n_up is None else math.comb(self.n_each, self.n_up) ** self.copies

    @property
    def log10_size(self) -> float:
        """log10 of `size`, also where that is a number of many thousand digits, which would take seconds to find."""
        if self.n_up is None:
            return self.n_sites * math.log10(2)
        n, k = self.n_each, self.n_up
        return self.copies * (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(10)

    def amount(self, factor: float = 1.0) -> str:
        """factor · size for a sentence: such as 6.55e+04, or 10^331 beyond what a float can hold."""
        if self.log10_size < 300:
            return f"{factor * self.size:.3g}"
        return f"10^{self.log10_size + math.log10(factor):.0f}"

    def contains(self, sigma: Sigma) -> Bool[Array, ""]:
        """Whether a configuration belongs to the sector."""
        if self.n_up is None:
            return jnp.asarray(True)
        if self.copies == 1:
            return jnp.sum(sigma > 0) == self.n_up
        return jnp.all(jnp.sum(sigma.reshape(self.copies, -1) > 0, axis=1) == self.n_up)

    def indices(self) -> np.ndarray:
        """Basis indices in rising order, bit k = (1 - sigma_k) / 2, int64.

        Raises:
            TooLargeError: more than 2^24 configurations.
        """
        if self.n_sites > 40 or self.size > MAX_STATES:
            raise TooLargeError(
                f"enumerating {self.n_sites} spins needs {self.amount()} configurations "
                f"({self.amount(self.n_sites / 1e9)} GB); the limit is {MAX_STATES} configurations"
            )
        if self.n_up is None:
            return np.arange(2**self.n_sites, dtype=np.int64)
        if self.copies > 1:
            each = Sector(self.n_each, self.sz).indices()
            codes = each
            for k in range(1, self.copies):  # the last copy is the most significant
                codes = ((each << (k * self.n_each))[:, None] | codes).reshape(-1)
            return codes
        codes = np.zeros(1, np.int64)
        downs = np.zeros(1, np.int64)
        n_down = self.n_sites - self.n_up
        for site in reversed(range(self.n_sites)):  # prune as sites are added: never more than the sector needs
            codes = np.concatenate([codes, codes | (1 << site)])
            downs = np.concatenate([downs, downs + 1])
            keep = (downs <= n_down) & (downs + site >= n_down)
            codes, downs = codes[keep], downs[keep]
        return np.sort(codes)

    def enumerate(self) -> Int8[np.ndarray, "size n_sites"]:
        """Every configuration, in the order of `indices`."""
        codes = self.indices()
        return (1 - 2 * ((codes[:, None] >> np.arange(self.n_sites)) & 1)).astype(np.int8)

    def random(self, key: PRNGKeyArray, n: int) -> Int8[Array, "n n_sites"]:
        """`n` independent configurations, uniform in the sector."""
        if self.n_up is None:
            return jax.random.rademacher(key, (n, self.n_sites), jnp.int8)
        ordered = jnp.where(jnp.arange(self.n_each) < self.n_up, 1, -1).astype(jnp.int8)
        keys = jax.random.split(key, n * self.copies)
        return jax.vmap(lambda k: jax.random.permutation(k, ordered))(keys).reshape(n, self.n_sites)
