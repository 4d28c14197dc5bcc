"""Small systems and independent dense linear algebra that the tests compare with."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nqs_core.ansatze.base import Ansatz
from nqs_core.config import RunConfig, parse
from nqs_core.lattices import Lattice
from nqs_core.operators import Terms
from nqs_core.registry import component, context
from nqs_core.sector import Sector

PAULI = {
    "X": np.array([[0, 1], [1, 0]], complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1.0 + 0j, -1.0]),
}

# Every ansatz that the tests of gradients and updates run over: registry name and parameters.
NETWORKS = [
    ("jastrow", {}),
    ("rbm", {"alpha": 1}),
    ("rbm", {"alpha": 1, "complex": True}),
    ("mlp", {}),
    ("rescnn", {"channels": 4, "blocks": 1, "head": "modulus_phase"}),
    ("convnext", {"channels": 6, "blocks": 1, "head": "complex"}),
    ("vit", {"features": 6, "layers": 1, "heads": 2}),
    ("arnn", {}),
]


def config(**changes: Any) -> RunConfig:
    """A run that takes a second: TFIM ring of 6, RBM, exact samples."""
    base: dict[str, Any] = {
        "lattice": {"name": "chain", "params": {"length": 6}},
        "hamiltonian": {"name": "tfim", "params": {"h": 0.8}},
        "ansatz": {"name": "rbm", "params": {"alpha": 1}},
        "sampler": {"name": "exact", "params": {"n_samples": 64}},
        "optimizer": {"name": "minsr", "params": {}},
        "n_steps": 6,
        "measure": 256,
        "precision": "float64",
    }
    return parse(base | changes)


def dense(terms: tuple[Terms, ...], n_sites: int) -> np.ndarray:
    """Kronecker products; basis index bit k = (1 - sigma_k) / 2, so site 0 is the fastest factor."""
    total = np.zeros((2**n_sites, 2**n_sites), complex)
    for letters, sites, coefficient in terms:
        rows = np.asarray(sites).reshape(-1, len(letters))
        for row, c in zip(rows, np.broadcast_to(np.asarray(coefficient), (len(rows),)), strict=True):
            matrix = np.eye(1, dtype=complex)
            for site in reversed(range(n_sites)):
                matrix = np.kron(matrix, PAULI[letters[list(row).index(site)]] if site in row else np.eye(2))
            total += c * matrix
    return total


@component
class LogTable(Ansatz):
    """log ψ looked up in a table over the basis: any state exactly."""

    lattice: Lattice = context()
    sector: Sector = context()
    precision: str = context(default="float64")
    complex: bool = context(default=False)

    @property
    def signed(self) -> bool:
        return self.complex

    @property
    def receptive_field(self) -> tuple[int, ...]:
        return self.lattice.extent

    def init(self, key: Any) -> Any:
        scale = 0.5 * jax.random.normal(key, (2, 2**self.lattice.n_sites))
        table = scale[0] + 1j * scale[1] if self.signed else scale[0]
        return {"params": {"table": table}}

    def log_psi(self, params: Any, sigma: Any) -> Any:
        return params["params"]["table"][jnp.sum((1 - sigma) // 2 * 2 ** jnp.arange(sigma.size))]


@partial(jax.jit, static_argnums=0)
def log_amplitudes(ansatz: Ansatz, params: Any, sigma: Any) -> Any:
    """log ψ of every configuration."""
    return jax.vmap(lambda s: ansatz.log_psi(params, s))(sigma)
