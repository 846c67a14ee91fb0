"""References of the public sets: lethal rhythms, bedside alarms, lists for whole records, beats by class."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import wfdb

from edge.alarms.decision import Decision
from edge.beats.classes import ClassifiedBeat
from edge.core.errors import RecordError
from edge.core.samples import Cause
from edge.lab.scoring.annotation import Annotation, NamedSpan
from edge.lab.scoring.beat_classes import beat_score, count_classes
from edge.lab.scoring.beats import Beats
from edge.lab.scoring.challenge import ListedAlarm, challenge_score, judge, read_alarms
from edge.lab.scoring.folder import ScoreConfig, score_folder
from edge.lab.scoring.lethal import LethalCounts, count_lethal
from edge.lab.scoring.set_reference import read_reference, reference_records
from edge.lab.scoring.sets import set_of

ON = 0.0, 300.0


def spans(*pairs):
    return np.array(pairs, np.float64)


def test_the_set_is_named_by_the_nearest_folder():
    assert set_of(Path("/data/mitdb/1.0.0")) == "mitdb"
    assert set_of(Path("/mitdb/vfdb")) == "vfdb"
    assert set_of(Path("/somewhere/holter")) == "holter"


def test_lethal_episodes_and_false_alarms():
    """VT of 3 s (short), VT and VF from 100 to 130 (one episode), VT from 200 (not found); noise from 250 to 280.

    Benign: to 45, 68 to 95, 145 to 195, 225 to 245 and 295 on. The alarms at 20 and 150 are false, that at 260 is not.
    """
    notes = [("(VT", 50, 53), ("(VT", 100, 110), ("(VFIB", 110, 130), ("(VT", 200, 210), ("(NOISE", 250, 280)]
    annotation = Annotation(np.zeros(0), np.zeros(0, np.str_), tuple(NamedSpan(*note) for note in notes), 300.0)
    alarms = {"VT": spans((20, 30), (108, 120), (260, 265)), "NSVT": spans((150, 160)), "AF": spans(ON)}
    counts = count_lethal(annotation, alarms, 0.0)
    assert counts == LethalCounts(episodes=2, found=1, false=2, benign_s=45 + 27 + 50 + 20 + 5, alarm_s=20)
    assert counts.score().false_per_benign_hour == pytest.approx(2 * 3600 / 147)
    assert count_lethal(annotation, alarms, 150.0).episodes == 1
    late = count_lethal(annotation, {"VF": spans((116, 130), (199, 206))}, 0.0)
    assert late.found == 1, "16 s after the onset is too late; an alarm that is on already counts"


@pytest.mark.parametrize(
    ("alarms", "confirmed"),
    [
        ({"VT": spans((178, 185))}, True),
        ({"VT": spans((100, 166))}, True),
        ({"VT": spans((100, 164))}, False),
        ({"VT": spans((185.5, 190))}, False),
        ({"VF": spans((170, 185)), "NSVT": spans((170, 185))}, False),
    ],
)
def test_an_alarm_is_confirmed_near_the_moment(alarms, confirmed):
    assert judge(ListedAlarm("Ventricular_Tachycardia", True, 180.0), alarms).confirmed is confirmed


def test_the_challenges_score():
    """Two true alarms, one missed; two false ones, one confirmed: (1 + 1) / (1 + 1 + 1 + 5)."""
    heard = {"ASYSTOLE": spans((170, 180))}
    kinds = [(True, heard), (True, {}), (False, heard), (False, {})]
    score = challenge_score([judge(ListedAlarm("Asystole", true, 180.0), alarms) for true, alarms in kinds])
    assert (score.tpr, score.tnr, score.score) == (0.5, 0.5, 2 / 8)
    assert score.by["Asystole"].true == 2
    assert challenge_score([]).score is None


@pytest.fixture
def listed(folder, tmp_path):
    """Return a folder with records and no annotation."""

    def make(name, text):
        for path in [*folder.glob("30?.hea"), *folder.glob("30?.dat")]:
            shutil.copy(path, tmp_path)
        (tmp_path / name).write_text(text, "utf-8")
        return tmp_path

    return make


def test_a_list_of_alarms(listed, tiny_bundle):
    path = listed("ALARMS.csv", "record,alarm,true,alarm_s\n301,Ventricular_Tachycardia,1,90\n302,Asystole,0,90\n")
    assert read_alarms(path)["302"] == ListedAlarm("Asystole", False, 90.0)
    score = score_folder(tiny_bundle, ScoreConfig(folder=path))
    assert (score.alarms.tpr, score.alarms.tnr, score.alarms.score) == (1, 1, 1)
    assert (score.hours, score.lethal, score.beats) == (0, None, None)


def test_a_list_of_rhythms(listed, tiny_bundle):
    """301 has an AF alarm of 25 s and another of 13 s, see test_folder; 302 has none."""
    path = listed("RHYTHMS.csv", "record,rhythm\n301,AF\n302,not AF\n")
    score = score_folder(tiny_bundle, ScoreConfig(folder=path, start_s=0.0))
    assert score.af.time_found == pytest.approx(38 / 120)
    assert score.af.time_false == 0
    assert set(score.labels) == {"AF"}


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "record,alarm,true,alarm_s\n301,Fever,1,90\n"])
def test_a_list_that_cannot_be_read(listed, text):
    with pytest.raises(RecordError, match=r"ALARMS\.csv"):
        read_alarms(listed("ALARMS.csv", text))


def annotate(path, folder, symbols, notes=()):
    """Write beats every second, and rhythm notes, for record 302 of the folder into a set of this name."""
    path.mkdir()
    for suffix in (".hea", ".dat"):
        shutil.copy(folder / f"302{suffix}", path)
    samples = [250 * (at + 1) for at in range(len(symbols))]
    wfdb.wrann("302", "atr", np.array(samples), symbol=list(symbols), fs=250, write_dir=str(path))
    return read_reference(path, "302", "atr", 120.0)


def test_beats_of_cudb_have_no_class(folder, tmp_path):
    found = annotate(tmp_path / "cudb", folder, "NNN[]NN")
    assert found.classes is None
    assert not found.judges("PVC")
    assert found.qrs.flutter == ((4.0, 5.0),)


def test_people_of_nsrdb_are_in_sinus_rhythm(folder, tmp_path):
    assert annotate(tmp_path / "nsrdb", folder, "NNNSN").sinus_throughout


def test_a_record_without_beats_or_rhythms_is_refused(folder, tmp_path):
    with pytest.raises(RecordError, match=r"no beats and no rhythms in 302\.atr"):
        annotate(tmp_path / "other", folder, "~|~")


def test_every_set_has_references(data_dir):
    for name in ("svdb", "vfdb", "cudb", "nsrdb", "cinc2015", "mimic-perform-af"):
        if not (data_dir / name).is_dir():
            pytest.skip(f"no {name} in {data_dir}")
        record = reference_records(data_dir / name, "atr", ())[0]
        assert read_reference(data_dir / name, record, "atr", 1000.0).end_s > 0


def test_beats_by_class():
    """Reference V V S N: one V right, one called N, S right, N called V; a false detection does not count."""
    classes = Beats(np.array([1.0, 2.0, 3.0, 4.0]), "VVSN")
    annotation = Annotation(classes.times_s, np.array(list("VVSN")), (), 10.0, classes=classes)
    called = [(1.05, "V"), (2.0, "N"), (3.0, "S"), (4.1, "V"), (4.5, "X")]
    beats = tuple(ClassifiedBeat(time, kind, (0.0,) * 6, joined=True) for time, kind in called)
    decision = Decision("s", 0, 2500, 10.0, Cause.BAD_QUALITY, ("II",), None, classified=beats)
    score = beat_score(count_classes(annotation, [decision], 0.0), first_lead=True)
    assert (score.VEB.se, score.VEB.ppv, score.VEB.f1, score.VEB.n) == (0.5, 0.5, 0.5, 2)
    assert (score.SVEB.se, score.SVEB.ppv, score.SVEB.f1) == (1, 1, 1)
    assert score.first_lead.VEB == score.VEB
