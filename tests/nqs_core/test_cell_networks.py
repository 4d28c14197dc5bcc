"""Networks on the cells of a lattice: their definitions, their invariances, what they refuse."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from nqs_core.ansatze import ANSATZE
from nqs_core.ansatze.base import FullForward, flip
from nqs_core.ansatze.grid import displacements, n_displacements, patches
from nqs_core.ansatze.windows import Windows
from nqs_core.config import Spec
from nqs_core.errors import ConfigError
from nqs_core.sector import Sector
from tests.contracts.variants import SMALL, label, moved, variants
from tests.nqs_core.small import lattice

INVARIANT = [s for s in variants(ANSATZE) if s.name in ("rescnn", "convnext", "vit", "gcnn") or "symmetric" in s.params]
PLACES = {
    "square": {"extent": [2, 4]},
    "triangular": {"extent": [2, 4]},
    "honeycomb": {"extent": [2, 4]},
    "kagome": {"extent": [4, 2]},
    "cubic": {"extent": [2, 2, 4]},
    "open": {"extent": [4, 2], "periodic": [True, False]},
}
# Every network on every lattice would take minutes: each variant on one, each lattice with several variants.
CASES = [(spec, list(PLACES)[k % len(PLACES)]) for k, spec in enumerate(INVARIANT)]


def build(spec: Spec, on: Any) -> Any:
    return ANSATZE.build(spec, lattice=on, sector=Sector(on.n_sites), precision="float64")


def small(name: str, **params: Any) -> Spec:
    return Spec(name=name, params=SMALL.get(name, {}) | params)


def every(ansatz: Any, params: Any, sigma: Any) -> Any:
    return np.asarray(jax.jit(jax.vmap(partial(ansatz.log_psi, params)))(jnp.asarray(sigma)))


@pytest.mark.parametrize(("spec", "place"), CASES, ids=[f"{label(s)}-{place}" for s, place in CASES])
def test_translations_by_a_step_change_nothing_and_others_do(spec, place):
    place = "square" if place == "open" and spec.name == "gcnn" else place
    on = lattice("square" if place == "open" else place, **PLACES[place])
    ansatz = build(spec, on)
    theta = moved(jax.jit(ansatz.init)(jax.random.key(1)))
    sigma = np.asarray(Sector(on.n_sites).random(jax.random.key(2), 1))[0]
    counts = [n if p else 1 for n, p in zip(on.extent, on.periodicity, strict=True)]
    shifts = np.stack(np.unravel_index(np.arange(len(on.translations())), counts), axis=-1)
    same = np.all(shifts % ansatz.steps == 0, axis=1)
    log_psi = every(ansatz, theta, sigma[on.translations()])
    np.testing.assert_allclose(np.exp(log_psi[same] - log_psi[0]), 1, atol=1e-11)
    if max(ansatz.steps) > 1:
        assert np.abs(log_psi[~same] - log_psi[0]).max() > 1e-6
    other = every(ansatz, theta, Sector(on.n_sites).random(jax.random.key(3), 4))
    assert np.ptp(other.real) > 1e-3


def normalised(x, scale, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * scale + bias


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


def circular(x, kernel, bias):
    """y_r = b + Σ_d x_(r+d) K_d on a ring."""
    width = len(kernel) // 2
    return bias + sum(np.roll(x, -d, axis=0) @ kernel[d + width] for d in range(-width, width + 1))


def arrays(params):
    return jax.tree.map(np.asarray, params["params"])


def conv(p):
    return p["conv"]["kernel"], p["conv"]["bias"]


def test_rescnn_by_hand():
    on = lattice("chain", length=6)
    ansatz = build(Spec(name="rescnn", params={"channels": 4, "blocks": 1, "head": "modulus_phase"}), on)
    theta = moved(ansatz.init(jax.random.key(1)))
    p = arrays(theta)
    sigma = np.array([1, -1, -1, 1, 1, -1], np.int8)

    def f(x, k, norm):
        return gelu(normalised(circular(x, *conv(p[k])), p[norm]["scale"], p[norm]["bias"]))

    x = f(sigma[:, None].astype(float), "embed", "norms_0")
    x = x + f(f(x, "convs_0", "norms_1"), "convs_1", "norms_2")
    out = x.mean(0) @ p["last"]["kernel"]
    assert complex(ansatz.log_psi(theta, jnp.asarray(sigma))) == pytest.approx(out[0] + 1j * out[1], abs=1e-12)


def test_prenorm_by_hand():
    on = lattice("chain", length=6)
    spec = Spec(name="rescnn", params={"channels": 4, "blocks": 2, "form": "prenorm", "head": "complex"})
    ansatz = build(spec, on)
    theta = moved(ansatz.init(jax.random.key(1)))
    p = arrays(theta)
    sigma = np.array([1, -1, -1, 1, 1, -1], np.int8)
    x = circular(sigma[:, None].astype(float), *conv(p["embed"]))
    for t in range(2):
        y = circular(gelu(x / np.sqrt(t + 1)), *conv(p[f"convs_{2 * t}"]))
        x = x + circular(gelu(y), *conv(p[f"convs_{2 * t + 1}"]))
    x = x / np.sqrt(3)
    psi = np.exp(x[:, :2] + 1j * x[:, 2:]).mean()
    assert np.exp(complex(ansatz.log_psi(theta, jnp.asarray(sigma)))) == pytest.approx(psi, rel=1e-12)


def head(p, x):
    z = normalised(x, **p["norm"])
    a, b = (normalised(z @ p[k]["kernel"] + p[k]["bias"], **p[f"norm_{k}"]) for k in ("real", "imag"))
    return np.prod(2 * np.cosh(a + 1j * b))


def test_convnext_by_hand():
    on = lattice("chain", length=6)
    ansatz = build(Spec(name="convnext", params={"channels": 4, "blocks": 1, "head": "complex"}), on)
    theta = moved(ansatz.init(jax.random.key(1)))
    p = arrays(theta)
    sigma = np.array([1, -1, -1, 1, 1, -1], np.int8)
    x = sigma.reshape(3, 2) @ p["embed"]["kernel"]
    y = p["convs_0"]["bias"] + sum(np.roll(x, -d, axis=0) * p["convs_0"]["kernel"][d + 1] for d in (-1, 0, 1))
    y = gelu(normalised(y, **p["norms_0"]) @ p["expand_0"]["kernel"] + p["expand_0"]["bias"])
    x = x + y @ p["reduce_0"]["kernel"] + p["reduce_0"]["bias"]
    psi = head(p["last"], x.sum(0))
    assert np.exp(complex(ansatz.log_psi(theta, jnp.asarray(sigma)))) == pytest.approx(psi, rel=1e-11)


@pytest.mark.parametrize("attention", ["factored", "full"])
def test_vit_by_hand(attention):
    on = lattice("chain", length=6)
    params = {"features": 4, "layers": 1, "heads": 2, "head": "complex", "attention": attention}
    ansatz = build(Spec(name="vit", params=params), on)
    theta = moved(ansatz.init(jax.random.key(1)))
    p = arrays(theta)
    sigma = np.array([1, -1, -1, 1, 1, -1], np.int8)
    x = sigma.reshape(3, 2) @ p["embed"]["kernel"] + p["embed"]["bias"]
    a = p["attention_0"]
    y = normalised(x, **p["norm_0"])
    mixed = np.zeros((3, 4))
    for h in range(2):
        columns = slice(2 * h, 2 * h + 2)
        weights = np.array([[a["alpha"][h, (i - j) % 3] for j in range(3)] for i in range(3)])
        if attention == "full":
            q, k = ((y @ a[name]["kernel"])[:, columns] for name in ("query", "key"))
            weights = np.exp(q @ k.T / np.sqrt(2) + weights)
            weights = weights / weights.sum(1, keepdims=True)
        mixed[:, columns] = weights @ (y @ a["value"]["kernel"] + a["value"]["bias"])[:, columns]
    x = x + mixed @ a["out"]["kernel"] + a["out"]["bias"]
    y = gelu(normalised(x, **p["norm_expand_0"]) @ p["expand_0"]["kernel"] + p["expand_0"]["bias"])
    x = x + y @ p["reduce_0"]["kernel"] + p["reduce_0"]["bias"]
    psi = head(p["head"], x.sum(0))
    assert np.exp(complex(ansatz.log_psi(theta, jnp.asarray(sigma)))) == pytest.approx(psi, rel=1e-11)


def test_shared_filters_are_an_rbm_of_translated_filters():
    on = lattice("honeycomb", extent=[2, 2])
    ansatz = build(Spec(name="rbm", params={"alpha": 1, "symmetric": True}), on)
    theta = moved(ansatz.init(jax.random.key(1)))
    p = arrays(theta)
    assert p["filters"].shape == (2, 8)
    assert p["visible"].shape == (2,)
    sigma = np.asarray(Sector(8).random(jax.random.key(2), 5))
    moved_back = sigma[:, np.argsort(on.translations(), axis=1)]  # (sample, t, site)
    angles = np.einsum("stj,fj->sft", moved_back, p["filters"]) + p["bias"][:, None]
    visible = sigma.reshape(5, 4, 2).sum(1) @ p["visible"]
    expected = visible + np.log(2 * np.cosh(angles)).sum(axis=(1, 2))
    np.testing.assert_allclose(every(ansatz, theta, sigma), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("spec", "place", "params", "pays"),
    [
        (Spec(name="rescnn", params={"channels": 4, "blocks": 1}), "chain", {"length": 48}, True),
        (
            Spec(name="rescnn", params={"channels": 2, "blocks": 1, "form": "prenorm"}),
            "honeycomb",
            {"extent": [16, 16]},
            True,
        ),
        (Spec(name="convnext", params={"channels": 4, "blocks": 1, "head": "complex"}), "chain", {"length": 40}, True),
        (Spec(name="rescnn", params={"channels": 4, "blocks": 1}), "chain", {"length": 30}, False),
        (Spec(name="rescnn", params={"channels": 4, "blocks": 1}), "chain", {"length": 40, "periodic": False}, False),
    ],
    ids=lambda x: label(x) if isinstance(x, Spec) else None,
)
def test_windows_equal_full_forwards_and_are_used_where_they_pay(spec, place, params, pays):
    on = lattice(place, **params)
    ansatz = build(spec, on)
    assert isinstance(ansatz.local_updates(), Windows) == pays
    if not pays:
        return
    theta = moved(jax.jit(ansatz.init)(jax.random.key(1)))
    rng = np.random.default_rng(0)
    n = on.n_sites
    moves = jnp.asarray([[0, 1], [3, -1], [n - 1, 0], [5, n // 2], [-1, -1], [n // 3, n // 3 + 1], [-1, 7]])
    updates, full = ansatz.local_updates(), FullForward(ansatz)
    sigma = jnp.asarray(rng.choice([-1, 1], (3, n)).astype(np.int8))

    @jax.jit
    @jax.vmap
    def compare(s):
        cache, log_psi = updates.cache(theta, s), ansatz.log_psi(theta, s)
        ratios = updates.log_ratios(theta, cache, s, moves, jnp.arange(7) != 3)
        for k in (2, 3, 4, 0):
            cache = updates.advance(theta, cache, s, moves[k])
            s = flip(s, moves[k])
        after = updates.log_ratios(theta, cache, s, moves)
        return ratios, after, updates.log_psi(theta, cache), s, log_psi

    ratios, after, log_psi, end, start = compare(sigma)
    expected = jax.jit(jax.vmap(lambda s, log_psi: full.log_ratios(theta, log_psi, s, moves)))
    used = np.arange(7) != 3
    np.testing.assert_allclose(np.exp(ratios)[:, used], np.exp(expected(sigma, start))[:, used], rtol=1e-10)
    np.testing.assert_allclose(np.exp(after), np.exp(expected(end, log_psi)), rtol=1e-10)
    np.testing.assert_allclose(np.exp(log_psi), np.exp(every(ansatz, theta, end)), rtol=1e-10)
    assert np.ptp(np.real(ratios)) > 1e-3


def test_patches_keep_the_order_of_the_cells():
    x = jnp.arange(24).reshape(4, 6, 1)
    out = np.asarray(patches(x.astype(jnp.float64), 2))
    assert out.shape == (2, 3, 4)
    assert out[1, 2].tolist() == [16, 17, 22, 23]


def test_displacements_wrap_along_periodic_axes_only():
    table = displacements((3, 2), (True, False))
    assert n_displacements((3, 2), (True, False)) == 9
    assert table[0, 1] != table[1, 0]  # open
    assert len({int(table[i, (i + 2) % 6]) for i in (0, 2, 4)}) == 1  # periodic
    assert set(table.ravel().tolist()) == set(range(9))


@pytest.mark.parametrize(
    ("spec", "place", "params", "message"),
    [
        (small("rescnn"), "all_to_all", {"size": 6}, "no translations"),
        (small("gcnn"), "all_to_all", {"size": 6}, "no translations"),
        (small("rbm", symmetric=True), "all_to_all", {"size": 6}, "has none"),
        (small("convnext", patch=3), "square", {"extent": [4, 4]}, "allowed: 1, 2"),
        (small("vit", patch=4), "square", {"extent": [4, 4]}, "allowed: 1, 2"),
        (small("vit", heads=4), "chain", {"length": 6}, "must divide features"),
        (small("rescnn", kernel=2), "chain", {"length": 6}, "must be odd"),
        (small("gcnn"), "chain", {"length": 6, "periodic": False}, "periodic boundaries"),
        (small("rescnn", form="prenorm", head="modulus_phase"), "chain", {"length": 6}, "heads real and complex"),
        (small("rescnn", form="prenorm", head="complex", channels=3), "chain", {"length": 6}, "must be even"),
    ],
    ids=lambda x: label(x) if isinstance(x, Spec) else None,
)
def test_what_does_not_fit_is_refused_with_what_does(spec, place, params, message):
    with pytest.raises(ConfigError, match=message):
        build(spec, lattice(place, **params))


@pytest.mark.parametrize("name", ["convnext", "vit"])
def test_the_default_patch_fits_the_lattice(name):
    for extent, width in (([4, 4], 2), ([4, 3], 1), ([2, 4], 1)):
        assert build(small(name), lattice("square", extent=extent)).steps == (width, width)
