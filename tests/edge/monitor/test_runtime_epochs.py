"""Streams that begin again: their samples are counted from 0, and no two alarms have the same id."""

from functools import partial

import numpy as np
import pytest
from tones import RATE, RecordingSink, block, new_runtime, tone


@pytest.fixture(scope="module")
def start(tiny_bundle):
    """Return what makes a runtime for a sink."""
    return partial(new_runtime, tiny_bundle)


def test_a_new_epoch_has_windows_of_its_own(start):
    sink = RecordingSink()
    with start(sink) as runtime:
        runtime.run([block(tone(12), epoch="a"), block(tone(12), epoch="b")])
    assert [decision.end_sample for _, decision in sink.decisions] == [2500, 2750, 3000] * 2
    assert runtime.totals().samples_in == 24 * RATE


def test_a_device_that_counts_from_0_again_in_the_same_epoch_loses_nothing(start):
    """A device rebooted, and all its samples were duplicates until it had reached the old count."""
    sink = RecordingSink()
    samples = tone(60)
    with start(sink) as runtime:
        runtime.run([block(samples), block(tone(20))])
    assert runtime.totals().classified == 80 * RATE
    assert [decision.end_sample for _, decision in sink.decisions][-11:] == [RATE * (10 + n) for n in range(11)]


def test_alarms_of_a_stream_that_begins_again_have_other_ids(start):
    ids = []
    loud = np.concatenate([tone(12), tone(20, 0.6)], axis=1)

    def sink(update):
        ids.extend(event.id for event in update.events)

    with start(sink) as runtime:
        runtime.run([block(loud, last=True), block(loud, last=True), block(loud, epoch="2", last=True)])
    assert len(ids) >= 6
    assert len(set(ids)) == len(ids)


def test_a_device_that_alternates_between_sessions_gives_no_id_twice(start):
    """Session 1, then 2, then 1 again with the same sample count: the second alarm had the id of the first."""
    ids = []
    loud = np.concatenate([tone(12), tone(20, 0.6)], axis=1)

    def sink(update):
        ids.extend(event.id for event in update.events)

    with start(sink) as runtime:
        runtime.run([block(loud, epoch=epoch) for epoch in ("1", "2", "1", "2")])
    assert len(ids) >= 8
    assert len(set(ids)) == len(ids)


def test_alarms_of_two_runs_of_a_service_have_other_ids(start):
    """A device that counts from 0 after each restart of the service raised its first alarm with the same id again."""
    ids = []
    loud = np.concatenate([tone(12), tone(20, 0.6)], axis=1)

    def sink(update):
        ids.extend(event.id for event in update.events)

    for session in ("a", "b"):
        with start(sink, session=session) as runtime:
            runtime.push(block(loud))
    assert len(ids) >= 4
    assert len(set(ids)) == len(ids)


def test_stream_time_begins_at_sample_0_wherever_the_stream_was_joined(start):
    sink = RecordingSink()
    with start(sink) as runtime:
        runtime.push(block(tone(12), 1000 * RATE))
    assert [decision.end_s for _, decision in sink.decisions] == [1010, 1011, 1012]
    assert [decision.end_sample for _, decision in sink.decisions] == [1010 * RATE, 1011 * RATE, 1012 * RATE]
