"""Error bars and diagnostics against closed forms of AR(1) chains; τ = Σ_{t>=1} ρ(t), n / (1 + 2τ) effective draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from nqs_core import statistics


def ar1(phi, n_chains, n_draws, seed=0):
    """Stationary x_{t+1} = φ x_t + √(1 - φ²) noise: mean 0, variance 1, ρ(t) = φ^t."""
    noise = np.random.default_rng(seed).normal(size=(n_chains, n_draws))
    noise[:, 1:] *= np.sqrt(1 - phi**2)
    return jnp.asarray(scipy.signal.lfilter([1.0], [1.0, -phi], noise, axis=1))


# ---- autocorrelation


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.6, 0.9])
def test_autocorrelation_time_of_ar1_chains(phi):
    tau = statistics.autocorrelation_time(ar1(phi, 64, 4096))
    assert 1 + 2 * tau == pytest.approx((1 + phi) / (1 - phi), rel=0.05)


def test_autocorrelation_time_of_many_short_chains():
    """What training gives: 64 draws of each of 256 chains."""
    tau = statistics.autocorrelation_time(ar1(0.6, 256, 64))
    assert 1 + 2 * tau == pytest.approx(4.0, rel=0.1)


def test_autocorrelation_time_is_the_sum_of_correlations():
    """The transform against the definition, on chains so short that every lag counts."""
    x = np.asarray(ar1(0.8, 5, 7))
    x = x - x.mean()
    covariance = [np.mean(x[:, : 7 - t] * x[:, t:]) for t in range(7)]
    rho = np.array(covariance) / covariance[0]
    tau = np.cumsum([0, *rho[1:]])
    window = next((k for k in range(7) if k >= 5 * (0.5 + tau[k])), 6)
    assert statistics.autocorrelation_time(jnp.asarray(x)) == pytest.approx(max(tau[window], 0), rel=1e-12)


def test_autocorrelation_time_at_the_edges():
    assert np.isnan(statistics.autocorrelation_time(jnp.zeros((8, 1))))
    assert np.isnan(statistics.autocorrelation_time(jnp.full((8, 16), jnp.nan)))
    assert np.isnan(statistics.autocorrelation_time(ar1(0.5, 8, 16).at[3, 2].set(jnp.nan)))
    assert statistics.autocorrelation_time(jnp.full((8, 16), 0.7)) == 0
    assert statistics.autocorrelation_time(ar1(-0.5, 64, 256)) == 0  # never better than independent


def test_a_window_that_is_not_full_yet_counts_its_last_draws():
    x = ar1(0.8, 16, 40)
    window = jnp.full((16, 64), jnp.nan)
    for n in (1, 2, 5, 40):
        found = jax.jit(statistics.autocorrelation_time)(statistics.push(window, x[:, :n]), n)
        assert found == pytest.approx(float(statistics.autocorrelation_time(x[:, :n])), rel=1e-9, nan_ok=True)


def test_stuck_chains_count_as_one_sample_each():
    """Every chain at its own constant: about n_chains / 2 effective samples, whatever their length."""
    stuck = jnp.asarray(np.random.default_rng(0).normal(size=(16, 1)) * np.ones((1, 100)))
    tau = statistics.autocorrelation_time(stuck)
    assert 1600 / (1 + 2 * tau) == pytest.approx(8, rel=0.02)


# ---- the error bar


def covered(error_of):
    """How many of 400 error bars of one standard error hold the true mean 0."""
    chains = [ar1(0.8, 8, 500, seed) for seed in range(400)]
    return sum(abs(float(jnp.mean(x))) < error_of(x) for x in chains)


def test_error_bars_cover_the_truth_as_often_as_they_should():
    zero = jnp.zeros((8, 500))
    error = jax.jit(lambda x: statistics.estimate(x, zero, statistics.autocorrelation_time(x)).error)
    assert 0.62 < covered(error) / 400 < 0.74


def test_error_bars_without_autocorrelation_are_caught():
    assert covered(lambda x: float(jnp.std(x)) / np.sqrt(x.size)) / 400 < 0.5


def test_weights_move_the_mean_and_widen_the_error():
    """x ~ N(0, 1) weighted by exp(x): mean 1, variance 1, effective fraction 1/e, n error² = 2e."""
    x = ar1(0.0, 100, 4000)
    tau = float(statistics.autocorrelation_time(x))
    result = jax.jit(statistics.estimate)(x, x - 0.5, tau)
    assert result.mean == pytest.approx(1, abs=0.02)
    assert result.variance == pytest.approx(1, abs=0.05)
    assert statistics.weight_ess(x - 0.5) == pytest.approx(np.exp(-1), rel=0.05)
    assert result.ess == pytest.approx(np.exp(-1) / (1 + 2 * tau), rel=0.05)
    assert result.error**2 * x.size / (1 + 2 * tau) == pytest.approx(2 * np.e, rel=0.05)
    assert abs(result.mean - 1) < 5 * result.error


def test_effective_sizes_of_weights():
    assert statistics.weight_ess(jnp.full(10, 700.0)) == pytest.approx(1)
    assert statistics.weight_ess(jnp.array([0.0, -1000, -1000, -1000])) == pytest.approx(0.25)
    assert statistics.weight_ess(jnp.log(jnp.array([1.0, 3.0]))) == pytest.approx(16 / 10 / 2)


# ---- batches


def test_complex_values_count_whole_in_the_variance_and_with_their_real_part_in_the_error():
    rng = np.random.default_rng(0)
    x, log_weight = rng.normal(size=(4, 90)) + 1j * rng.normal(size=(4, 90)) + 1e6, rng.normal(size=(4, 90))
    e = statistics.estimate(jnp.asarray(x), jnp.asarray(log_weight), 0.0)
    weights = np.exp(log_weight) / np.exp(log_weight).sum()
    mean = np.sum(weights * x)
    assert complex(e.mean) == pytest.approx(mean, rel=1e-12)
    assert e.variance == pytest.approx(np.sum(weights * np.abs(x - mean) ** 2), rel=1e-9)
    assert e.error == pytest.approx(np.linalg.norm(weights * (x.real - mean.real)), rel=1e-9)


def test_a_window_over_many_calls_sees_what_one_long_call_sees():
    x = ar1(0.7, 32, 96)
    window = jnp.full((32, 64), jnp.nan)
    for k in range(0, 96, 4):
        window = statistics.push(window, x[:, k : k + 4])
    assert np.array_equal(window, x[:, -64:])
    assert statistics.push(window, x).shape == (32, 64)


def test_float32_energies_are_added_up_in_float64():
    x = (1e3 + np.random.default_rng(0).normal(size=(64, 1000))).astype(np.float32)
    e = statistics.estimate(jnp.asarray(x), jnp.zeros(x.shape), 0.0)
    assert e.mean.dtype == jnp.float64
    assert e.variance == pytest.approx(x.astype(np.float64).var(), rel=1e-10)


# ---- distances


def test_jensen_shannon_divergence():
    p, q = jnp.array([0.5, 0.5, 0.0, 0.0]), jnp.array([0.0, 0.0, 0.1, 0.9])
    assert statistics.jensen_shannon(p, p) == 0
    assert statistics.jensen_shannon(p, q) == pytest.approx(1)
    r = jnp.array([0.5, 0.25, 0.25, 0.0])
    # m = (1/2, 3/8, 1/8, 0): ½ (½ log2 4/3) + ½ (¼ log2 2/3 + ¼ log2 2)
    expected = 0.25 * np.log2(4 / 3) + 0.125 * (np.log2(2 / 3) + 1)
    assert statistics.jensen_shannon(p, r) == pytest.approx(expected)
    assert statistics.jensen_shannon(r, p) == pytest.approx(expected)


def test_empirical_distribution_counts_weights():
    index = jnp.array([0, 2, 2, 1])
    np.testing.assert_allclose(statistics.empirical(index, 4), [0.25, 0.25, 0.5, 0])
    weights = jnp.log(jnp.array([1.0, 2.0, 3.0, 2.0]))
    np.testing.assert_allclose(statistics.empirical(index, 4, weights), [1 / 8, 2 / 8, 5 / 8, 0])


def test_the_floor_is_what_a_perfect_sampler_shows():
    """Falls like 1 / n; a sampler that has lost half of the states stands far above it."""
    p = jax.nn.softmax(jax.random.normal(jax.random.key(0), (256,)))
    floors = [float(statistics.jensen_shannon_floor(jax.random.key(1), p, n)) for n in (2560, 25_600)]
    # Each state adds p (k/np - 1)² / (8 ln 2) on average: (n_states - 1) / (8 n ln 2).
    assert floors[1] == pytest.approx(255 / (8 * 25_600 * np.log(2)), rel=0.25)
    assert floors[0] == pytest.approx(10 * floors[1], rel=0.35)
    half = jnp.where(jnp.arange(256) < 128, p, 0.0)
    assert statistics.jensen_shannon(half / half.sum(), p) > 50 * floors[1]


def test_v_score_is_zero_for_an_eigenstate():
    assert statistics.v_score(16, -20.0, 0.0) == 0
    assert statistics.v_score(16, -20.0, 4.0) == pytest.approx(0.16)


# ---- zero variance


def descent(seed, n=400, e0=-20.0, slope=0.3, curve=0.0, start=40.0, floor=0.3, decay=60.0, phi=0.85):
    """1024 samples a step: variances that fall to `floor`, energies on a line with AR(1) noise of their errors."""
    rng = np.random.default_rng(seed)
    variance = floor + start * np.exp(-np.arange(n) / decay)
    error = np.sqrt(variance / 1024)
    energy = e0 + slope * variance + curve * variance**2 + error * np.asarray(ar1(phi, 1, n, seed))[0]
    return energy, error, variance * (1 + rng.normal(size=n) * np.sqrt(3 / 1024))


def hits(extrapolate):
    """How many of 300 error bars of one standard error hold the true -20."""
    found = [extrapolate(*descent(seed)) for seed in range(300)]
    return sum(abs(energy + 20) < error for energy, error in found)


def test_error_bars_at_zero_variance_cover_the_truth():
    def extrapolate(energy, error, variance):
        result = statistics.zero_variance(energy, error, variance)
        assert result.accepted
        assert result.slope == pytest.approx(0.3, abs=0.05)
        assert result.n_points == len(result.points) >= 8
        assert result.error is not None
        assert result.systematic is not None
        assert result.systematic == pytest.approx(0.5 * 0.3 * 0.36, rel=0.3)
        return result.energy, np.sqrt(result.error**2 - result.systematic**2)

    assert 0.6 < hits(extrapolate) / 300 < 0.8


def test_a_plain_fit_of_correlated_steps_covers_too_little():
    def extrapolate(energy, error, variance):
        coefficients, covariance = np.polyfit(variance, energy, 1, w=1 / error, cov="unscaled")
        return coefficients[1], np.sqrt(covariance[1, 1])

    assert hits(extrapolate) / 300 < 0.5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n": 63}, "63 steps are too few: 64 are needed"),
        ({"start": 0.0}, "changes by less than a factor 2"),
        ({"slope": -0.3}, "does not rise"),
        ({"slope": 0.0}, "does not rise"),
        ({"decay": 10.0, "floor": 0.0}, "still falls too fast"),
        ({"curve": 0.3, "slope": 0.01, "decay": 150.0}, "not linear"),
    ],
)
def test_an_extrapolation_that_means_nothing_is_refused(changes, reason):
    result = statistics.zero_variance(*descent(0, **changes))
    assert not result.accepted
    assert reason in result.reason
    assert result.energy is None
    assert result.error is None


def test_missing_steps_are_left_out():
    energy, error, variance = descent(0, n=100)
    broken = energy.copy()
    broken[::2] = np.nan
    assert "50 steps are too few" in statistics.zero_variance(broken, error, variance).reason
    assert not statistics.zero_variance(energy[:0], error[:0], variance[:0]).accepted
