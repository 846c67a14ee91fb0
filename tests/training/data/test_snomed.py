"""CPSC 2018 and the Challenges of 2020 and 2021: small files in their layout, as the sets were not available."""

import numpy as np
import pytest
import wfdb

from training.data import cache, splits
from training.data.labels import NAMES
from training.data.sets import snomed
from training.errors import DataError
from training.evaluation.cpsc2018 import CLASSES, class_f1

SINUS, AF, PVC, BRADY = "426783006", "164889003", "164884008", "426177001"


@pytest.fixture
def challenge(tmp_path):
    """Four records of 12 s in two folders, and a copy of a PTB-XL record; as .hea and .dat."""
    folder = tmp_path / "cinc2021"
    for name, codes in (("a/A0001", SINUS), ("a/A0002", f"{AF},{PVC}"), ("b/E0003", BRADY), ("b/E0004", "713422000")):
        write(folder / name, codes)
    write(folder / "ptb-xl/HR00001", SINUS)
    return tmp_path


def write(path, codes):
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.sin(np.arange(6000) / 80.0)[:, None] * np.linspace(0.5, 1.5, 2)
    comments = ["Age: 60", f"Dx: {codes}"]
    wfdb.wrsamp(path.name, 500, ["mV"] * 2, ["I", "V1"], wave, fmt=["16"] * 2, comments=comments, write_dir=path.parent)


def labels_of(stretch):
    return {name: bool(stretch.labels.target[i]) for i, name in enumerate(NAMES) if stretch.labels.known[i]}


def test_labels_come_from_the_header(challenge):
    found = {stretch.record: stretch for stretch in snomed.stretches(challenge / "cinc2021")}
    assert sorted(found) == ["A0001", "A0002", "E0003", "E0004"], "the copy of PTB-XL is skipped"
    assert labels_of(found["A0001"]) == {"SR": True, "AF": False, "PVC": False, "SBRAD": False, "OTHER": False}
    assert labels_of(found["A0002"]) == {"SR": False, "AF": True, "PVC": True, "SBRAD": False}
    assert "SR" not in labels_of(found["E0003"]), "a slow sinus rhythm is one"
    assert labels_of(found["E0004"])["OTHER"]
    assert found["A0001"].keep.nonzero()[0].tolist() == [0, 6]
    assert found["A0001"].signal.shape == (12, 1000)


def test_the_cache_and_the_splits_support_these_sets(challenge, monkeypatch):
    monkeypatch.setenv("ECG_CACHE", str(challenge / "cache"))
    stretches = cache.load("cinc2021", challenge)
    assert stretches.windows(np.arange(4)).shape == (4, 12, 512)
    rows = splits.rows_of(stretches, challenge)
    assert sum(part.size for part in rows.values()) == 4
    shares = [splits.snomed_part(f"Q{number:04}") for number in range(2000)]
    assert 0.77 < shares.count("train") / 2000 < 0.83


def test_a_header_without_a_diagnosis_is_refused(challenge):
    (challenge / "cinc2021/a/A0001.hea").write_text("A0001 0 500 0\n#Age: 60\n")
    with pytest.raises(DataError, match="names no diagnosis"):
        list(snomed.stretches(challenge / "cinc2021"))
    with pytest.raises(DataError, match="no record"):
        snomed.read_diagnoses(challenge / "cache-of-nothing")


def test_f1_by_the_rule_of_cpsc_2018():
    """Three records: right, right by the second class, and wrong; no record has or gets the last class."""
    scores = np.array([[0.9, 0.1, 0, 0], [0.2, 0.8, 0, 0], [0.7, 0.1, 0, 0]], np.float32)
    holds = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]], bool)
    f1 = class_f1(scores, holds)
    assert f1[:3].tolist() == [pytest.approx(2 / 3), 1.0, 0.0]
    assert np.isnan(f1[3])
    assert len(CLASSES) == 9
