"""RWKV-7 against the published implementation, on two tiny models whose outputs it gave."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import budget, config, problem
from nqs_core.ansatze import rwkv_blocks, rwkv_params
from nqs_core.ansatze.memory import activation_bytes
from nqs_core.ansatze.rwkv_params import Sizes
from nqs_core.config import Spec
from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.sector import Sector
from tests.contracts.variants import network

TINY = {"width": 4, "depth": 2, "head_size": 2, "hidden": 4, "ranks": [2, 2, 2, 2]}
DATA = Path(__file__).parent / "data"
SMALL = Sizes(vocabulary=2, width=64, depth=2, head_size=64, hidden=256, ranks=(32, 32, 32, 32))
WIDE = Sizes(vocabulary=16, width=128, depth=3, head_size=64, hidden=512, ranks=(32, 32, 32, 32))
MODELS = [pytest.param("rwkv7_tiny_64x2_v2", SMALL, id="64x2"), pytest.param("rwkv7_tiny_128x3_v16", WIDE, id="128x3")]


def load(name: str, sizes: Sizes, dtype: Any) -> tuple[Any, Any, Any]:
    """Parameters with the head, the layout of the file, and all that is in it."""
    file = np.load(DATA / f"{name}.npz")

    def fresh() -> Any:
        params = {name: new(jax.random.key(0)) for name, new in rwkv_params.parts(sizes, dtype).items()}
        return {"params": {**params, "head": jnp.zeros((sizes.width, sizes.vocabulary), dtype)}}

    params = jax.jit(fresh)()
    layout = rwkv_params.published(jax.eval_shape(fresh), "head")
    tensors = {key[2:]: file[key] for key in file.files if key.startswith("w:")}
    assert layout.differences({name: x.shape for name, x in tensors.items()}) == []
    return layout.fill(params, tensors), layout, file


@partial(jax.jit, static_argnames=("sizes", "remat"))
def logits(params: Any, tokens: Any, sizes: Sizes, remat: bool = False) -> Any:
    """Logits (batch, length, vocabulary) and the carries of all layers after the last token."""
    p = params["params"]
    dtype = p["head"].dtype

    def one(tokens: Any) -> Any:
        start = rwkv_blocks.carries(sizes.depth, sizes.width, sizes.head_size, dtype)
        carries, x = rwkv_blocks.stack(p, start, p["emb"]["weight"][tokens], remat)
        return carries, x @ p["head"]

    return jax.vmap(one)(tokens)


@pytest.mark.parametrize(("name", "sizes"), MODELS)
def test_logits_and_states_equal_those_of_the_published_implementation(name, sizes):
    params, _, file = load(name, sizes, jnp.float32)
    carries, out = logits(params, file["tokens"], sizes)
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, file["logits"], atol=1e-5)
    np.testing.assert_allclose(carries.time, file["state_att_x_prev"], atol=1e-5)
    np.testing.assert_allclose(carries.state, file["state_att_kv"], atol=1e-5)
    np.testing.assert_allclose(carries.channel, file["state_ffn_x_prev"], atol=1e-5)


@pytest.mark.parametrize(("name", "sizes"), MODELS)
def test_logits_equal_those_of_the_formula_in_double_precision(name, sizes):
    params, _, file = load(name, sizes, jnp.float64)
    carries, out = logits(params, file["tokens"], sizes)
    np.testing.assert_allclose(out, file["logits_float64"], atol=1e-10)
    np.testing.assert_allclose(carries.state, file["state_att_kv"], atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "remat", "tolerance"),
    [pytest.param(jnp.float32, False, 1e-5, id="float32"), pytest.param(jnp.float64, True, 1e-7, id="float64-again")],
)
def test_gradients_equal_those_of_the_published_implementation(dtype, remat, tolerance):
    """Also where the backward pass computes again what it needs. The stored gradients are rounded to float32."""
    params, layout, file = load("rwkv7_tiny_64x2_v2", SMALL, dtype)
    cotangent = file["cotangent"]
    gradient = jax.grad(lambda p: jnp.sum(logits(p, file["tokens"], SMALL, remat)[1] * cotangent))(params)["params"]
    errors, sizes = {}, {}
    for name, place in layout.places.items():
        value: Any = gradient
        for key in place.path:
            value = value[key]
        value = value if place.row is None else value[place.row]
        expected = file[f"g:{name}"].reshape(place.shape).astype(float)
        errors[name] = np.linalg.norm((value.T if place.transposed else value) - expected)
        sizes[name] = np.linalg.norm(expected)
    assert max(errors[name] / sizes[name] for name in errors) < 2 * tolerance
    assert np.linalg.norm(list(errors.values())) < tolerance * np.linalg.norm(list(sizes.values()))


def test_one_token_after_the_other_equals_the_whole_sequence():
    params, _, file = load("rwkv7_tiny_128x3_v16", WIDE, jnp.float64)
    p, tokens = params["params"], file["tokens"][0]
    start = rwkv_blocks.carries(WIDE.depth, WIDE.width, WIDE.head_size, jnp.float64)
    carries, rows = jax.jit(
        lambda: jax.lax.scan(lambda c, token: rwkv_blocks.stack(p, c, p["emb"]["weight"][token][None]), start, tokens)
    )()
    out = rows[:, 0] @ p["head"]
    np.testing.assert_allclose(out, file["logits_float64"][0], atol=1e-10)
    last = jax.tree.map(lambda x: x[0], logits(params, file["tokens"], WIDE)[0])
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-10), carries, last)


def published(precision: str) -> Any:
    """A run of the largest published size but one, on a chain of 100."""
    sizes = {"width": 2048, "depth": 24, "head_size": 64, "ranks": [96, 96, 64, 256], "remat": True}
    return config.parse(
        {
            "lattice": {"name": "chain", "params": {"length": 100}},
            "hamiltonian": {"name": "tfim"},
            "ansatz": {"name": "rwkv7", "params": sizes},
            "sampler": {"name": "autoregressive", "params": {"n_samples": 64}},
            "precision": precision,
            "observables": [],
        }
    )


def test_the_published_size_is_refused_on_a_laptop_and_fits_elsewhere():
    """1.53 billion parameters with the vocabulary of 65,536 words, 1.26 billion with spins; nothing is allocated."""
    held = sum(x.nbytes for x in jax.live_arrays())
    needs = {}
    for precision in ("float32", "bfloat16"):
        with pytest.raises(TooLargeError, match=r"the run needs about [0-9.]+ GB \(limit 12.8 GB\)") as refusal:
            problem.build(published(precision), memory_limit=int(12.8e9))
        built = problem.build(published(precision), memory_limit=int(80e9))
        needs[precision] = problem.memory_bytes(built)
        assert f"about {needs[precision] / 1e9:.3g} GB" in str(refusal.value)
    assert 0.5 < needs["bfloat16"] / needs["float32"] < 0.51
    n_params = budget.n_params(built.ansatz)
    assert n_params + 2 * (65536 - 2) * 2048 == pytest.approx(1.527e9, rel=0.01)
    assert sum(x.nbytes for x in jax.live_arrays()) == held


def test_recomputing_takes_less_memory():
    kept, again = (
        activation_bytes(problem.build(published("float32").model_copy(update={"ansatz": spec}), int(80e9)).ansatz)
        for spec in (
            Spec(name="rwkv7", params={**published("float32").ansatz.params, "remat": remat}) for remat in (False, True)
        )
    )
    assert again < kept / 10


def test_bfloat16_weights_are_the_only_difference():
    """Their rounding changes log ψ by little; sums, states and log ψ stay in float32."""
    spec = Spec(name="rwkv7", params={**TINY, "width": 8, "head_size": 4})
    wide, params = network(spec, precision="float32", spread=0.1)
    half = dataclasses.replace(wide, precision="bfloat16")
    rounded = jax.tree.map(lambda x, like: x.astype(like.dtype), params, jax.eval_shape(half.init, jax.random.key(0)))
    types = {name: {x.dtype.name for x in jax.tree.leaves(leaf)} for name, leaf in rounded["params"].items()}
    assert types.pop("heads") == {"float32"}
    assert set.union(*types.values()) == {"bfloat16"}
    sigma = Sector(6).enumerate()
    exact, near = (np.asarray(jax.vmap(a.log_psi, (None, 0))(p, sigma)) for a, p in ((wide, params), (half, rounded)))
    assert near.dtype == np.float32
    assert 0 < np.abs(near - exact).max() < 0.05 < np.ptp(exact)
    assert abs(np.sum(np.exp(2 * near.astype(float))) - 1) < 1e-5
    with pytest.raises(ConfigError, match="precision: 'bfloat16' is not offered by the network 'arnn'"):
        problem.build(published("bfloat16").model_copy(update={"ansatz": Spec(name="arnn")}))


@pytest.mark.parametrize(("sz", "changes"), [(None, {}), (0.0, {"patch": 2, "phase": True})], ids=["all", "sector"])
def test_the_distribution_is_normalised_in_and_out_of_a_sector(sz, changes):
    """On 10 sites, also with patches of two; samples have the amplitude that they are given."""
    ansatz, params = network(Spec(name="rwkv7", params={**TINY, **changes}), n_sites=10, sz=sz)
    log_psi = jax.jit(jax.vmap(partial(ansatz.log_psi, params)))
    assert abs(np.sum(np.exp(2 * log_psi(jnp.asarray(ansatz.sector.enumerate())).real)) - 1) < 1e-10
    sigma, drawn = jax.jit(lambda: ansatz.sample(params, jax.random.key(0), 32))()
    assert all(map(ansatz.sector.contains, sigma))
    np.testing.assert_allclose(drawn, log_psi(sigma), atol=1e-10)
