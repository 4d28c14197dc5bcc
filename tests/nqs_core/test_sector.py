"""Which configurations belong to a sector, counted and drawn."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nqs_core.errors import ConfigError, TooLargeError
from nqs_core.sector import Sector

CASES = [(n, None) for n in (2, 3, 6)] + [(n, sz) for n in (2, 3, 6) for sz in np.arange(-n / 2, n / 2 + 1).tolist()]


@pytest.mark.parametrize(("n", "sz"), CASES)
def test_enumeration_equals_the_filtered_product(n, sz):
    sector = Sector(n, sz)
    # Bit k of the index is (1 - sigma_k) / 2, so site 0 changes fastest.
    whole = [sigma[::-1] for sigma in itertools.product((1, -1), repeat=n)]
    expected = [list(sigma) for sigma in whole if sz is None or sum(sigma) == 2 * sz]
    assert sector.enumerate().tolist() == expected
    assert sector.size == len(expected)
    states = sector.enumerate().astype(int)
    np.testing.assert_array_equal(((1 - states) // 2 * 2 ** np.arange(n)).sum(axis=1), sector.indices())
    inside = [bool(sector.contains(jnp.array(sigma, jnp.int8))) for sigma in whole]
    assert inside == [list(sigma) in expected for sigma in whole]


@pytest.mark.parametrize(("n", "sz"), [(4, None), (4, 0.0), (5, 0.5), (4, 2.0)])
def test_random_configurations_are_uniform_in_the_sector(n, sz):
    sector = Sector(n, sz)
    drawn = np.asarray(sector.random(jax.random.key(1), 4000))
    assert drawn.dtype == np.int8
    codes = ((1 - drawn.astype(int)) // 2 * 2 ** np.arange(n)).sum(axis=1)
    assert set(codes) == set(sector.indices().tolist())
    counts = np.bincount(np.searchsorted(sector.indices(), codes), minlength=sector.size)
    assert sector.size == 1 or stats.chisquare(counts).pvalue > 1e-3


def test_the_uniformity_test_would_notice_a_biased_draw():
    drawn = np.array(Sector(4).random(jax.random.key(1), 4000))
    drawn[drawn[:, 0] > 0, 1] = 1
    codes = ((1 - drawn.astype(int)) // 2 * 2 ** np.arange(4)).sum(axis=1)
    assert stats.chisquare(np.bincount(codes, minlength=16)).pvalue < 1e-3


@pytest.mark.parametrize(("n", "sz"), [(4, 0.5), (4, 3.0), (5, 0.0), (5, 0.25), (4, -2.5)])
def test_impossible_magnetisations_are_refused(n, sz):
    with pytest.raises(ConfigError, match=rf"{n} spins.*allowed: {-n / 2:g}"):
        Sector(n, sz)


def test_large_sectors_are_counted_but_not_enumerated():
    assert Sector(100, 0.0).size == math.comb(100, 50)
    for sector in (Sector(100, 0.0), Sector(25), Sector(40, 0.0)):
        with pytest.raises(TooLargeError, match="configurations"):
            sector.indices()
    assert len(Sector(36, 17.0).indices()) == 36


@pytest.mark.parametrize(("n", "sz"), [(20, None), (21, 0.5), (1023, None), (1000, 3.0)])
def test_the_logarithm_of_a_size_is_that_of_the_size(n, sz):
    sector = Sector(n, sz)
    assert sector.log10_size == pytest.approx(math.log10(sector.size), rel=1e-12)


@pytest.mark.parametrize(
    ("sector", "words"),
    [
        (Sector(10), "1.02e+03"),
        (Sector(1100), "10^331"),
        (Sector(10_000), "10^3010"),
        (Sector(10**6, 0.0), "10^301027"),
    ],
)
def test_a_size_of_any_length_is_said(sector, words):
    assert sector.amount() == words
    if sector.n_sites > 40:
        with pytest.raises(TooLargeError, match=rf"needs {words.replace('^', '.')} configurations"):
            sector.indices()
