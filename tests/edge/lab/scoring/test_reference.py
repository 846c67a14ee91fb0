"""Reference episodes of each label: by hand, and equal to the rules of training on every record."""

from dataclasses import replace

import numpy as np
import pytest

from edge.core.errors import RecordError
from edge.lab.scoring.annotation import Annotation, NamedSpan, patient_of, read_annotation
from edge.lab.scoring.beats import Beats
from edge.lab.scoring.reference import holds_in_window, references
from edge.lab.scoring.spans import clip, intersect, seconds, union
from training.data.labels import INDEX
from training.data.sets import mitdb

WINDOW_S = 10.0
LABELS = ["AF", "AFL", "SVT", "VT", "PVC", "PAC", "BIGEMINY", "TRIGEMINY", "SBRAD", "STACH", "LBBB", "RBBB", "PACED"]


def touches(spans, start_s, end_s):
    return intersect(spans, union([(start_s, end_s)])).size > 0


def annotation(symbols, rhythms=(("(N", 0.0, 100.0),), every_s=0.8):
    """Beats from second 0.1 on, and spans of rhythms."""
    spans = tuple(NamedSpan(*each) for each in rhythms)
    return Annotation(0.1 + every_s * np.arange(len(symbols)), np.array(list(symbols)), spans, 100.0)


def test_rhythm_notes_are_episodes():
    af = annotation("N" * 125, [("(N", 0, 20), ("(AFIB", 20, 40), ("(AFL", 40, 50), ("(B", 50, 60), ("(T", 60, 100)])
    found = references(af, WINDOW_S)
    assert {label: found[label].episodes.tolist() for label in ("AF", "AFL", "BIGEMINY", "TRIGEMINY")} == {
        "AF": [[20, 40]],
        "AFL": [[40, 50]],
        "BIGEMINY": [[50, 60]],
        "TRIGEMINY": [[60, 100]],
    }
    assert found["AF"].unknown.tolist() == [[40, 50]]
    assert found["AFL"].unknown.size == 0


def test_two_notes_of_one_rhythm_are_one_episode():
    twice = annotation("N" * 125, [("(AFIB", 20, 40), ("(AFIB", 40, 50), ("(N", 50, 100)])
    assert references(twice, WINDOW_S)["AF"].episodes.tolist() == [[20, 50]]


def test_runs_need_three_beats_and_flutter_a_second():
    rhythms = [("(VT", 8.0, 9.6), ("(N", 9.6, 16), ("(VT", 16, 18.4), ("(VFL", 20, 20.9), ("(VFL", 30, 35)]
    found = references(annotation("N" * 10 + "VV" + "N" * 8 + "VVV" + "N" * 90, rhythms), WINDOW_S)["VT"]
    assert found.episodes.tolist() == [[16, 18.4], [30, 35]]
    assert found.unknown.tolist() == [[8.0, 9.6], [20, 20.9]]


def test_premature_beats():
    """Beats at 8.1 and 12.1 are one episode, the one at 40.1 is another; PVC is unknown around fusion at 80.1."""
    symbols = ["N"] * 125
    for beat in (10, 15, 50):
        symbols[beat] = "V"
    symbols[100] = "F"
    found = references(annotation("".join(symbols)), WINDOW_S)["PVC"]
    assert found.episodes == pytest.approx(np.array([[7.95, 12.25], [39.95, 40.25]]))
    assert found.unknown == pytest.approx(np.array([[74.1, 86.1]]))
    assert not found.timed
    assert references(annotation("NNNaNN" + "N" * 100), WINDOW_S)["PAC"].episodes.shape == (1, 2)


def test_beat_forms_need_half_of_a_window():
    """From 40 s on every beat is LBBB: a window holds half of them when its middle stands there."""
    found = references(annotation("N" * 50 + "L" * 75), WINDOW_S)["LBBB"]
    assert found.episodes == pytest.approx(np.array([[39.5, 99.5]]), abs=1.0)
    assert found.unknown == pytest.approx(np.array([[35.5, 39.5]]), abs=1.0)
    assert not references(annotation("N" * 125), WINDOW_S)["LBBB"].unknown.size


def test_paced_rhythm_is_paced_whatever_the_beats():
    found = references(annotation("N" * 125, [("(N", 0, 50), ("(P", 50, 70), ("(N", 70, 100)]), WINDOW_S)["PACED"]
    assert found.episodes.tolist() == [[50, 70]]


def test_rates_are_unknown_where_nobody_annotated_them():
    slow = references(annotation("N" * 100, every_s=1.0), WINDOW_S)
    assert seconds(slow["SBRAD"].unknown) == pytest.approx(100, abs=1)
    assert not slow["SBRAD"].episodes.size
    assert not slow["STACH"].unknown.size
    fast = references(annotation("N" * 200, every_s=0.5), WINDOW_S)
    assert seconds(fast["STACH"].unknown) == pytest.approx(100, abs=1)
    assert not fast["SBRAD"].unknown.size
    noted = references(annotation("N" * 100, [("(SBR", 0, 100)], every_s=1.0), WINDOW_S)["SBRAD"]
    assert noted.episodes.tolist() == [[0, 100]]
    assert not noted.unknown.size


def test_only_annotated_labels_have_a_reference():
    assert set(references(annotation("N" * 125), WINDOW_S)) == {*LABELS, "VF"}
    rhythms_alone = references(annotation("", [("(AFIB", 0, 100)]), WINDOW_S)
    assert set(rhythms_alone) == {"AF", "AFL", "BIGEMINY", "TRIGEMINY", "VT", "SVT", "VF"}
    assert "AF" not in references(annotation("N" * 125, []), WINDOW_S)


