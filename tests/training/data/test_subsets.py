"""Few labels: the right share of whole patients, with every label in its share."""

import numpy as np
import pytest

from training.data.cache import StretchSet
from training.data.labels import INDEX, NAMES
from training.data.subsets import labelled_rows

COUNT = 4000


@pytest.fixture(scope="module")
def windows():
    """2000 patients of two windows; 20% have AF, 2% of the patients VT as well."""
    target = np.zeros((COUNT, len(NAMES)), np.uint8)
    patient = np.arange(COUNT) // 2
    target[:, INDEX["SR"]] = 1
    target[patient % 5 == 0, INDEX["AF"]] = 1
    target[(patient % 50 == 0) & (np.arange(COUNT) % 2 == 0), INDEX["VT"]] = 1
    known, names = np.ones_like(target), patient.astype(str)
    nothing = np.zeros((COUNT, 12, 0), np.float16)
    keep, start = np.ones((COUNT, 12), np.uint8), np.full(COUNT, -1, np.int16)
    return StretchSet("ptb-xl", nothing, keep, target, known, start, names, names, np.zeros(COUNT))


def patients(windows, rows):
    return set(windows.patient[rows].tolist())


@pytest.mark.parametrize("share", [0.01, 0.1])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_right_share_of_whole_patients(windows, share, seed):
    candidates = np.arange(0, 3000)
    rows = labelled_rows(windows, candidates, share, seed)
    assert len(patients(windows, rows)) == round(share * 1500)
    assert rows.size == 2 * len(patients(windows, rows)), "both windows of each"
    assert np.isin(rows, candidates).all()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_label_keeps_its_share(windows, seed):
    rows = labelled_rows(windows, np.arange(COUNT), 0.1, seed)
    for name, part in (("AF", 0.2), ("VT", 0.01)):
        assert windows.target[rows, INDEX[name]].mean() == pytest.approx(part, abs=0.006)


def test_another_seed_gives_other_patients(windows):
    every = np.arange(COUNT)
    first, again, other = (patients(windows, labelled_rows(windows, every, 0.1, seed)) for seed in (1, 1, 2))
    assert first == again
    assert len(first & other) < 0.5 * len(first)


def test_a_share_of_one_is_all_and_a_tiny_share_is_one_patient(windows):
    rows = np.arange(10, 30)
    assert labelled_rows(windows, rows, 1.0, 1) is rows
    assert len(patients(windows, labelled_rows(windows, rows, 0.01, 1))) == 1
