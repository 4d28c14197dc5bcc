"""Any network projected on a symmetry."""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact, PRNGKeyArray

from nqs_core.ansatze.base import Ansatz, Prepared
from nqs_core.ansatze.gcnn import GCNN
from nqs_core.ansatze.layers import dtype_of, log_sum
from nqs_core.ansatze.representation import Representation, representation
from nqs_core.config import SectorConfig
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context
from nqs_core.sector import Sector
from nqs_core.types import Params, Sigma

AT_ONCE = 64  # elements of the group evaluated together: bounds the memory of a configuration at 64 forward passes


@component
class Projected(Ansatz):
    """Ψ(σ) = d/|G| Σ_g χ*(g) ψ(g⁻¹ σ), so that Ψ(g⁻¹ σ) = χ(g) Ψ(σ) for every g of a one-dimensional irrep.

    In log space. ψ itself may be invariant under some translations of G: then one of each class is summed. Where Ψ
    vanishes, what rounding leaves of the sum stands for it.
    """

    ansatz: Ansatz = context()
    symmetry: Representation = context()
    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context("float32")

    @property
    def signed(self) -> bool:
        characters = self.symmetry.elements(self.ansatz.steps).characters
        return self.ansatz.signed or bool(np.any(characters != np.abs(characters)))

    @property
    def receptive_field(self) -> tuple[int, ...]:
        return self.ansatz.receptive_field

    @property
    def steps(self) -> tuple[int, ...] | None:
        """With a momentum other than 0 a translation turns the phase, which counts as a change."""
        if self.symmetry.momentum is None or any(self.symmetry.momentum) or self.symmetry.staggered:
            return None
        return (1,) * len(self.lattice.extent)

    def init(self, key: PRNGKeyArray) -> Params:
        return self.ansatz.init(key)

    def prepare(self, params: Params) -> Prepared:
        return self.ansatz.prepare(params)

    def evaluate(self, prepared: Prepared, sigma: Sigma) -> Inexact[Array, ""]:
        return self._sum(partial(self.ansatz.evaluate, prepared), sigma)

    def log_psi(self, params: Params, sigma: Sigma) -> Inexact[Array, ""]:
        return self._sum(partial(self.ansatz.log_psi, params), sigma)

    def _sum(self, log_psi_of: Callable[[Sigma], Array], sigma: Sigma) -> Inexact[Array, ""]:
        permutations, flips, characters = self.symmetry.elements(self.ansatz.steps)
        kept = np.flatnonzero(characters)
        # (g⁻¹ σ)[perm[i]] = ±σ[i]: the inverse permutation reads it off.
        inverse = jnp.asarray(np.argsort(permutations[kept], axis=1).astype(np.int32))
        signs = jnp.asarray(np.where(flips[kept], -1, 1).astype(np.int8))

        def one(element: tuple[Array, Array]) -> Array:
            index, sign = element
            return log_psi_of(sigma[index] * sign)

        if len(kept) <= AT_ONCE:
            log_psi = jax.vmap(one)((inverse, signs))
        else:
            log_psi = jax.lax.map(jax.checkpoint(one), (inverse, signs), batch_size=AT_ONCE)
        weights = characters[kept].conj() / len(characters)
        return log_sum(log_psi, weights, dtype_of(self.precision, self.signed))


def project(ansatz: Ansatz, lattice: Lattice, sector: SectorConfig | None, marshall: bool = False) -> Ansatz:
    """`ansatz` with the symmetry of the sector; as it is where the sector names none.

    A group convolution takes the characters itself; a flip of all spins, which it does not know, is put around it.

    Labels mean the unrotated Hamiltonian; `marshall` says that the run's is rotated.

    Raises:
        ConfigError: labels that the lattice does not have, or a network whose projection vanishes.
    """
    symmetry = representation(lattice, sector, marshall)
    if symmetry is None:
        return ansatz
    if isinstance(ansatz, GCNN):
        space = dataclasses.replace(symmetry, spin_flip=None)
        if space != Representation(lattice):
            ansatz = dataclasses.replace(ansatz, symmetry=space)
        if symmetry.spin_flip is None:
            return ansatz
        symmetry = Representation(lattice, spin_flip=symmetry.spin_flip)
    require_nonzero(ansatz, symmetry)
    return Projected(
        ansatz=ansatz, symmetry=symmetry, lattice=lattice, sector=ansatz.sector, precision=ansatz.precision
    )


def require_nonzero(ansatz: Ansatz, symmetry: Representation) -> None:
    """Raises:
    ConfigError: the network is invariant under a translation whose character is not 1, so that nothing is left.
    """
    if ansatz.steps is None or symmetry.momentum is None:
        return
    translations = symmetry.translations()
    characters = symmetry.phases() * np.where(symmetry.swaps(translations), -1, 1)
    grid = characters.reshape(symmetry.counts())
    if np.all(np.abs(grid[tuple(slice(None, None, step) for step in ansatz.steps)] - 1) < 1e-9):
        return
    rotated = " of the Marshall-rotated state" if symmetry.staggered else ""
    raise ConfigError(
        f"sector.momentum = {list(symmetry.momentum)}: the network is unchanged by translations of "
        f"{list(ansatz.steps)} cells, so it has no part with this momentum{rotated}; networks that have: rbm, mlp, "
        "jastrow, and convnext or vit where translations by a patch turn no phase"
    )
