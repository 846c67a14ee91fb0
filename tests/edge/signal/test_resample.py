"""The step resampler against `scipy.signal.resample_poly` on the whole record."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from edge.core.errors import StreamError
from edge.core.samples import Cause
from edge.signal.resample import StepResampler, _filter, resampling_ratio

RATES = [50, 100, 125, 130, 250, 257, 300, 360, 500, 1000]
TARGET = 100


def resample(samples, missing, rate, cuts, *, first_step=56, step=100):
    resampler = StepResampler(samples.shape[0], rate, TARGET, first_step=first_step, step=step)
    steps = []
    for begin, end in zip([0, *cuts], [*cuts, samples.shape[1]], strict=True):
        steps += resampler.push(samples[:, begin:end], missing[:, begin:end])
    steps += resampler.flush()
    return tuple(np.concatenate([getattr(s, name) for s in steps], axis=-1) for name in ("values", "missing", "causes"))


def walk(instants, leads=2, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((leads, instants)).cumsum(axis=1) * 0.1 + 3).astype(np.float32)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seconds", [0.02, 0.37, 1.0, 13.02])
def test_equals_scipy_on_the_whole_record(rate, seconds):
    samples = walk(int(rate * seconds))
    up, down = resampling_ratio(rate, TARGET)
    twin = samples if up == down else signal.resample_poly(samples.astype(float), up, down, axis=1, padtype="edge")
    values, missing, _ = resample(samples, np.zeros(samples.shape, np.uint8), rate, [])
    assert values.shape == twin.shape
    assert not missing.any()
    # float32 sums over up to 2001 taps
    np.testing.assert_allclose(values, twin, atol=2e-4)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_chunking_gives_the_same_bits(data):
    rate = data.draw(st.sampled_from(RATES))
    instants = data.draw(st.integers(1, 6 * rate))
    cuts = sorted(data.draw(st.lists(st.integers(0, instants), max_size=40)))
    holes = data.draw(st.lists(st.tuples(st.integers(0, instants - 1), st.integers(1, rate)), max_size=4))
    samples, missing = walk(instants), np.zeros((2, instants), np.uint8)
    for begin, length in holes:
        missing[begin % 2, begin : begin + length] = Cause.CRC
    for whole, cut in zip(resample(samples, missing, rate, []), resample(samples, missing, rate, cuts), strict=True):
        np.testing.assert_array_equal(whole, cut)


@pytest.mark.parametrize("rate", [125, 250, 360])
def test_a_missing_value_never_reaches_an_output_that_is_used(rate):
    samples = walk(4 * rate)
    missing = np.zeros(samples.shape, np.uint8)
    missing[0, rate : rate + 7] = Cause.INVALID
    spoiled = samples.copy()
    spoiled[0, rate : rate + 7] = 1e6
    (clean, gone, _), (dirty, gone_too, causes) = (resample(data, missing, rate, []) for data in (samples, spoiled))
    np.testing.assert_array_equal(gone, gone_too)
    np.testing.assert_array_equal(clean[~gone], dirty[~gone])
    assert gone[0].any()
    assert not gone[1].any()
    assert not causes.any(), "an instant with one good lead is not missing"


def test_mask_is_the_support_of_the_filter():
    rate, (up, down) = 360, resampling_ratio(360, TARGET)
    missing = np.zeros((1, 4 * rate), np.uint8)
    missing[0, 700] = Cause.SEQUENCE_GAP
    _, gone, causes = resample(walk(4 * rate, leads=1), missing, rate, [])
    half = 10 * max(up, down)
    expected = [abs(m * down - 700 * up) <= half for m in range(gone.shape[1])]
    np.testing.assert_array_equal(gone[0], expected)
    assert set(causes) <= {Cause.PRESENT, Cause.SEQUENCE_GAP}


@pytest.mark.parametrize("rate", [0, -1, 49, 5000, float("nan"), 100 * np.pi])
def test_refuses_a_rate_out_of_range(rate):
    with pytest.raises(StreamError, match="sample rate"):
        resampling_ratio(rate, TARGET)


def test_a_device_that_keeps_changing_its_rate_does_not_fill_the_memory():
    """The filter of every ratio, up to 80 kB, was kept for ever."""
    for quarters in range(200, 600):
        StepResampler(1, quarters / 4, 100, first_step=1, step=1)
    for cached in (resampling_ratio, _filter):
        assert 0 < cached.cache_info().currsize <= 64
