"""Alarms against episodes: cases worked out by hand."""

import pytest

from edge.lab.scoring.episodes import Alarm, Counts, Reference, compare
from edge.lab.scoring.spans import union


def alarm(raised, start, end, reach=5.0):
    """Make an alarm that is active in [start, end) and whose windows reach further on both sides."""
    return Alarm(raised, (start - reach, end + reach), (start, end))


def test_found_missed_late_and_false():
    """AF 400-500 and 600-620; alarms for 410-530 raised at 417, and for 800-836.

    One of two episodes is found and one of two alarms is right; 90 of 120 s of AF are told, in 156 s of alarms.
    """
    reference = Reference(union([(400, 500), (600, 620)]))
    counts = compare(reference, [alarm(417, 410, 530), alarm(806, 800, 836)], 300, 1500)
    assert counts.figures() == {
        "episode_se": 1 / 2,
        "episode_ppv": 1 / 2,
        "duration_se": 90 / 120,
        "duration_ppv": 90 / 156,
        "false_alarms_per_hour": 3.0,
        "window_f1": None,
    }
    assert counts.delays_s == (17.0,)
    assert counts.hours == 1200 / 3600


def test_two_alarms_in_one_episode_and_two_episodes_under_one_alarm():
    split = compare(Reference(union([(400, 500)])), [alarm(405, 400, 420), alarm(465, 460, 480)], 300, 3900)
    assert (split.episodes, split.found, split.alarms, split.right) == (1, 1, 2, 2)
    assert split.delays_s == (5.0,)
    bridged = compare(Reference(union([(400, 410), (430, 440)])), [alarm(405, 400, 440)], 300, 3900)
    assert (bridged.episodes, bridged.found, bridged.alarms, bridged.right) == (2, 2, 1, 1)
    assert (bridged.delays_s, bridged.already_on) == ((5.0,), 1), "the alarm was on when the second episode began"
    assert (bridged.both_s, bridged.alarm_s) == (20, 40)


def test_overlap_is_with_all_that_the_windows_cover():
    """A run of 2 s that stood at the edge of the only window over the threshold was found."""
    run = Reference(union([(400, 402)]))
    near = compare(run, [Alarm(403.0, (393.0, 403.0), (397.5, 398.5))], 300, 3900)
    assert (near.found, near.right, near.both_s) == (1, 1, 0)
    past = compare(run, [Alarm(413.0, (402.0, 413.0), (407.5, 408.5))], 300, 3900)
    assert (past.found, past.right) == (0, 0)


def test_the_learning_period_cuts_episodes_and_alarms():
    """AF from 200 to 400 is one of 100 s without a delay; an alarm that ended before minute 5 is none."""
    counts = compare(Reference(union([(200, 400)])), [alarm(205, 200, 250), alarm(260, 255, 390)], 300, 3900)
    assert (counts.episodes, counts.found, counts.alarms, counts.right) == (1, 1, 1, 1)
    assert (counts.reference_s, counts.alarm_s, counts.both_s) == (100, 90, 90)
    assert counts.delays_s == ()


def test_an_episode_within_the_learning_period_does_not_count():
    counts = compare(Reference(union([(200, 300)])), [alarm(205, 200, 296)], 300, 3900)
    assert (counts.episodes, counts.alarms) == (0, 0), "though its last window reached past minute 5"


def test_an_alarm_where_the_reference_is_unknown_does_not_count():
    """EC57 leaves annotated flutter out of AF predictivity: all of the first alarm, half of the second."""
    reference = Reference(union([(1000, 1010)]), union([(400, 500)]))
    counts = compare(reference, [alarm(425, 420, 480), alarm(499, 495, 505)], 300, 3900)
    assert (counts.alarms, counts.right, counts.alarm_s) == (1, 0, 5)


def test_an_unknown_reference_takes_no_right_alarm_away():
    reference = Reference(union([(450, 460)]), union([(400, 500)]))
    counts = compare(reference, [alarm(455, 450, 460)], 300, 3900)
    assert (counts.found, counts.alarms, counts.right, counts.both_s) == (1, 1, 1, 10)


def test_moments_have_no_duration():
    counts = compare(Reference(union([(400, 400.3)]), timed=False), [alarm(401, 396, 404)], 300, 3900)
    assert counts.figures()["duration_se"] is counts.figures()["duration_ppv"] is None
    assert counts.figures()["episode_se"] == 1


def test_nothing_to_find_and_nothing_found():
    figures = compare(Reference(union([])), [], 300, 3900).figures()
    assert figures.pop("false_alarms_per_hour") == 0
    assert set(figures.values()) == {None}


def test_a_record_shorter_than_the_learning_period_has_no_hours():
    assert compare(Reference(union([(10, 20)])), [alarm(12, 10, 20)], 300, 60) == Counts()


def test_gross_figures_come_from_sums():
    one = Counts(hours=1, episodes=1, found=1, alarms=4, right=1, delays_s=(3.0,))
    other = Counts(hours=2, episodes=9, found=0, delays_s=())
    assert (one + other).figures()["episode_se"] == pytest.approx(0.1)
    assert (one + other).figures()["false_alarms_per_hour"] == 1.0
    assert (one + other).delays_s == (3.0,)
