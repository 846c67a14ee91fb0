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
from edge.lab.scoring.beats import Beats
from edge.lab.scoring.record import AlarmScorer, StreamOutput

RATE_HZ = 250
LABELS = (
    Label(abbreviation="SR", name="sinus rhythm"),
    Label(abbreviation="AF", name="atrial fibrillation", priority="medium", on_delay_s=2.0, off_delay_s=3.0),
    Label(abbreviation="PVC", name="premature beat", priority="low"),
    Label(abbreviation="AVB1", name="block", priority="low"),
    Label(abbreviation="NOISE", name="noise", priority="low", kind="technical"),
)


def output(over, *, windows=60, bad=()):
    """Make windows of 10 s, a second apart, over the threshold in those of `over`: {label: [window, ...]}."""
    specs = alarm_specs(LABELS)
    machine, sink = AlarmMachine("s", "", specs), StreamOutput(RATE_HZ)
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
def scorer(tiny_bundle):
    manifest = msgspec.structs.replace(tiny_bundle.manifest, labels=LABELS)
    return AlarmScorer(manifest, alarm_specs(LABELS), 0.0)


def spec(label):
    return next(one for one in alarm_specs(LABELS) if one.label == label)


def sinus(symbols="N" * 70):
    return Annotation(0.5 + np.arange(len(symbols)), np.array(list(symbols)), (NamedSpan("(N", 0.0, 70.0),), 70.0)


def test_an_alarm_is_active_from_its_first_window_over_to_its_last(scorer):
    """Windows 20 to 29: the first ends at 30 s, raised 2 s later; the last begins at 29 s and ends at 39 s."""
    (alarm,) = scorer.alarms(spec("AF"), output({"AF": range(20, 30)}))
    assert alarm.raised_s == 32.0
    assert alarm.covered_s == (20.0, 39.0)
    assert alarm.active_s == (24.5, 34.5)


def test_a_dip_that_the_off_delay_bridges_is_one_alarm(scorer):
    assert len(scorer.alarms(spec("AF"), output({"AF": [*range(20, 25), *range(26, 30)]}))) == 1
    first, second = scorer.alarms(spec("AF"), output({"AF": [*range(20, 25), *range(40, 45)]}))
    assert (first.active_s, second.active_s) == ((24.5, 29.5), (44.5, 49.5))


def test_windows_over_the_clear_threshold_prolong_an_alarm(scorer):
    """Window 30 is at 0.4: too low to raise an alarm, high enough to keep one that ends below 0.3."""
    stream = output({"AF": range(20, 30)})
    stream.decisions[30].probabilities[1] = 0.4
    lasting = dataclasses.replace(spec("AF"), clear_threshold=0.3)
    assert scorer.alarms(lasting, stream)[0].covered_s == (20.0, 40.0)
    assert scorer.alarms(spec("AF"), stream)[0].covered_s == (20.0, 39.0)


def test_a_storm_is_counted_separately(scorer):
    """Ten premature beats within a minute are as many alarms, and one storm, which has no windows of its own."""
    alarms = scorer.score(sinus(), output({"PVC": range(0, 60, 2)}))
    assert alarms.unannotated["ALARM_STORM"] == 1


def test_windows_shorter_than_the_on_delay_raise_no_alarm(scorer):
    assert not scorer.alarms(spec("AF"), output({"AF": [20, 21]}))


def test_windows_that_noise_gates_or_that_are_bad_are_no_evidence(scorer):
    noisy = scorer.alarms(spec("AF"), output({"AF": range(20, 30), "NOISE": range(28, 35)}))
    assert [alarm.active_s for alarm in noisy] == [(24.5, 32.5)]
    assert scorer.alarms(spec("NOISE"), output({"NOISE": range(28, 35)}))[0].covered_s == (28.0, 44.0)
    bad = scorer.alarms(spec("AF"), output({"AF": range(20, 30)}, bad=range(27, 32)))
    assert [alarm.active_s for alarm in bad] == [(24.5, 31.5)]


