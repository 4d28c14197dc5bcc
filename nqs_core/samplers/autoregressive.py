"""Ancestral sampling of autoregressive networks."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from nqs_core.ansatze.base import Ansatz, AutoregressiveAnsatz, Cost
from nqs_core.ansatze.operations import Effort
from nqs_core.errors import ConfigError
from nqs_core.lattices.base import Lattice
from nqs_core.registry import component, context, param
from nqs_core.samplers.base import Sampler, SamplerInfo, Samples
from nqs_core.sector import Sector
from nqs_core.types import Params


@component
class Autoregressive(Sampler):
    """σ_j ~ p(σ_j | σ_<j), site by site: exact, independent samples of |ψ|², also in a sector of fixed S^z."""

    independent: ClassVar[bool] = True

    n_samples: int = param(1024, ge=1, le=2**20, title="Samples", help="Configurations per optimisation step.")
    lattice: Lattice = context()
    sector: Sector = context()

    def init(self, key: PRNGKeyArray, ansatz: Ansatz, params: Params) -> None:
        _autoregressive(ansatz)

    def sample(
        self, key: PRNGKeyArray, ansatz: Ansatz, params: Params, state: None
    ) -> tuple[Samples, None, SamplerInfo]:
        sigma, log_psi = _autoregressive(ansatz).sample(params, key, self.n_samples)
        samples = Samples(sigma[:, None], log_psi[:, None], jnp.zeros((self.n_samples, 1), jnp.float64))
        return samples, None, SamplerInfo(jnp.asarray(True), {})

    def effort(self, cost: Cost) -> Effort:
        """Every layer once at every site."""
        return Effort(forwards=self.n_samples, rounds=self.sector.n_sites)


def _autoregressive(ansatz: Ansatz) -> AutoregressiveAnsatz:
    if not isinstance(ansatz, AutoregressiveAnsatz):
        raise ConfigError(
            f"sampler 'autoregressive' needs an autoregressive ansatz such as 'arnn', not {type(ansatz).__name__}; "
            "use 'metropolis' or 'exact'"
        )
    return ansatz
