"""The rules of the beat detector, each with candidates that show it, and real records against their annotation."""

import numpy as np
import pytest

from edge.lab.scoring.annotation import read_annotation
from edge.lab.scoring.beats import Beats, compare
from edge.signal.analyzer import SignalAnalyzer
from edge.signal.qrs import BeatFinder, agreement
from edge.sources.recordings import open_recording

RATE = 100


def find(candidates, *, seconds=20, floor=0.0):
    """Push (time in s, height) pairs second by second; return the times of the beats in s."""
    finder, found = BeatFinder(RATE, floor), []
    for second in range(seconds):
        here = [(round(time * RATE), height) for time, height in candidates if second <= time < second + 1]
        found += finder.push(here, (second + 1) * RATE)
    return [beat / RATE for beat in found]


def regular(first, last, height=1.0, step=0.8):
    return [(float(time), height) for time in np.arange(first, last, step)]


def test_the_highest_of_the_first_two_seconds_is_taken_for_a_beat():
    beats = regular(0.4, 10)
    assert find(beats) == pytest.approx([time for time, _ in beats])


def test_noise_below_the_threshold_is_not_a_beat():
    beats = regular(0.4, 10)
    assert find(sorted([*beats, *regular(0.8, 10, height=0.3)])) == pytest.approx([time for time, _ in beats])


def test_a_t_wave_is_not_a_beat_but_a_premature_beat_is():
    beats = regular(0.4, 10)
    t_waves = [(time + 0.3, 0.45) for time, _ in beats]
    assert len(find(sorted([*beats, *t_waves]))) == len(beats)
    premature = [(beats[5][0] + 0.3, 0.8)]
    assert len(find(sorted([*beats, *premature]))) == len(beats) + 1


def test_a_low_beat_is_found_when_the_next_is_overdue():
    beats = regular(0.4, 10)
    beats[6] = (beats[6][0], 0.34)
    assert find(beats) == pytest.approx([time for time, _ in beats])


def test_after_ten_seconds_without_a_beat_it_learns_again_but_never_below_the_floor():
    low = regular(10.4, 30, height=0.2)
    assert len(find(regular(0.4, 5) + low, seconds=30)) > 15
    assert len(find(regular(0.4, 5) + low, seconds=30, floor=0.25)) == 6


def test_a_burst_does_not_hide_later_beats():
    beats = regular(0.4, 20)
    for burst in (6, 7, 8):
        beats[burst] = (beats[burst][0], 30.0)
    assert len(find(beats)) == len(beats)


def test_no_interval_spans_an_interruption():
    finder = BeatFinder(RATE)
    finder.push([(40, 1.0), (120, 1.0)], 200)
    finder.interrupt(1000)
    assert finder.push([(1040, 1.0), (1120, 1.0)], 1200) == [1040, 1120]


def test_agreement_by_hand():
    assert agreement([10, 110, 210], [12, 109, 300], 15) == 2 / 4
    assert agreement([], [], 15) is None
    assert agreement([10], [], 15) == 0.0


@pytest.mark.parametrize(("name", "least"), [("203", 0.97), ("119", 0.997)])
def test_beats_of_real_records_match_the_annotation(data_dir, name, least):
    """203 is the hardest of DS1: atrial fibrillation in noise. All records in full: `ecg-edge score`."""
    record, annotation = open_recording(f"mitdb/{name}"), read_annotation(data_dir / f"mitdb/{name}")
    end = 400 * 360
    analyzer = SignalAnalyzer(2, 360.0, 10.0)
    for block in record.adc_blocks():
        if block.first_sample < end:
            mv = block.to_block("s", record.spec)
            analyzer.push(mv.samples, mv.missing)
    times = np.sort([beat for second in analyzer.take_seconds(end) for beat in second.beats]) / 360
    inside = annotation.times_s < times[-1]
    reference = Beats.of(annotation.times_s[inside], annotation.symbols[inside].tolist())
    rates = compare(reference, Beats(times, "N" * times.size), start_s=10.0).rates()
    assert rates["qrs_se"] >= least
    assert rates["qrs_ppv"] >= least
