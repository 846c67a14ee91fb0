"""The labels of each data set, from annotations written by hand and from real ones."""

import numpy as np
import pytest

from edge.lab.scoring.annotation import Annotation, NamedSpan, read_annotation
from training.data.labels import LABELS, NAMES, PRODUCT_LABELS, statement_name
from training.data.sets import cinc2017, mitdb, ptb_xl

PRODUCT = "SR AF AFL SVT VT PVC PAC BIGEMINY TRIGEMINY SBRAD STACH AVB1 LBBB RBBB PACED OTHER NOISE NORM MI STTC CD HYP"
GROUPS = {"NORM": {"diagnostic_class": "NORM"}, "IMI": {"diagnostic_class": "MI"}, "PVC": {"diagnostic_class": ""}}


def known_labels(labels):
    """Return the labels that hold, those that do not, and leave out what is unknown."""
    pairs = [(name, labels.target[i]) for i, name in enumerate(NAMES) if labels.known[i]]
    return {n for n, t in pairs if t}, {n for n, t in pairs if not t}


def test_the_outputs_are_fixed():
    assert [label.abbreviation for label in PRODUCT_LABELS] == PRODUCT.split()
    assert len(LABELS) == 22 + 71
    assert len(set(NAMES)) == len(NAMES)
    priorities = {label.abbreviation: label.priority for label in PRODUCT_LABELS}
    assert priorities["VT"] == "high"
    assert {n for n, p in priorities.items() if p == "medium"} == {"AF", "SVT", "SBRAD", "STACH"}
    unproven = {"AFL", "AVB1", "LBBB", "RBBB"}
    quiet = {"SR", "OTHER", "NORM", "MI", "STTC", "CD", "HYP"} | unproven
    assert {n for n, p in priorities.items() if p == "none"} == quiet
    assert {label.abbreviation for label in PRODUCT_LABELS if label.kind == "technical"} == {"NOISE"}


def entry(*statements, has_quality_remark=False):
    return ptb_xl.Entry("1", "1", 1, frozenset(statements), has_quality_remark, ())


def test_ptb_xl_sinus_with_a_premature_beat():
    holds, not_ = known_labels(ptb_xl.record_labels(entry("SR", "PVC", "NORM"), GROUPS))
    assert holds == {"SR", "PVC", "NORM", statement_name("SR"), statement_name("PVC"), statement_name("NORM")}
    assert "OTHER" not in not_, "a premature beat leaves OTHER open"
    assert "VT" not in not_, "PTB-XL never names VT"
    assert {"AF", "NOISE", "MI", "LBBB"} <= not_


@pytest.mark.parametrize(
    ("statements", "name", "answer"),
    [
        (("AFIB",), "SR", False),
        (("SBRAD",), "SR", None),
        (("AFIB",), "OTHER", False),
        (("AFLT",), "OTHER", True),
        (("PACE", "SARRH"), "OTHER", True),
        (("PSVT",), "SVT", True),
        (("ILBBB",), "LBBB", None),
        (("ILBBB", "CLBBB"), "LBBB", True),
        (("IRBBB",), "RBBB", None),
        (("IMI",), "MI", True),
    ],
)
def test_ptb_xl_meanings(statements, name, answer):
    labels = ptb_xl.record_labels(entry(*statements), GROUPS)
    index = NAMES.index(name)
    assert (bool(labels.target[index]) if labels.known[index] else None) == answer


def test_ptb_xl_a_remark_on_quality_makes_noise_unknown():
    assert "NOISE" not in set.union(*known_labels(ptb_xl.record_labels(entry("SR", has_quality_remark=True), GROUPS)))


def test_cinc2017_classes():
    assert known_labels(cinc2017.record_labels("A")) == ({"AF"}, {"SR", "OTHER", "NOISE"})
    assert known_labels(cinc2017.record_labels("O")) == ({"OTHER"}, {"SR", "AF", "NOISE"})
    assert known_labels(cinc2017.record_labels("~")) == ({"NOISE"}, set())
    holds, not_ = known_labels(cinc2017.record_labels("N"))
    assert holds == {"SR"}
    assert {"AF", "VT", "PACED"} <= not_
    assert "PVC" not in not_, "a normal record of CinC 2017 may hold a premature beat"


