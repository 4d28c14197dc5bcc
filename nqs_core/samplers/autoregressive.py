"""Ancestral sampling of autoregressive networks."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from nqs_core.ansatze import ANSATZE, SequentialAnsatz
from nqs_core.ansatze.base import Ansatz, Cost
from nqs_core.ansatze.operations import Effort
from nqs_core.ansatze.projected import Projected
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.samplers.base import Sampler, Samples
from nqs_core.sector import Sector
from nqs_core.types import Info
from nqs_core.wavefunction import Psi


@component
class Autoregressive(Sampler):
    """σ_j ~ p(σ_j | σ_<j), site by site: exact, independent samples of |ψ|², also in a sector of fixed S^z."""

    independent: ClassVar[bool] = True

    n_samples: int = param(1024, ge=1, le=2**20, title="Samples", help="Configurations per optimisation step.")
    lattice: Lattice = context()
    sector: Sector = context()

    def init(self, key: PRNGKeyArray, psi: Psi) -> None:
        if reason := self.refuses(psi.ansatz):
            raise ConfigError(reason)

    def sample(self, key: PRNGKeyArray, psi: Psi, state: None) -> tuple[Samples, None, Info]:
        assert isinstance(psi.ansatz, SequentialAnsatz)
        sigma, log_psi = psi.ansatz.sample(psi.params, key, self.n_samples)
        samples = Samples(sigma[:, None], log_psi[:, None], jnp.zeros((self.n_samples, 1), jnp.float64))
        return samples, None, Info(jnp.asarray(True), {}, {})

    def refuses(self, ansatz: Ansatz) -> str:
        if isinstance(ansatz, SequentialAnsatz):
            return ""
        if isinstance(ansatz, Projected):
            return (
                "sampler 'autoregressive' draws from the network itself, not from its projection on the sector's "
                "labels; choose metropolis, or leave out momentum, point_group and spin_flip"
            )
        fitting = ", ".join(name for name, cls in ANSATZE.items() if issubclass(cls, SequentialAnsatz))
        own = next((name for name, cls in ANSATZE.items() if cls is type(ansatz)), type(ansatz).__name__)
        return f"sampler 'autoregressive' needs an autoregressive ansatz ({fitting}); {own!r} is none"

    def effort(self, cost: Cost) -> Effort:
        """Every layer once at every site."""
        return Effort(forwards=self.n_samples, rounds=self.sector.n_sites)
