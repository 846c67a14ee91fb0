"""One event, one alarm: which of several rhythms at the same time is told."""

from itertools import pairwise

import pytest

from edge.beats.classes import CLASSES, ClassifiedBeat
from edge.beats.fibrillation import Judged
from edge.beats.rhythms import StreamRhythms
from edge.beats.tracker import NO_LEADS, NO_WINDOW, BeatSecond


def beats(text, start_s=10.0):
    """Return beats from pairs of a class and the interval before it in hundredths of a second, such as `N80 V40`."""
    time_s, result = start_s, []
    for word in text.split():
        time_s += int(word[1:]) / 100
        probabilities = tuple(0.95 if kind == word[0] else 0.01 for kind in CLASSES)
        result.append(ClassifiedBeat(time_s, word[0], probabilities, joined=bool(result)))
    return result


def second(end_s, unbroken_since_s=0.0, *, quiet=True):
    """Return a second without described beats."""
    return BeatSecond((), end_s, unbroken_since_s, quiet, 0, NO_WINDOW, NO_LEADS)


def play(sequence, unbroken_since_s=0.0, judged=None):
    """Return the labels that are told in each second of the beats."""
    rhythms, told = StreamRhythms(), []
    for start in range(10, int(sequence[-1].time_s) + 2):
        here = [beat for beat in sequence if start <= beat.time_s < start + 1]
        rhythms.step(second(start + 1.0, unbroken_since_s), here, judged)
        told.append(set(rhythms.take() or ()))
    return told


def begins(told):
    """Return the labels in the order in which they begin."""
    return [label for before, now in pairwise([set(), *told]) for label in sorted(now - before)]


def test_vt_alone_is_told_although_its_rate_is_extreme():
    found = begins(play(beats("N80 N80 N80 N80 " + "V33 " * 30 + "N80 " * 8)))
    assert [label for label in found if label not in {"PVC", "R_ON_T"}] == ["VT"]


def test_fast_beats_after_vt_raise_no_second_alarm():
    """The last 17 intervals are above 140/min for seconds after the run: that is the same event."""
    found = begins(play(beats("N80 N80 N80 N80 " + "V33 " * 30 + "N40 " * 16 + "N80 " * 20)))
    assert "EXTREME_TACHY" not in found
    assert "VT" in found


def test_extreme_tachycardia_without_vt_is_told():
    assert begins(play(beats("N80 " * 4 + "N38 " * 30))) == ["EXTREME_TACHY"]


def test_a_run_of_three_is_told_when_it_is_over():
    told = play(beats("N80 N80 N80 V40 V40 V40 N80 N80 N80 N80"))
    assert "NSVT" in begins(told)
    assert "VT" not in begins(told)


def test_the_first_beats_of_vt_are_no_short_run():
    assert "NSVT" not in begins(play(beats("N80 N80 N80 " + "V55 " * 12 + "N80 N80 N80")))


def test_nothing_is_known_during_a_gap():
    rhythms = StreamRhythms()
    rhythms.step(second(11.0, 9.5, quiet=True), [])
    assert rhythms.take() == {}
    rhythms.step(second(12.0, None, quiet=False), [])
    assert rhythms.take() is None


@pytest.mark.parametrize(("silence_s", "told"), [(3.5, False), (4.5, True)])
def test_asystole_is_told_after_four_seconds_without_a_beat(silence_s, told):
    rhythms = StreamRhythms()
    rhythms.step(second(11.0, 0.0, quiet=True), beats("N10 N40 N40"))
    rhythms.step(second(10.9 + silence_s, 0.0, quiet=True), [])
    assert ("ASYSTOLE" in (rhythms.take() or {})) is told


def test_fibrillation_of_the_signal_is_told_in_place_of_what_the_beats_say():
    """In fibrillation the QRS detector finds fast beats where there are none."""
    told = play(beats("N80 N80 N80 N80 " + "V30 " * 40), judged=Judged(0.95, 0.9))
    assert "VF" in told[-1]
    assert not {"VT", "EXTREME_TACHY"} & told[-1]


def test_a_gap_ends_fibrillation():
    rhythms = StreamRhythms()
    for end_s in (11.0, 12.0, 13.0):
        rhythms.step(second(end_s, quiet=False), [], Judged(0.99, 0.9))
    assert "VF" in (rhythms.take() or {})
    rhythms.step(second(14.0, None, quiet=False), [], None)
    rhythms.take()
    rhythms.step(second(15.0, 14.5, quiet=False), [], Judged(0.01, 0.5))
    assert rhythms.take() == {}
