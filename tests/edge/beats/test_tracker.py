"""The tracker describes the same beats for any cut of the stream into blocks."""

import numpy as np
import pytest

from edge.beats.tracker import BeatTracker
from edge.core.samples import Cause
from edge.signal.analyzer import SignalAnalyzer
from edge.sources.synthetic import SyntheticSource

SCENARIO = "sinus:20 pvc:15 lead_off:5 sinus:10"


@pytest.fixture(scope="module")
def recording():
    """Return 50 s of two leads in mV, with the cause of each missing sample, and the rate."""
    source = SyntheticSource(SCENARIO, leads=("II", "V1"), sample_rate_hz=250.0)
    blocks = [block.to_block("s", source.spec) for block in source.adc_blocks()]
    samples = np.concatenate([block.samples for block in blocks], axis=1)
    missing = np.concatenate([block.missing for block in blocks], axis=1)
    return samples, missing, source.spec.sample_rate_hz


def described(recording, sizes):
    """Return the described beats of a stream that is cut into blocks of these sizes, over and over."""
    samples, missing, rate_hz = recording
    tracker, analyzer = BeatTracker(len(samples), rate_hz), SignalAnalyzer(len(samples), rate_hz, 5.0)
    found, first, turn = [], 0, 0
    while first < samples.shape[1]:
        part = slice(first, first + sizes[turn % len(sizes)])
        tracker.push(samples[:, part], missing[:, part])
        analyzer.push(samples[:, part], missing[:, part])
        for second in analyzer.take_seconds(samples.shape[1]):
            found += tracker.describe(second).described
        first, turn = part.stop, turn + 1
    return [*found, *tracker.finish(samples.shape[1]).described]


@pytest.mark.parametrize("sizes", [(125,), (1, 7, 400), (2500,)])
def test_any_cut_into_blocks_gives_the_same_beats(recording, sizes):
    one, other = described(recording, (250,)), described(recording, sizes)
    assert len(one) > 40
    assert [beat.time_s for beat in one] == [beat.time_s for beat in other]
    for here, there in zip(one, other, strict=True):
        np.testing.assert_array_equal(here.snippets, there.snippets)
        np.testing.assert_array_equal(here.features, there.features)
        assert (here.before_s, here.keep.tolist()) == (there.before_s, there.keep.tolist())


def test_no_interval_spans_a_gap(recording):
    _, missing, rate_hz = recording
    gone = np.flatnonzero((missing != Cause.PRESENT).all(axis=0)) / rate_hz
    beats = described(recording, (250,))
    behind = [beat for beat in beats if beat.before_s is not None and beat.time_s > gone[0]]
    assert behind
    assert all(beat.time_s - beat.before_s > gone[-1] for beat in behind)
