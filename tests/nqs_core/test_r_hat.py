"""R̂ against independent implementations of the formulas of the papers, and against chains with known faults."""

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from nqs_core import r_hat


def ar1(phi, n_chains, n_draws, seed=0):
    """Stationary chains of mean 0 and variance 1 with ρ(t) = φ^t."""
    noise = np.random.default_rng(seed).normal(size=(n_chains, n_draws))
    noise[:, 1:] *= np.sqrt(1 - phi**2)
    return np.asarray(scipy.signal.lfilter([1.0], [1.0, -phi], noise, axis=1))


def plain(chains):
    """Vehtari et al., equations 1 to 4, without splitting."""
    m, n = len(chains), len(chains[0])
    means = [sum(chain) / n for chain in chains]
    between = n / (m - 1) * sum((mean - sum(means) / m) ** 2 for mean in means)
    within = sum(sum((x - mean) ** 2 for x in c) / (n - 1) for c, mean in zip(chains, means, strict=True)) / m
    return np.sqrt(((n - 1) / n * within + between / n) / within)


def halves(x):
    n = x.shape[1] // 2
    return [*x[:, :n].tolist(), *x[:, -n:].tolist()]


def by_ranks(x):
    """Section 4 of the same: normal scores of average ranks (equation 14), of the split chains."""
    h = np.array(halves(x))
    return plain(scipy.stats.norm.ppf((scipy.stats.rankdata(h) - 3 / 8) / (h.size + 1 / 4)).reshape(h.shape))


def by_groups(groups):
    """Margossian et al., section 2.2: B̂ of the superchains, Ŵ = B̃ + W̃ within them; (group, chain, draw)."""
    k = len(groups)
    centres = [np.mean(group) for group in groups]
    between = sum((c - np.mean(centres)) ** 2 for c in centres) / (k - 1)
    within = 0.0
    for group, centre in zip(groups, centres, strict=True):
        m, n = group.shape
        within += sum((np.mean(chain) - centre) ** 2 for chain in group) / (m - 1) / k
        within += sum(sum((chain - np.mean(chain)) ** 2) / (n - 1) for chain in group) / m / k
    return np.sqrt(1 + between / within)


SCALES = np.where(np.arange(16) % 2, 1.0, 2.5)[:, None]


@pytest.mark.parametrize("n_draws", [10, 64])
@pytest.mark.parametrize("shape", ["continuous", "ties", "tails"])
def test_against_the_formulas(n_draws, shape):
    x = ar1(0.5, 6, n_draws)
    x = {"continuous": x, "ties": np.round(x), "tails": x / np.abs(x) ** 1.5}[shape]
    split, bulk = plain(halves(x)), by_ranks(x)
    tails = by_ranks(np.abs(x - np.median(x)))
    assert r_hat.split(x) == pytest.approx(split, rel=1e-12)
    assert r_hat.ranked(x) == pytest.approx(max(bulk, tails), rel=1e-12)
    assert r_hat.largest(x) == max(r_hat.split(x), r_hat.ranked(x))


def test_nested_against_the_formula():
    x = ar1(0.5, 36, 11)
    order = np.argsort(x[:, 0])
    assert r_hat.nested(x) == pytest.approx(by_groups(x[order, 5:].reshape(6, 6, 6)), rel=1e-12)
    assert r_hat.nested(ar1(0.5, 38, 11)) > 1  # two chains in the middle are left out


def test_r_hat_is_near_one_for_chains_that_mix():
    assert r_hat.largest(ar1(0.3, 16, 2000)) == pytest.approx(1, abs=0.003)


@pytest.mark.parametrize(
    "fault",
    [
        lambda x: x + 0.5 * (np.arange(16) % 2)[:, None],
        lambda x: x + np.linspace(0, 1, 2000)[None],
        lambda x: np.where(np.arange(16)[:, None] == 0, 1.5, x),
        lambda x: np.broadcast_to(x[:, :1], x.shape),
    ],
    ids=["disagreeing", "drifting", "one stuck", "all stuck"],
)
def test_r_hat_sees_chains_that_do_not_mix(fault):
    x = fault(ar1(0.3, 16, 2000))
    assert r_hat.split(x) > 1.01
    assert r_hat.largest(x) >= r_hat.split(x)


def test_chains_that_differ_in_scale_are_seen_by_ranks_alone():
    x = SCALES * ar1(0.3, 16, 2000)
    assert r_hat.split(x) < 1.01
    assert r_hat.largest(x) > 1.1


def test_many_short_chains_are_judged_by_groups():
    """16 draws of 256 chains, τ = 2: they mix, and split R̂ cannot know."""
    mixing, slow = ar1(2 / 3, 256, 16), ar1(0.97, 256, 16)
    assert r_hat.largest(mixing) > 1.1
    assert r_hat.nested(mixing) < 1.03
    assert r_hat.nested(slow) > 1.3
    frozen = np.broadcast_to(mixing[:, :1], mixing.shape)
    assert r_hat.nested(frozen) > 2


def test_groups_by_chance_would_not_see_frozen_chains():
    """The broken twin of the order: any 16 frozen chains have about the same mean."""
    frozen = np.broadcast_to(ar1(0.0, 256, 1), (256, 16))
    assert by_groups(frozen.reshape(16, 16, 16)) < 1.1


def test_the_edges():
    for judge in (r_hat.split, r_hat.ranked, r_hat.largest):
        assert np.isnan(judge(np.zeros((8, 3))))
        assert np.isnan(r_hat.largest(np.full((8, 8), np.nan)))
        assert judge(np.full((8, 9), 0.7)) == 1
        assert judge(np.arange(8.0)[:, None] * np.ones((1, 8))) == np.inf
    noise = 0.7 + 1e-16 * ar1(0.9, 16, 32)  # a constant up to rounding: its order says nothing
    assert r_hat.largest(noise) == 1
    assert np.isnan(r_hat.nested(np.zeros((15, 8))))
    assert np.isnan(r_hat.nested(np.zeros((16, 3))))
    assert r_hat.nested(np.full((16, 8), 0.7)) == 1
