"""From decisions and events to alarms, for a stream made by hand."""

import dataclasses

import msgspec
import numpy as np
import pytest

from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmMachine
from edge.alarms.specs import alarm_specs
from edge.bundle.manifest import Label, Pooling
from edge.core.samples import Cause
from edge.lab.scoring.annotation import Annotation, NamedSpan
from edge.lab.scoring.record import Heard, Judge

RATE_HZ = 250
LABELS = (
    Label(abbreviation="SR", name="sinus rhythm"),
    Label(abbreviation="AF", name="atrial fibrillation", priority="medium", on_delay_s=2.0, off_delay_s=3.0),
    Label(abbreviation="PVC", name="premature beat", priority="low"),
    Label(abbreviation="AVB1", name="block", priority="low"),
    Label(abbreviation="NOISE", name="noise", priority="low", kind="technical"),
)


def heard(over, *, windows=60, bad=()):
    """Let windows of 10 s, a second apart, be over the threshold where `over` says: {label: [window, ...]}."""
    specs = alarm_specs(LABELS)
    machine, sink = AlarmMachine("s", "", specs), Heard(RATE_HZ)
    for window in range(windows):
        outputs = np.array([0.9 * (window in over.get(label.abbreviation, ())) for label in LABELS], np.float32)
        good = window not in bad
        decision = Decision(
            stream="s",
            first_sample=window * RATE_HZ,
            end_sample=(window + 10) * RATE_HZ,
            end_s=window + 10.0,
            cause=Cause.PRESENT if good else Cause.BAD_QUALITY,
            leads=("II",),
            probabilities=outputs if good else None,
        )
        sink.decisions.append(decision)
        sink.events += machine.step(decision)
    sink.events += machine.finish()
    return sink


@pytest.fixture
def judge(tiny_bundle):
    manifest = msgspec.structs.replace(tiny_bundle.manifest, labels=LABELS)
    return Judge(manifest, alarm_specs(LABELS), 0.0)


def spec(label):
    return next(one for one in alarm_specs(LABELS) if one.label == label)


def sinus(symbols="N" * 70):
    return Annotation(0.5 + np.arange(len(symbols)), np.array(list(symbols)), (NamedSpan("(N", 0.0, 70.0),), 70.0)


def test_an_alarm_speaks_from_its_first_window_over_to_its_last(judge):
    """Windows 20 to 29: the first ends at 30 s, raised 2 s later; the last begins at 29 s and ends at 39 s."""
    (alarm,) = judge.alarms(spec("AF"), heard({"AF": range(20, 30)}))
    assert alarm.raised_s == 32.0
    assert alarm.seen == (20.0, 39.0)
    assert alarm.claim == (24.5, 34.5)


def test_a_dip_that_the_off_delay_bridges_is_one_alarm(judge):
    assert len(judge.alarms(spec("AF"), heard({"AF": [*range(20, 25), *range(26, 30)]}))) == 1
    first, second = judge.alarms(spec("AF"), heard({"AF": [*range(20, 25), *range(40, 45)]}))
    assert (first.claim, second.claim) == ((24.5, 29.5), (44.5, 49.5))


def test_windows_over_the_clear_threshold_prolong_an_alarm(judge):
    """Window 30 is at 0.4: not enough to raise an alarm, and enough to keep one that is to end below 0.3."""
    said = heard({"AF": range(20, 30)})
    said.decisions[30].probabilities[1] = 0.4
    lasting = dataclasses.replace(spec("AF"), clear_threshold=0.3)
    assert judge.alarms(lasting, said)[0].seen == (20.0, 40.0)
    assert judge.alarms(spec("AF"), said)[0].seen == (20.0, 39.0)


def test_a_storm_is_counted_apart(judge):
    """Ten premature beats within a minute are as many alarms, and one of the storm, that no window is evidence for."""
    verdict = judge.judge(sinus(), heard({"PVC": range(0, 60, 2)}))
    assert verdict.apart["ALARM_STORM"] == 1


def test_what_stays_under_the_on_delay_is_no_alarm(judge):
    assert not judge.alarms(spec("AF"), heard({"AF": [20, 21]}))


def test_windows_that_noise_gates_or_that_are_bad_speak_for_nothing(judge):
    noisy = judge.alarms(spec("AF"), heard({"AF": range(20, 30), "NOISE": range(28, 35)}))
    assert [alarm.claim for alarm in noisy] == [(24.5, 32.5)]
    assert judge.alarms(spec("NOISE"), heard({"NOISE": range(28, 35)}))[0].seen == (28.0, 44.0)
    bad = judge.alarms(spec("AF"), heard({"AF": range(20, 30)}, bad=range(27, 32)))
    assert [alarm.claim for alarm in bad] == [(24.5, 31.5)]


def test_an_alarm_that_the_stream_ends(judge):
    (alarm,) = judge.alarms(spec("AF"), heard({"AF": range(50, 60)}))
    assert alarm.seen == (50.0, 69.0)


def test_pooling_reaches_back(tiny_bundle):
    """The mean of three windows speaks for a second earlier than its own window does."""
    manifest = msgspec.structs.replace(tiny_bundle.manifest, labels=LABELS, pooling=Pooling("mean", 3))
    (alarm,) = Judge(manifest, alarm_specs(LABELS), 0.0).alarms(spec("AF"), heard({"AF": range(20, 30)}))
    assert alarm.seen == (18.0, 39.0)
    assert alarm.claim == (23.5, 33.5)


def test_labels_that_nobody_annotates_are_counted_apart(judge):
    verdict = judge.judge(sinus(), heard({"AVB1": range(20, 30), "NOISE": range(40, 45), "AF": range(30, 35)}))
    assert {label for label, count in verdict.apart.items() if count} == {"AVB1", "NOISE"}
    assert set(verdict.labels) == {"AF", "PVC"}, "SR raises no alarm"
    assert verdict.labels["AF"].alarms == 1


def test_beats_are_scored_by_window(judge):
    """A V beat at 30.5 s stands in windows 21 to 30; windows 25 to 34 say PVC; the last window begins at 59 s."""
    counts = judge.judge(sinus("N" * 30 + "V" + "N" * 39), heard({"PVC": range(25, 35)})).labels["PVC"]
    assert (counts.windows_with, counts.windows_over, counts.windows_right) == (10, 10, 6)
    assert counts.figures()["window_f1"] == 0.6
    assert (counts.episodes, counts.found, counts.alarms, counts.right) == (1, 1, 1, 1)
    assert counts.figures()["duration_se"] is None


def test_beats_in_windows_without_an_answer_are_left_out(judge):
    counts = judge.judge(sinus("N" * 30 + "V" + "N" * 39), heard({"PVC": range(25, 35)}, bad=range(21, 25)))
    assert counts.labels["PVC"].windows_with == 6


def test_the_learning_period_is_left_out(tiny_bundle):
    manifest = msgspec.structs.replace(tiny_bundle.manifest, labels=LABELS)
    late = Judge(manifest, alarm_specs(LABELS), 45.0)
    verdict = late.judge(sinus("N" * 30 + "V" + "N" * 39), heard({"PVC": range(25, 35), "AVB1": range(20, 30)}))
    assert verdict.labels["PVC"].windows_over == verdict.labels["PVC"].alarms == 0
    assert verdict.apart["AVB1"] == 0
    assert verdict.labels["AF"].hours == 25 / 3600
