"""Gross and average figures, and intervals that keep a patient's records together."""

from dataclasses import replace

import numpy as np
import pytest

from edge.lab.scoring.beats import Beats, compare
from edge.lab.scoring.episodes import Counts
from edge.lab.scoring.record import AlarmCounts
from edge.lab.scoring.summary import RecordCounts, ratio_interval, record_score, score_set


def counted(record, patient=None, hours=1.0, unannotated=None, **labels):
    """Make a record's alarms from counts by label, given as dictionaries."""
    counts = {label: Counts(hours=hours, **values) for label, values in labels.items()}
    alarms = AlarmCounts(counts, unannotated or {})
    return RecordCounts(record=record, patient=patient or record, hours=hours, alarms=alarms)


FOUND = {"episodes": 1, "found": 1, "alarms": 1, "right": 1, "delays_s": (4.0,)}
MISSED = {"episodes": 3, "found": 0, "alarms": 2, "right": 0}


def test_gross_and_average():
    score = score_set([counted("a", AF=FOUND), counted("b", AF=MISSED), counted("c", AF={})]).labels["AF"]
    assert score.episode_se == 1 / 4
    assert score.average["episode_se"] == 1 / 2, "the record without an episode has no sensitivity"
    assert score.episode_ppv == 1 / 3
    assert score.false_alarms_per_hour == pytest.approx(2 / 3)
    assert score.average["false_alarms_per_hour"] == pytest.approx(2 / 3)
    assert score.counts["episodes"] == 4
    assert (score.duration_se, score.window_f1) == (None, None)


def test_false_alarms_of_all_labels_and_alarms_without_annotation():
    one = counted("a", hours=2.0, AF=MISSED, VT=MISSED, unannotated={"NOISE": 3, "LEAD_OFF": 0})
    both = score_set([one, counted("b", hours=2.0, AF=FOUND, unannotated={"NOISE": 1})])
    assert both.false_alarms_per_hour == 1.0
    assert both.hours == 4.0
    assert both.other_alarms_per_hour == {"NOISE": 1.0, "LEAD_OFF": 0.0}
    assert record_score(one).false_alarms_per_hour == 2.0
    assert record_score(one).other_alarms == {"NOISE": 3, "LEAD_OFF": 0}
    assert record_score(one).labels["VT"].episode_se == 0


def test_delays():
    one = counted("a", AF={"episodes": 3, "found": 3, "delays_s": (2.0, 4.0, 12.0)})
    score = score_set([one]).labels["AF"]
    assert (score.delay_s.median, score.delay_s.episodes) == (4.0, 3)
    assert score.delay_s.p90 == pytest.approx(10.4)
    assert score_set([counted("a", AF=MISSED)]).labels["AF"].delay_s is None


def test_records_of_one_patient_stay_together():
    """Two records of one person give no interval over patients; a second person does."""
    alone = score_set([counted("201", AF=FOUND), counted("202", "201", AF=MISSED)])
    assert alone.patients == 1
    assert not alone.labels["AF"].ci95
    assert not alone.ci95
    two = score_set([counted("201", AF=FOUND), counted("202", "201", AF=MISSED), counted("203", AF=FOUND)])
    assert two.patients == 2
    assert two.labels["AF"].ci95["episode_se"] == (1 / 4, 1.0), "either patient twice, or both"


def test_the_interval_covers_as_often_as_it_says():
    """Over 300 draws of 40 patients with 10 episodes each, it holds the true sensitivity in about 95 of 100."""
    random = np.random.default_rng(3)
    held = 0
    for _ in range(300):
        found = random.binomial(10, 0.7, 40)
        low, high = ratio_interval(np.stack([found, np.full(40, 10)], axis=1).astype(float))
        held += low <= 0.7 <= high
    assert 0.90 <= held / 300 <= 0.98


def test_intervals_need_two_patients_and_something_to_count():
    assert ratio_interval(np.array([[1.0, 2.0]])) is None
    assert ratio_interval(np.zeros((3, 2))) is None
    assert ratio_interval(np.array([[1.0, 1.0], [0.0, 0.0]])) == (1.0, 1.0)


def test_intervals_are_the_same_every_time():
    records = [counted(str(k), AF={"episodes": 5, "found": k, "delays_s": (float(k),) * k}) for k in range(5)]
    assert score_set(records) == score_set(records)
    low, high = score_set(records).labels["AF"].ci95["delay_s.median"]
    assert 1.0 <= low < high <= 4.0


def test_a_record_shorter_than_the_learning_period():
    assert record_score(counted("a", hours=0.0)).false_alarms_per_hour is None
    assert score_set([counted("a", hours=0.0, unannotated={"NOISE": 0})]).false_alarms_per_hour is None


def qrs(record, patient, annotated_s, found_s):
    one, other = (Beats(np.array(times_s, float), "N" * len(times_s)) for times_s in (annotated_s, found_s))
    return replace(counted(record, patient), qrs=compare(one, other, start_s=0.0))


def test_qrs_gross_average_and_by_patient():
    """201 and 202 are one patient: 3 of 4 beats found; 203 has 2 of 2, and one false beat."""
    records = [
        qrs("201", "201", [1, 2, 3], [1.1, 2.1]),
        qrs("202", "201", [1], [1]),
        qrs("203", "203", [1, 2], [1, 1.5, 2]),
    ]
    score = score_set(records).qrs
    assert (score.found, score.missed, score.extra) == (5, 1, 1)
    assert (score.se, score.ppv) == (5 / 6, 5 / 6)
    assert score.average == pytest.approx({"se": (2 / 3 + 1 + 1) / 3, "ppv": (1 + 1 + 2 / 3) / 3})
    assert score.ci95 == {"se": (3 / 4, 1.0), "ppv": (2 / 3, 1.0)}
    assert [record_score(record).qrs.missed for record in records] == [1, 0, 0]


def test_no_annotated_beat_no_figure_of_qrs():
    score = score_set([counted("a"), counted("b")]).qrs
    assert (score.se, score.ppv, score.ci95) == (None, None, {})
