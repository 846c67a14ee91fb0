"""The true rate of a stream whose blocks arrive late or in bursts, by clocks that are set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.sources.rate_estimator import RateEstimator


def arrivals(true_hz, seconds, *, block=13, jitter_s=0.02, seed=0, start_s=1000.0):
    """Return (index after the block, arrival time) of each block; the delays are never negative."""
    ends = np.arange(block, int(seconds * true_hz), block)
    delays = np.random.default_rng(seed).exponential(jitter_s, ends.size)
    return ends.tolist(), np.maximum.accumulate(start_s + ends / true_hz + delays).tolist()


def estimate(nominal_hz, ends, times):
    rate = RateEstimator(nominal_hz)
    for end, time_s in zip(ends, times, strict=True):
        rate.add(end, time_s)
    return rate


def test_a_chest_strap_of_nominally_130_hz():
    rate = estimate(130.0, *arrivals(130.061, 600))
    assert rate.rate_hz == pytest.approx(130.061, abs=0.003)
    assert rate.ppm == pytest.approx(469, abs=20)


def test_too_little_data_gives_no_estimate():
    assert estimate(250.0, *arrivals(250.0, 15)).rate_hz is None
    assert RateEstimator(250.0).ppm is None


@settings(deadline=None)
@given(
    st.floats(-2000, 2000),
    st.sampled_from([125.0, 130.0, 250.0, 500.0]),
    st.integers(1, 250),
    st.floats(0.0, 0.05),
    st.integers(0, 1000),
)
def test_any_rate_is_found(ppm, nominal_hz, block, jitter_s, seed):
    true_hz = nominal_hz * (1 + ppm * 1e-6)
    rate = estimate(nominal_hz, *arrivals(true_hz, 300, block=block, jitter_s=jitter_s, seed=seed))
    assert rate.ppm == pytest.approx(ppm, abs=5 + 4000 * jitter_s)


step = st.floats(0.4, 1e4) | st.floats(-1e4, -0.4)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.05, 0.95), step), max_size=4), st.integers(0, 1000))
def test_steps_of_the_clock_do_no_harm(steps, seed):
    ends, times = arrivals(130.061, 600, seed=seed)
    for share, step_s in steps:
        first = int(share * len(times))
        times[first:] = [time_s + step_s for time_s in times[first:]]
    rate_hz = estimate(130.0, ends, times).rate_hz
    assert rate_hz == pytest.approx(130.061, abs=0.013)


@settings(deadline=None)
@given(st.floats(0.0, 1.0), st.floats(-0.4, 0.4), st.integers(0, 1000))
def test_a_small_step_tilts_the_line_only_a_little(share, step_s, seed):
    ends, times = arrivals(130.0, 600, seed=seed)
    first = int(share * len(times))
    times[first:] = [time_s + step_s for time_s in times[first:]]
    assert estimate(130.0, ends, times).ppm == pytest.approx(0, abs=1e6 * 1.7 * 0.22 / 600)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 0.8), st.floats(1, 60)), max_size=4))
def test_a_backlog_that_arrives_at_once_does_no_harm(stalls):
    ends, times = arrivals(250.0, 600)
    held = np.array(times)
    for share, length_s in stalls:
        since = held[int(share * held.size)]
        held = np.where((held >= since) & (held < since + length_s), since + length_s, held)
    assert estimate(250.0, ends, held.tolist()).ppm == pytest.approx(0, abs=150)


def test_the_estimate_survives_a_restart_of_the_count():
    ends, times = arrivals(130.061, 300)
    rate = estimate(130.0, ends, times)
    for end, time_s in zip(ends, times, strict=True):
        rate.add(end, time_s + 400)
    assert rate.rate_hz == pytest.approx(130.061, abs=0.005)


def test_the_memory_is_bounded_over_a_long_run():
    ends, times = arrivals(250.05, 24 * 3600, block=250)
    rate = estimate(250.0, ends, times)
    assert len(rate._points) < 256
    assert rate.ppm == pytest.approx(200, abs=1)