def test_rhythms_without_beats_and_noise():
    """As in vfdb: no beat is annotated, and noise overlays the rhythm."""
    notes = [("(N", 0, 20), ("(VT", 20, 30), ("(NOISE", 30, 40), ("(VFIB", 40, 60), ("(ASYS", 60, 100)]
    found = references(annotation("", notes), WINDOW_S)
    assert found["VT"].episodes.tolist() == [[20, 30]]
    assert found["VT"].unknown.tolist() == [[30, 100]]
    assert found["VF"].episodes.tolist() == [[40, 60]]
    assert found["VF"].unknown.tolist() == [[20, 40], [60, 100]]
    assert found["AF"].unknown.tolist() == [[30, 40], [60, 100]]


def test_fibrillation_between_brackets():
    """As in cudb; where a note says flutter, as in mitdb, the brackets are VT and not VF."""
    marked = Beats(np.array([1.0, 2.0]), "NN", ((10.0, 30.0), (40.0, float("inf"))))
    cudb = replace(annotation("NN", []), qrs=marked)
    assert references(cudb, WINDOW_S)["VF"].episodes.tolist() == [[10, 30], [40, 100]]
    mitdb = replace(annotation("NN", [("(VFL", 10.1, 30), ("(N", 30, 100)]), qrs=marked)
    assert references(mitdb, WINDOW_S)["VF"].episodes.tolist() == [[40, 100]]
    assert references(mitdb, WINDOW_S)["VT"].episodes.tolist() == [[10.1, 30]]


def test_runs_that_are_not_noted_count_as_vt_too():
    beats = Beats(np.array([10.0, 10.4, 10.8, 11.5, 20.0, 20.5, 21.0]), "VVVNVVN")
    found = references(replace(annotation("N" * 125, [("(VT", 30, 34)]), classes=beats), WINDOW_S)
    assert found["VT"].episodes.tolist() == [[10, 10.8], [30, 34]]


def test_beats_near_the_edge_of_a_window_leave_it_unknown():
    beats = annotation("VNNNNNNNNNNNNNN")
    assert holds_in_window(beats, "PVC", 0.0, 10.0) is None
    assert holds_in_window(beats, "PVC", 0.2, 10.2) is False
    assert holds_in_window(annotation("NNVNNNNNNNNNN"), "PVC", 0.0, 10.0) is True
    assert holds_in_window(annotation("NNFNNNNNNNNNN"), "PVC", 0.0, 10.0) is None


def test_one_person_has_two_records():
    assert patient_of("202") == patient_of("201") == "201"
    assert patient_of("203") == "203"


def test_sinus_throughout():
    assert annotation("N" * 125).sinus_throughout
    assert not annotation("N" * 125, []).sinus_throughout
    assert not annotation("N" * 125, [("(N", 0, 50), ("(SBR", 50, 100)]).sinus_throughout


@pytest.mark.parametrize("name", ["no-such-record", "damaged"])
def test_an_annotation_that_cannot_be_read_is_one_clear_line(tmp_path, name):
    (tmp_path / "damaged.atr").write_bytes(b"\x01")
    with pytest.raises(RecordError, match=name) as caught:
        read_annotation(tmp_path / name)
    assert "\n" not in str(caught.value)


def records(data_dir):
    return sorted(path.stem for path in (data_dir / "mitdb").glob("*.atr"))


def test_the_same_meanings_as_in_training(data_dir):
    """On every record: a window's label in training agrees with the reference at that time.

    A sustained rhythm that training sees in a window fills half of it here; a run or a beat that it sees is here
    within the window; where it denies a label nothing of it is here. For beat forms and rates it is the window's
    middle that the two agree on.
    """
    windows = 0
    for name in records(data_dir):
        ours = read_annotation(data_dir / "mitdb" / name)
        reference = references(ours, WINDOW_S)
        for start in np.arange(0.0, ours.end_s - WINDOW_S, 7.0):
            windows += 1
            labels = mitdb.window_labels(ours, start, start + WINDOW_S)
            for label in LABELS:
                index = INDEX[label]
                holds = bool(labels.target[index]) if labels.known[index] else None
                assert agrees(label, holds, reference[label], ours, start), (name, start, label, holds)
    assert windows > 6000


def agrees(label, holds, reference, ours, start):
    """Say whether training's answer for the window from `start` fits; it may be unknown where this is known."""
    here = clip(reference.episodes, start, start + WINDOW_S)
    inner = start + 0.2, start + WINDOW_S - 0.2
    middle = start + WINDOW_S / 2 - 0.01, start + WINDOW_S / 2 + 0.01
    unknown = touches(reference.unknown, *middle)
    match label:
        case "PVC" | "PAC":
            assert holds_in_window(ours, label, start, start + WINDOW_S) is holds
            fits = holds is None or touches(reference.episodes, *inner) == holds or bridged(reference, *inner)
        case "LBBB" | "RBBB":
            fits = touches(reference.episodes, *middle) == (holds is True) and unknown == (holds is None)
        case "STACH":
            fits = unknown == (holds is None)
        case "PACED":
            fits = holds is None or (seconds(here) >= WINDOW_S / 2 - 1.1) == holds
        case "SBRAD":
            fits = holds is not False or not (here.size or unknown)
        case "VT" | "SVT":
            fits = bool(here.size) if holds else holds is None or not any(ours.beats(*span).size for span in here)
        case _:
            fits = (holds is True) == (seconds(here) >= WINDOW_S / 2 - 1e-9) and (holds is False) == (not here.size)
    return fits


def bridged(reference, start, end):
    """Whether a window lies between two beats that are one episode."""
    return bool(((reference.episodes[:, 0] < start) & (reference.episodes[:, 1] > end)).any())
