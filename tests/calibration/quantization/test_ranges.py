"""Histograms lose no value, and the entropy search cuts a long tail, which MinMax cannot."""

import numpy as np
import pytest

from calibration.quantization.ranges import BINS, METHODS, Histogram, divergence, least_divergence


def long_tailed(size=200_000):
    random = np.random.default_rng(0)
    values = random.normal(size=size).astype(np.float32)
    values[:20] = random.uniform(40, 80, 20)
    return values


def filled(*parts):
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    return histogram


def squared_error(values, limit):
    """Mean squared error of int8 over the bulk, the values that are no outliers."""
    bulk = values[np.abs(values) < 6]
    scale = limit / 127
    return np.mean((np.clip(np.rint(bulk / scale), -127, 127) * scale - bulk) ** 2)


def test_the_entropy_search_beats_minmax_on_a_long_tail():
    values = long_tailed()
    histogram = filled(values)
    minmax, entropy = histogram.range("minmax"), histogram.range("entropy")
    assert entropy < 0.3 * minmax
    assert squared_error(values, entropy) < 0.1 * squared_error(values, minmax)
    bins = round(entropy / histogram.limit * BINS)
    assert divergence(histogram.counts, bins) < divergence(histogram.counts, BINS)


def test_the_entropy_search_keeps_a_range_that_is_evenly_used():
    histogram = filled(np.linspace(-1, 1, 400_000, dtype=np.float32))
    assert histogram.range("entropy") == pytest.approx(1.0, rel=0.01)


def test_zeros_do_not_decide_the_range():
    """An absent lead and a ReLU make many zeros, which any range holds exactly."""
    values = np.abs(long_tailed())
    plain = filled(values).range("entropy")
    assert filled(values, np.zeros(2_000_000, np.float32)).range("entropy") == pytest.approx(plain, rel=0.1)


def test_percentile_and_minmax():
    values = np.linspace(0, 10, 1_000_001, dtype=np.float32)
    assert filled(values).range("minmax") == pytest.approx(10.0)
    assert filled(values).range("percentile") == pytest.approx(9.999, rel=1e-3)


def test_no_value_is_lost_when_a_larger_one_comes():
    parts = [np.full(10, value, np.float32) for value in (0.5, -3.0, 0.1, 100.0)]
    histogram = filled(*parts)
    assert histogram.counts.sum() == 40
    assert 100.0 <= histogram.limit <= 200.0
    assert histogram.range("minmax") == pytest.approx(100.0, rel=2 / BINS)


@pytest.mark.parametrize("method", METHODS)
def test_an_activation_that_is_always_zero(method):
    assert filled(np.zeros(100, np.float32)).range(method) == 0.0


def test_of_equal_limits_the_larger_is_chosen():
    counts = np.zeros(BINS, np.int64)
    counts[:100] = 5
    assert least_divergence(counts) == 100, "fewer bins than levels lose nothing"
