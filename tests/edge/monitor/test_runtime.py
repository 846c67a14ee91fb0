"""The runtime: many streams, one classifier, every sample accounted for."""

import threading
from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tones import RATE, RecordingSink, balanced, block, new_runtime, tone

from edge.core.errors import StreamError
from edge.core.samples import Cause
from edge.monitor.intake import MAX_GAP_S
from edge.sources.formats.sequence import SequenceTracker
from edge.sources.silence_filler import SilenceFiller


@pytest.fixture(scope="module")
def start(tiny_bundle):
    """Return what makes a runtime for a sink."""
    return partial(new_runtime, tiny_bundle)


def test_a_stream_becomes_alarms(start):
    samples = np.concatenate([tone(20), tone(30, amplitude=0.6), tone(30)], axis=1)
    sink = RecordingSink()
    with start(sink) as runtime:
        runtime.run([block(samples[:, k : k + 50], k) for k in range(0, samples.shape[1], 50)])
        runtime.end("s")
    raised = [event for event in sink.events if event[1:3] == ("AF", "raised")]
    cleared = [event for event in sink.events if event[1:3] == ("AF", "cleared")]
    assert len(raised) == len(cleared) == 1
    assert 20 * RATE < raised[0][3] <= 34 * RATE
    assert raised[0][3] < cleared[0][3]
    totals = runtime.totals()
    assert (totals.samples_in, totals.classified, totals.pending) == (samples.shape[1], samples.shape[1], 0)
    assert totals.windows == len(sink.decisions) == 71


def test_silence_raises_an_alarm_and_a_backlog_clears_it(start):
    """A device is silent for 40 s, then sends everything that it kept: each instant is counted once."""
    samples, sink, silence = tone(100), RecordingSink(), SilenceFiller(2.0)
    parts = [block(samples[:, k : k + RATE], k) for k in range(0, samples.shape[1], RATE)]
    with start(sink) as runtime:
        for second, part in enumerate(parts[:50]):
            runtime.run(silence.receive(part, float(second)))
        for tick in range(400):
            runtime.run(silence.tick(49.0 + tick / 10))
        quiet = runtime.totals()
        for part in parts[50:]:
            runtime.run(silence.receive(part, 90.0))
        runtime.end("s")
    no_data = [event[2] for event in sink.events if event[1] == "NO_DATA"]
    assert no_data == ["raised", "cleared"]
    assert quiet.missing["silent"] > 35 * RATE
    totals = runtime.totals()
    assert balanced(totals)
    assert totals.samples_in == totals.classified == 100 * RATE
    assert totals.duplicates == 0


def test_many_streams_at_once_each_in_order(start):
    sink = RecordingSink()
    streams = [f"s{k}" for k in range(20)]
    with start(sink) as runtime:
        threads = [
            threading.Thread(
                target=runtime.run,
                args=([block(tone(1, 0.1 + k / 20), n * RATE, name, last=n == 29) for n in range(30)],),
            )
            for k, name in enumerate(streams)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name in streams:
        ends = [decision.end_sample for stream, decision in sink.decisions if stream == name]
        assert ends == [RATE * (10 + n) for n in range(21)]
    totals = runtime.totals()
    assert totals.classified == totals.samples_in == 20 * 30 * RATE


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_the_account_balances_at_any_moment(start, data):
    sink, position = RecordingSink(), 0
    with start(sink) as runtime:
        for _ in range(data.draw(st.integers(1, 25))):
            position += data.draw(st.sampled_from([0, 0, 0, 1, 30, 700, int(MAX_GAP_S * RATE) + 9]))
            samples = tone(data.draw(st.floats(0.01, 3)))
            missing = np.zeros(samples.shape, np.uint8)
            missing[:, : data.draw(st.integers(0, samples.shape[1]))] = data.draw(
                st.sampled_from([Cause.LEAD_OFF, Cause.CRC])
            )
            back = data.draw(st.sampled_from([0, 0, 5]))
            runtime.push(block(samples, max(position - back, 0), missing=missing))
            position = max(position, max(position - back, 0) + samples.shape[1])
            assert balanced(runtime.totals())
    totals = runtime.totals()
    assert balanced(totals)
    assert totals.pending == 0
    assert totals.windows == len(sink.decisions)


def test_windows_over_a_gap_are_bad(start):
    sink = RecordingSink()
    with start(sink) as runtime:
        runtime.run([block(tone(15)), block(tone(15), 20 * RATE)])
    totals = runtime.totals()
    assert totals.missing == {"sequence_gap": 5 * RATE}
    bad = [decision for _, decision in sink.decisions if not decision.good]
    assert {decision.cause for decision in bad} == {Cause.SEQUENCE_GAP}
    assert len(bad) == 14  # windows that end from 16 s to 29 s: the filter adds 0.1 s to each side of the gap


def test_late_instants_are_counted_once(start):
    """An instant that arrives late is no longer a gap; when it arrives again it is a duplicate."""
    with start(RecordingSink()) as runtime:
        second = RATE
        order = SequenceTracker(Counter())
        for k in (0, 1, 4, 2, 2, 3, 0, 5):
            runtime.run(order.add(block(tone(1), k * second)))
            assert balanced(runtime.totals())
    totals = runtime.totals()
    assert (totals.samples_in, totals.missing["late"]) == (6 * second, 2 * second)
    assert "sequence_gap" not in totals.missing


def test_a_repeated_block_counts_once(start):
    with start(RecordingSink()) as runtime:
        runtime.run([block(tone(9)), block(tone(9)), block(tone(20))])
    totals = runtime.totals()
    assert (totals.samples_in, totals.duplicates) == (20 * RATE, 18 * RATE)


def test_a_bad_window_raises_no_rhythm_alarm(start):
    """A tone that would raise AF and VT at once, in a stream whose electrode is off, raises a technical alarm."""
    samples = tone(30, amplitude=2)
    sink = RecordingSink()
    with start(sink) as runtime:
        runtime.push(block(samples, missing=np.full(samples.shape, Cause.LEAD_OFF, np.uint8)))
    assert {label for _, label, what, _ in sink.events if what == "raised"} == {"LEAD_OFF"}
    assert runtime.totals().missing == {"lead_off": 30 * RATE}


@pytest.mark.parametrize("changes", [{"leads": ("V1",)}, {"sample_rate_hz": 500}])
def test_a_stream_that_changes_midway_is_refused(start, changes):
    with start(RecordingSink()) as runtime:
        runtime.push(block(tone(1)))
        with pytest.raises(StreamError, match="new epoch"):
            runtime.push(block(tone(1), RATE, **changes))


@pytest.mark.parametrize("changes", [{"leads": ("resp",)}, {"sample_rate_hz": 7}, {"sample_rate_hz": float("nan")}])
def test_a_stream_that_cannot_be_used_is_refused_and_the_others_continue(start, changes):
    with start(RecordingSink()) as runtime:
        with pytest.raises(StreamError):
            runtime.push(block(tone(1), **changes))
        runtime.push(block(tone(12), stream="good"))
    assert runtime.totals().samples_in == 12 * RATE
