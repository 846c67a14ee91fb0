"""Silence by the clock, and the count of instants when the device sends again."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.core.samples import Block, Cause
from edge.sources.silence_filler import SilenceFiller

RATE = 100.0


def block(first_sample, instants=10, cause=Cause.PRESENT, epoch="7", last=False):
    missing = np.full((1, instants), cause, np.uint8)
    samples = np.full((1, instants), 1.0, np.float32)
    return Block("bed", RATE, ("I",), first_sample, samples, missing, first_sample / RATE, last=last, epoch=epoch)


def passed_on(blocks):
    return [(b.epoch, b.first_sample, b.end_sample, Cause(int(b.missing[0, 0])).key) for b in blocks if b.samples.size]


def started(silent_after_s=2.0):
    """Return a filler that received instants 0 to 10 at 0.1 s."""
    silence = SilenceFiller(silent_after_s)
    assert passed_on(silence.receive(block(0), 0.1)) == [("7", 0, 10, "present")]
    return silence


def account(blocks):
    """Count instants by cause as the runtime does: jumps are gaps, `retracts` takes silence back."""
    total, next_sample = Counter(), None
    for b in blocks:
        if next_sample is None or next_sample[0] != b.epoch:
            next_sample = (b.epoch, b.first_sample)
        assert b.first_sample >= next_sample[1], "an instant comes twice"
        total["sequence_gap"] += b.first_sample - next_sample[1]
        for cause in b.missing[0]:
            total[Cause(int(cause)).key] += 1
        total["silent"] -= b.retracts
        next_sample = (b.epoch, b.end_sample)
    return +total


def test_a_short_pause_is_not_silence():
    silence = started()
    assert silence.tick(2.0) == []
    assert not silence.silent


def test_silent_instants_come_by_the_clock_and_a_little_behind_it():
    silence = started()
    first = silence.tick(2.3)
    assert passed_on(first) == [("7", 10, 119, "silent")]
    assert silence.tick(2.4) == []
    assert passed_on(silence.tick(3.2)) == [("7", 119, 209, "silent")]
    assert silence.silences == 1
    assert first[0].device_time_s == pytest.approx(0.1)


def test_a_device_that_sends_ten_seconds_at_a_time_is_not_silent_between():
    silence = SilenceFiller(2.0)
    silence.receive(block(0, 1000), 10.0)
    assert silence.tick(20.1) == []
    assert passed_on(silence.receive(block(1000, 1000), 20.2)) == [("7", 1000, 2000, "present")]
    assert silence.tick(32.3)


def test_a_stream_that_comes_back_ahead_leaves_a_gap_that_is_not_counted_twice():
    silence = started()
    silence.tick(4.1)
    assert silence.receive(block(10, 400, Cause.CRC), 4.2) == []
    blocks = silence.receive(block(410), 4.2)
    assert passed_on(blocks) == [("7", 410, 420, "present")]
    assert blocks[0].retracts == 0


def test_a_few_late_instants_are_dropped():
    silence = started()
    end = silence.tick(4.1)[0].end_sample
    blocks = [b for first in range(end - 15, end + 15, 10) for b in silence.receive(block(first), 4.2)]
    assert passed_on(blocks) == [("7", end, end + 5, "present"), ("7", end + 5, end + 15, "present")]
    assert silence.late_instants == 15
    assert [b.late for b in blocks] == [(end - 15, end - 5), (end - 5, end), (0, 0)]


def test_a_device_that_kept_its_samples_begins_a_new_epoch_and_takes_the_silence_back():
    silence = started()
    end = silence.tick(10.1)[0].end_sample
    backlog = [b for first in range(10, 1010, 10) for b in silence.receive(block(first), 10.2)]
    assert {b.epoch for b in backlog} == {"7~1"}
    assert [b.retracts for b in backlog[:2]] == [end - 10, 0]
    assert backlog[-1].end_sample == 1010
    assert {b.epoch for b in silence.tick(20.0)} == {"7~1"}


def test_a_new_session_after_a_silence_starts_from_its_own_count():
    silence = started()
    silence.tick(60.0)
    assert passed_on(silence.receive(block(3, epoch="8"), 61.0)) == [("8", 3, 13, "present")]
    assert silence.late_instants == 0


def test_without_a_sequence_the_clock_counts():
    silence = started()
    end = silence.tick(10.1)[0].end_sample
    guess = block(10, 30)
    guess.missing[0, :20] = Cause.CRC
    blocks = silence.receive(guess, 10.2, numbered=False)
    assert passed_on(blocks) == [("7", end, 1010, "silent"), ("7", 1010, 1020, "present")]
    assert passed_on(silence.receive(block(40), 10.3, numbered=False)) == [("7", 1020, 1030, "present")]
    assert account([block(0), *blocks])["silent"] == 1010 - end


def test_a_stream_that_never_sent_is_silent_too():
    silence = SilenceFiller(2.0, placeholder=block(0, 0, epoch="unheard"), now_s=100.0)
    assert silence.tick(101.0) == []
    assert passed_on(silence.tick(103.0)) == [("unheard", 0, 199, "silent")]
    assert passed_on(silence.receive(block(0), 104.0)) == [("7", 0, 10, "present")]


def test_a_stream_that_has_ended_is_not_silent():
    silence = started()
    assert silence.receive(block(10, 0, last=True), 0.2)[0].last
    assert silence.tick(1000.0) == []


def test_a_stream_that_is_given_up_ends_where_its_silence_does():
    silence = started()
    end = silence.tick(10.1)[0].end_sample
    (ended,) = silence.end()
    assert (ended.first_sample, ended.samples.shape[1], ended.last) == (end, 0, True)
    assert silence.quiet_s(10.1) == 10.0
    assert silence.tick(100.0) == silence.end() == []


def test_with_infinity_a_stream_is_never_silent():
    assert started(math.inf).tick(1e9) == []


def test_a_long_silence_passes_in_pieces():
    silence = started()
    sizes = []
    for _ in range(80):
        sizes += [b.samples.shape[1] for b in silence.tick(3600.2)]
    assert max(sizes) == 6000
    assert sum(sizes) == int((3600 * 0.998 - 1) * RATE)


outage = st.tuples(st.sampled_from(["lost", "kept", "stood"]), st.integers(1, 600), st.integers(1, 200))


@settings(deadline=None)
@example([("stood", 21, 1), ("kept", 11, 1)], 1.0, 1.0)  # a second silence after one whose end came late
@given(st.lists(outage, max_size=6), st.floats(0.98, 1.02), st.floats(0.5, 5.0))
def test_every_instant_of_the_device_is_counted_once(outages, pace, silent_after_s):
    """Whatever the outage, and however wrong the rate, the account equals the device's own count."""
    silence = SilenceFiller(silent_after_s)
    now_s, sample, out, pending = 0.0, 0, [], 0
    for kind, tenths, talk in outages:
        for _ in range(talk):
            for first in range(sample - pending, sample + 10, 10):
                out += silence.receive(block(first), now_s)
            sample, pending = sample + 10, 0
            now_s += 0.1 * pace
            out += silence.tick(now_s)
        for _ in range(tenths):
            now_s += 0.1 * pace
            out += silence.tick(now_s)
        sample += 0 if kind == "stood" else 10 * tenths
        pending = 10 * tenths if kind == "kept" else 0
    for first in range(sample - pending, sample + 300, 10):
        out += silence.receive(block(first), now_s)
    assert sum(account(out).values()) == sample + 300