def test_an_alarm_that_the_stream_ends(scorer):
    (alarm,) = scorer.alarms(spec("AF"), output({"AF": range(50, 60)}))
    assert alarm.covered_s == (50.0, 69.0)


def test_pooling_reaches_back(tiny_bundle):
    """The middle of three pooled windows is a second before the middle of the last one."""
    manifest = msgspec.structs.replace(tiny_bundle.manifest, labels=LABELS, pooling=Pooling("mean", 3))
    (alarm,) = AlarmScorer(manifest, alarm_specs(LABELS), 0.0).alarms(spec("AF"), output({"AF": range(20, 30)}))
    assert alarm.covered_s == (18.0, 39.0)
    assert alarm.active_s == (23.5, 33.5)


def test_labels_without_annotation_are_counted_separately(scorer):
    alarms = scorer.score(sinus(), output({"AVB1": range(20, 30), "NOISE": range(40, 45), "AF": range(30, 35)}))
    assert {label for label, count in alarms.unannotated.items() if count} == {"AVB1", "NOISE"}
    assert set(alarms.labels) == {"AF", "PVC"}, "SR raises no alarm"
    assert alarms.labels["AF"].alarms == 1


def test_beats_are_scored_by_window(scorer):
    """A V beat at 30.5 s is in windows 21 to 30; 25 to 34 are over the threshold; the last window begins at 59 s."""
    counts = scorer.score(sinus("N" * 30 + "V" + "N" * 39), output({"PVC": range(25, 35)})).labels["PVC"]
    assert (counts.windows_with, counts.windows_over, counts.windows_right) == (10, 10, 6)
    assert counts.figures()["window_f1"] == 0.6
    assert (counts.episodes, counts.found, counts.alarms, counts.right) == (1, 1, 1, 1)
    assert counts.figures()["duration_se"] is None


def test_windows_without_a_decision_are_left_out(scorer):
    counts = scorer.score(sinus("N" * 30 + "V" + "N" * 39), output({"PVC": range(25, 35)}, bad=range(21, 25)))
    assert counts.labels["PVC"].windows_with == 6


def test_the_learning_period_is_left_out(tiny_bundle):
    manifest = msgspec.structs.replace(tiny_bundle.manifest, labels=LABELS)
    late = AlarmScorer(manifest, alarm_specs(LABELS), 45.0)
    alarms = late.score(sinus("N" * 30 + "V" + "N" * 39), output({"PVC": range(25, 35), "AVB1": range(20, 30)}))
    assert alarms.labels["PVC"].windows_over == alarms.labels["PVC"].alarms == 0
    assert alarms.unannotated["AVB1"] == 0
    assert alarms.labels["AF"].hours == 25 / 3600


def test_an_alarm_for_a_short_run_counts_as_vt(tiny_bundle):
    """A run from 18.6 to 19.4 s, and the alarms of the rules at 20 s, right, and at 40 s, false."""
    specs = alarm_specs(LABELS, classified_beats=True)
    machine, stream = AlarmMachine("s", "", specs), StreamOutput(RATE_HZ)
    for end_s in range(10, 70):
        decision = Decision(
            stream="s",
            first_sample=(end_s - 10) * RATE_HZ,
            end_sample=end_s * RATE_HZ,
            end_s=float(end_s),
            cause=Cause.PRESENT,
            leads=("II",),
            probabilities=np.zeros(len(LABELS), np.float32),
            rhythms={"NSVT": 0.9} if end_s in {20, 40} else {},
        )
        stream.decisions.append(decision)
        stream.events += machine.step(decision)
    times = np.array([17.0, 18.0, 18.6, 19.0, 19.4, 20.4])
    run = dataclasses.replace(sinus(), classes=Beats(times, "NNVVVN"))
    manifest = msgspec.structs.replace(tiny_bundle.manifest, labels=LABELS)
    alarms = AlarmScorer(manifest, specs, 0.0).score(run, stream)
    vt = alarms.labels["VT"]
    assert (vt.episodes, vt.found, vt.alarms, vt.right) == (1, 1, 2, 1)
    assert "NSVT" not in alarms.labels
    assert alarms.urgent_false == 1
