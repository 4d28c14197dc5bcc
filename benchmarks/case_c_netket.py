"""Case (c) in NetKet at its best settings: float32, one chain a sample, packed kernel, dense Jacobian."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import netket as nk  # pyright: ignore[reportMissingImports]
import numpy as np
import optax

from benchmarks.case_c import (
    BLOCKS,
    CHANNELS,
    DIAG_SHIFT,
    EXTENT,
    J1,
    J2,
    KERNEL,
    LEARNING_RATE,
    N_SAMPLES,
    N_SITES,
    SEED,
)
from benchmarks.turns import Task

CHUNK = 2048  # of 512, 1024, 2048, 4096 and 8192 the fastest
nk.config.netket_experimental_packed_kernel = True  # only connected configurations with an element are evaluated


class ResCNN(nn.Module):
    """`rescnn` of Spinscope with the complex head, the same layers in the same order."""

    @nn.compact
    def __call__(self, sigma: jax.Array) -> jax.Array:
        x = sigma.reshape(-1, EXTENT, EXTENT, 1).astype(jnp.float32)
        x = self._layer(x)
        for _ in range(BLOCKS):
            x = x + self._layer(self._layer(x))
        out = nn.Dense(2 * CHANNELS, param_dtype=jnp.float32, kernel_init=nn.initializers.normal(0.1))(x.mean((1, 2)))
        theta = jax.lax.complex(out[..., :CHANNELS], out[..., CHANNELS:])
        return jnp.sum(nk.nn.log_cosh(theta), axis=-1).reshape(sigma.shape[:-1])

    def _layer(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(CHANNELS, (KERNEL, KERNEL), padding="CIRCULAR", param_dtype=jnp.float32)(x)
        return nn.gelu(nn.LayerNorm(param_dtype=jnp.float32)(x), approximate=False)


def tasks() -> tuple[dict[str, str], dict[str, Task]]:
    """The version, and `step`, `sample`, `energies`."""
    hilbert = nk.hilbert.Spin(s=0.5, N=N_SITES, total_sz=0)
    graph = nk.graph.Square(EXTENT, max_neighbor_order=2)
    # Its bonds are σ·σ, four times S·S; the rotation of one sublattice flips the exchange of nearest neighbours.
    hamiltonian = nk.operator.Heisenberg(hilbert, graph, J=[J1 / 4, J2 / 4], sign_rule=[True, False], dtype=np.float32)
    hamiltonian = hamiltonian.to_jax_operator()
    nearest = nk.graph.Square(EXTENT)
    sampler = nk.sampler.MetropolisExchange(
        hilbert, graph=nearest, n_chains=N_SAMPLES, sweep_size=N_SITES, dtype=np.int8
    )
    state = nk.vqs.MCState(
        sampler,
        ResCNN(),
        n_samples=N_SAMPLES,
        n_discard_per_chain=0,
        chunk_size=CHUNK,
        seed=SEED,
        sampler_seed=SEED,
    )
    driver = nk.driver.VMC_SR(
        hamiltonian,
        optax.sgd(LEARNING_RATE / 2),  # its gradient is twice ours
        diag_shift=DIAG_SHIFT,
        variational_state=state,
        mode="complex",
        use_ntk=True,
        on_the_fly=False,
    )
    last = {}

    def keep(_step: int, log_data: dict, _driver: object) -> bool:
        last.update(log_data)
        return True

    def step(count: int) -> float:
        driver.run(count, out=None, show_progress=False, callback=keep)
        jax.block_until_ready(state.parameters)
        return float(np.real(last["Energy"].mean))

    def sample(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(state.sample())

    def energies(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(state.local_estimators(hamiltonian))

    facts = {"program": f"NetKet {nk.__version__}", "n_params": str(state.n_parameters)}
    return facts, {"step": step, "sample": sample, "energies": energies}
