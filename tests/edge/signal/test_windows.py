"""Windows do not depend on how the stream was cut into blocks, and name what they lack."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bundle.manifest import InputSpec
from edge.core.errors import StreamError
from edge.core.samples import Cause
from edge.signal.windows import WindowStream

LONG = InputSpec(sample_rate_hz=100, window_s=10, hop_s=1, min_coverage=0.9)
SHORT = InputSpec(sample_rate_hz=100, window_s=2.56, hop_s=1, min_coverage=0.9)
LEADS = ("MLII", "V1", "resp")
FIELDS = ("first_sample", "end_sample", "cause", "positions", "issues", "heart_rate", "beats")


def cut_windows(samples, missing, *, rate=360, cuts=(), spec=LONG, leads=LEADS):
    stream = WindowStream(spec, rate, leads)
    windows = []
    for begin, end in zip([0, *cuts], [*cuts, samples.shape[1]], strict=True):
        windows += stream.push(samples[:, begin:end], missing[:, begin:end])
    return [*windows, *stream.finish()]


def ecg(instants, leads=3, rate=360):
    """Return complexes of 1 mV, one a second, in a little noise, so that each sample has a value of its own."""
    complexes = np.interp(np.arange(instants) / rate % 1.0, [0.4, 0.45, 0.5], [0.0, 1.0, 0.0])
    return (complexes + 0.01 * np.random.default_rng(1).standard_normal((leads, instants))).astype(np.float32)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_chunking_and_any_gap_gives_the_same_windows(data):
    rate, spec = data.draw(st.sampled_from([100, 250, 360])), data.draw(st.sampled_from([LONG, SHORT]))
    instants = data.draw(st.integers(0, 20 * rate))
    cuts = sorted(data.draw(st.lists(st.integers(0, instants), max_size=30)))
    samples, missing = ecg(instants, rate=rate), np.zeros((3, instants), np.uint8)
    for begin, length, lead in data.draw(
        st.lists(st.tuples(st.integers(0, instants), st.integers(1, 4 * rate), st.integers(0, 3)), max_size=4)
    ):
        missing[slice(None) if lead == 3 else lead, begin : begin + length] = Cause.CRC
    whole, cut = (cut_windows(samples, missing, rate=rate, cuts=c, spec=spec) for c in ([], cuts))
    assert len(whole) == len(cut)
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(one.signal, other.signal)
        assert [getattr(one, name) for name in FIELDS] == [getattr(other, name) for name in FIELDS]


def test_length_hop_and_position_of_windows():
    windows = cut_windows(ecg(30 * 360), np.zeros((3, 30 * 360), np.uint8))
    assert [w.first_sample for w in windows] == [360 * k for k in range(21)]
    assert [w.end_sample for w in windows] == [360 * (k + 10) for k in range(21)]
    assert [w.settled_sample for w in windows] == [360 * (k + 1) for k in range(21)]
    assert {w.leads for w in windows} == {("II", "V1")}
    assert {w.signal.shape for w in windows} == {(2, 1000)}


def test_a_hop_that_does_not_divide_the_window():
    windows = cut_windows(ecg(1000, rate=100), np.zeros((3, 1000), np.uint8), rate=100, spec=SHORT)
    assert [w.end_sample for w in windows] == [256 + 100 * k for k in range(8)]


@pytest.mark.parametrize(("gap_s", "rejected"), [(0.5, 0), (1.5, 10)])
def test_a_window_with_too_much_missing_is_bad_and_names_the_cause(gap_s, rejected):
    missing = np.zeros((3, 40 * 360), np.uint8)
    missing[:, 20 * 360 : round((20 + gap_s) * 360)] = Cause.LEAD_OFF
    windows = cut_windows(ecg(40 * 360), missing)
    bad = [w for w in windows if w.cause is not Cause.PRESENT]
    assert len(bad) == rejected
    assert {w.cause for w in bad} <= {Cause.LEAD_OFF}
    assert all(w.signal.shape == (0, 1000) for w in bad)


def test_a_bad_lead_is_left_out_and_the_other_is_kept():
    samples, missing = ecg(12 * 360), np.zeros((3, 12 * 360), np.uint8)
    samples[0] = 0.7
    windows = cut_windows(samples, missing)
    assert {w.leads for w in windows} == {("V1",)}


def test_a_flat_stream_is_of_bad_quality():
    windows = cut_windows(np.full((3, 12 * 360), 0.7, np.float32), np.zeros((3, 12 * 360), np.uint8))
    assert {w.cause for w in windows} == {Cause.BAD_QUALITY}


@pytest.mark.parametrize(("seconds", "windows"), [(3, 0), (8.9, 0), (9.2, 1), (10, 1), (10.05, 2)])
def test_a_short_record_is_classified_when_enough_of_a_window_arrived(seconds, windows):
    instants = int(seconds * 300)
    got = cut_windows(ecg(instants, 1), np.zeros((1, instants), np.uint8), rate=300, leads=("ECG",))
    assert len(got) == windows
    assert all(w.end_sample <= instants for w in got)


def test_refuses_a_stream_without_any_lead():
    with pytest.raises(StreamError, match="'resp', 'pleth'"):
        WindowStream(LONG, 250, ("resp", "pleth"))