def annotation(symbols, rhythms, every_s=0.8):
    return Annotation(0.1 + every_s * np.arange(len(symbols)), np.array(list(symbols)), tuple(rhythms), 100.0)


def answer(labels, name):
    index = NAMES.index(name)
    return bool(labels.target[index]) if labels.known[index] else None


def test_mitdb_sustained_rhythms_need_half_of_the_window():
    beats = annotation("N" * 30, [NamedSpan("(N", 0, 4), NamedSpan("(AFIB", 4, 24)])
    assert answer(mitdb.window_labels(beats, 0, 10), "AF") is True
    assert answer(mitdb.window_labels(beats, 0, 10), "SR") is None
    assert answer(mitdb.window_labels(beats, 0, 6), "AF") is None
    assert answer(mitdb.window_labels(beats, 10, 20), "SR") is False


def test_mitdb_runs_need_three_beats():
    beats = annotation("NNNVVVVNNNNNN", [NamedSpan("(N", 0, 2.4), NamedSpan("(VT", 2.4, 5.6), NamedSpan("(N", 5.6, 20)])
    assert answer(mitdb.window_labels(beats, 0, 10), "VT") is True
    assert answer(mitdb.window_labels(beats, 0, 10), "OTHER") is True
    assert answer(mitdb.window_labels(beats, 0, 3.5), "VT") is None, "two beats of the run are inside"
    assert answer(mitdb.window_labels(beats, 5.6, 10), "VT") is False


def test_mitdb_flutter_counts_as_vt_from_one_second():
    beats = annotation("N" * 20, [NamedSpan("(N", 0, 5), NamedSpan("(VFL", 5, 7), NamedSpan("(N", 7, 20)])
    assert answer(mitdb.window_labels(beats, 0, 10), "VT") is True
    assert answer(mitdb.window_labels(beats, 0, 5.5), "VT") is None


def test_mitdb_premature_beats_at_the_edge_are_unknown():
    beats = annotation("VNNNNNNNNNNNN", [NamedSpan("(N", 0, 20)])
    assert answer(mitdb.window_labels(beats, 0, 10), "PVC") is None
    assert answer(mitdb.window_labels(beats, 0.2, 10), "PVC") is False
    fusion = annotation("NNNFNNNNNNNNN", [NamedSpan("(N", 0, 20)])
    assert answer(mitdb.window_labels(fusion, 0, 10), "PVC") is None


def test_mitdb_rates():
    slow = annotation("N" * 20, [NamedSpan("(N", 0, 20)], every_s=1.0)
    assert answer(mitdb.window_labels(slow, 0, 10), "SBRAD") is None
    assert answer(mitdb.window_labels(slow, 0, 10), "STACH") is False
    fast = annotation("N" * 40, [NamedSpan("(N", 0, 20)], every_s=0.5)
    assert answer(mitdb.window_labels(fast, 0, 10), "SBRAD") is False
    assert answer(mitdb.window_labels(fast, 0, 10), "STACH") is None


def test_mitdb_labels_without_annotation_are_unknown():
    holds, not_ = known_labels(mitdb.window_labels(annotation("N" * 30, [NamedSpan("(N", 0, 24)]), 0, 10))
    assert holds == {"SR"}
    assert not {"AVB1", "NORM", "MI", statement_name("NORM")} & not_


def test_mitdb_on_real_records(data_dir):
    """Record 207 begins with bigeminy and flutter; 104 is paced and partly noisy; 230 pre-excites on and off."""
    paced = read_annotation(data_dir / "mitdb" / "104")
    assert answer(mitdb.window_labels(paced, 100, 110), "PACED") is True
    assert any(answer(mitdb.window_labels(paced, s, s + 10), "NOISE") is None for s in range(0, 1790, 10))
    flutter = read_annotation(data_dir / "mitdb" / "207")
    runs = [s for s in range(0, 1790, 10) if answer(mitdb.window_labels(flutter, s, s + 10), "VT")]
    assert 5 <= len(runs) <= 40
    clean = read_annotation(data_dir / "mitdb" / "122")
    assert all(answer(mitdb.window_labels(clean, s, s + 10), "SR") for s in range(0, 1790, 10))
