"""Leads and windows in some periods of a record, worked out by hand."""

import msgspec
import numpy as np
import pytest

from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmMachine
from edge.alarms.specs import alarm_specs
from edge.bundle.manifest import Label
from edge.core.samples import Cause
from edge.lab.scoring.annotation import Annotation
from edge.lab.scoring.periods import PeriodCounts, count_periods
from edge.lab.scoring.record import AlarmScorer, StreamOutput
from edge.lab.scoring.spans import union

RATE_HZ = 250
END_S = 70.0
LABELS = (Label(abbreviation="PVC", name="premature beat", priority="low"),)
PERIODS = union([(10.0, 30.0), (40.0, 60.0)])  # 22 windows of 10 s, a second apart: from 10 to 20 and 40 to 50 s


def output(leads, over, masked):
    """Make windows of 10 s, a second apart: PVC in those of `over`, and leads missing in those of `masked`."""
    machine, sink = AlarmMachine("s", "", alarm_specs(LABELS)), StreamOutput(RATE_HZ, leads=leads)
    for window in range(60):
        kept = tuple(lead for lead in leads if window not in masked.get(lead, ()))
        decision = Decision(
            stream="s",
            first_sample=window * RATE_HZ,
            end_sample=(window + 10) * RATE_HZ,
            end_s=window + 10.0,
            cause=Cause.PRESENT if kept else Cause.BAD_QUALITY,
            leads=kept,
            probabilities=np.array([0.9 * (window in over)], np.float32) if kept else None,
        )
        sink.decisions.append(decision)
        sink.events += machine.step(decision)
    sink.events += machine.finish()
    return sink


@pytest.fixture
def count(tiny_bundle):
    """Return a function that counts a stream whose record has one V beat, at 50.5 s, in windows 41 to 50."""
    manifest = msgspec.structs.replace(tiny_bundle.manifest, labels=LABELS)
    scorer = AlarmScorer(manifest, alarm_specs(LABELS), 0.0)
    annotation = Annotation(0.5 + np.arange(70), np.array(list("N" * 50 + "V" + "N" * 19)), (), END_S)
    return lambda stream, periods=PERIODS: count_periods(scorer, annotation, stream, periods, END_S)


BAD = range(41, 49)
TWO = output(("II", "V1"), range(50, 56), {"II": BAD, "V1": {*range(15, 20), *BAD}})


def test_two_leads(count):
    """Windows 41 to 48 have no good lead; 49 and 50 are classified and hold the beat; only 50 finds it.

    The first bad window ends at 51 s. The alarm for poor signal is raised 5 s later and lasts beyond the period.
    """
    score = count(TWO).score()
    assert score.windows == 22
    assert score.masked == {"II": 8 / 22, "V1": 13 / 22}
    assert score.unjudged == 8 / 22
    assert score.technical == (60 - 56) / 40
    assert score.window_f1 == {"PVC": 2 * 1 / (2 + 1)}


def test_records_add_up_lead_by_lead(count):
    one = output(("II",), (), {"II": [10, 11]})
    score = sum([count(TWO), count(one)], PeriodCounts()).score()
    assert score.windows == 44
    assert score.masked == {"II": (8 + 2) / 44, "V1": 13 / 22}
    assert score.window_f1 == {"PVC": 2 * 1 / (2 + 1 + 10)}


def test_periods_without_a_window(count):
    score = count(TWO, union([(10.0, 15.0)])).score()
    assert (score.windows, score.masked, score.unjudged) == (0, {}, 0.0)
    assert score.window_f1 == {"PVC": None}
