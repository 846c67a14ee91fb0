"""Runs, patterns, pauses and rates of reference beats, by hand."""

import numpy as np
import pytest

from edge.lab.scoring.beats import Beats
from edge.lab.scoring.pauses import PauseCounts, count_pauses
from edge.lab.scoring.rates import long_intervals, rate_references
from edge.lab.scoring.runs import beat_references


def beats(classes, every_s=0.5):
    return Beats(every_s * np.arange(1, len(classes) + 1), classes)


def test_three_in_a_row_above_100_are_a_run():
    found = beat_references(beats("NNVVVNNVVNNSSSN"))
    assert found["VT"].episodes.tolist() == [[1.5, 2.5]]
    assert found["SVT"].episodes.tolist() == [[6.0, 7.0]]
    assert not len(beat_references(beats("NVVVVN", every_s=0.7))["VT"].episodes), "86 a minute"
    assert beat_references(beats("NVVVVN", every_s=0.63))["VT"].unknown.size, "95 a minute"


def test_fusion_beats_leave_a_run_open():
    found = beat_references(beats("NVVFN"))["VT"]
    assert not found.episodes.size
    assert found.unknown.tolist() == [[1.0, 2.0]]


def test_patterns_need_three_cycles():
    found = beat_references(beats("NNVNVNVNN"))
    assert found["BIGEMINY"].episodes.tolist() == [[1.0, 3.5]]
    two = beat_references(beats("NNVNVNN"))["BIGEMINY"]
    assert not two.episodes.size
    assert two.unknown.tolist() == [[1.0, 2.5]]
    assert beat_references(beats("NVNNVNNVNNVN"))["TRIGEMINY"].episodes.tolist() == [[1.0, 5.5]]


def test_pauses_and_rates():
    times = np.array([1.0, 2.0, 6.5, 7.5, 11.0])
    found = rate_references(Beats(times, "NNNNN"), 20.0)
    assert found["ASYSTOLE"].episodes.tolist() == [[2, 6.5]]
    assert found["PAUSE"].episodes.tolist() == [[7.5, 11]]
    assert found["PAUSE"].unknown.tolist() == [[2, 6.5]]
    assert found["EXTREME_BRADY"].episodes.tolist() == [[1, 11]], "the median of 1, 4.5, 1 and 3.5 s is 2.25 s"
    slow = rate_references(Beats(1.6 * np.arange(8), "N" * 8), 20.0)
    assert slow["EXTREME_BRADY"].episodes == pytest.approx(np.array([[0, 11.2]]))
    fast = rate_references(Beats(0.4 * np.arange(18), "N" * 18), 20.0)
    assert fast["EXTREME_TACHY"].episodes == pytest.approx(np.array([[0, 6.8]]))
    assert not rate_references(Beats(0.4 * np.arange(16), "N" * 16), 20.0)["EXTREME_TACHY"].episodes.size


def test_flutter_and_artefacts_are_no_pause():
    times = np.array([1.0, 8.0, 16.0, 24.0])
    one = Beats(times, "NNNN", ((9.0, 15.0),))
    assert long_intervals(one, 4.0, marks_s=[20.0]).tolist() == [[1, 8]]


def test_pauses_found_and_false():
    """The pause from 10 s has an alarm before it ends, that from 30 s after it; the alarm at 60 s is false."""
    times = np.array([*range(1, 11), *range(15, 31), 45, 46], np.float64)
    one = Beats(times, "N" * len(times))
    alarms = {"ASYSTOLE": np.array([[14.0, 20.0], [60.0, 65.0]]), "PAUSE": np.array([[47.0, 48.0]])}
    assert count_pauses(one, alarms, 0.0) == PauseCounts(n=2, found=2, false=1)
    assert count_pauses(one, {}, 12.0) == PauseCounts(n=1, found=0, false=0)
    assert count_pauses(one, alarms, 50.0) == PauseCounts(n=0, found=0, false=1)
