"""The rules of the thresholds, on scores that test each one."""

import numpy as np
import pytest

from calibration.export.thresholds import CEILING, FLOOR, ScoredWindows, choose, merge_groups
from training.data.labels import INDEX, NAMES, PRODUCT_LABELS

LABELS = {label.abbreviation: label for label in PRODUCT_LABELS}


def scored(label, scores, holds, name="cinc2017"):
    """Windows of one label; all others are sinus rhythm."""
    count = len(scores)
    probabilities = np.zeros((count, len(NAMES)), np.float32)
    target, known = np.zeros((2, count, len(NAMES)), np.uint8)
    probabilities[:, INDEX[label]] = scores
    target[:, INDEX[label]] = holds
    target[:, INDEX["SR"]] = ~np.asarray(holds)
    known[:, [INDEX[label], INDEX["SR"]]] = 1
    return ScoredWindows(name, probabilities, target, known)


def test_sinus_rhythm_raises_no_alarm():
    random = np.random.default_rng(0)
    holds = np.arange(5000) < 50
    scores = np.where(holds, random.uniform(0.9, 1.0, 5000), random.uniform(0.0, 0.7, 5000))
    choice = choose(scored("AF", scores, holds), LABELS["AF"])
    assert choice.sinus_above <= 4, "0.1% of 4,950"
    assert choice.found == 50
    assert 0.69 < choice.threshold < 0.71


def test_precision_among_similar_rhythms():
    random = np.random.default_rng(0)
    holds = np.arange(1000) < 100
    windows = scored("AF", random.uniform(0.4, 0.9, 1000) + 0.1 * holds, holds)
    windows.target[:, INDEX["SR"]] = 0
    windows.known[:, INDEX["SR"]] = 0
    choice = choose(windows, LABELS["AF"])
    assert choice.found / (choice.found + choice.false) >= 0.8
    assert choice.threshold > 0.89


@pytest.mark.parametrize(("level", "expected"), [(0.0, FLOOR), (0.999, CEILING)])
def test_floor_and_ceiling(level, expected):
    assert choose(scored("VT", np.full(300, level), np.zeros(300, bool)), LABELS["VT"]).threshold == expected


def test_a_label_without_alarm_gets_the_best_f1():
    scores = np.array([0.1, 0.2, 0.6, 0.7, 0.8])
    choice = choose(scored("OTHER", scores, np.array([0, 0, 1, 1, 1], bool)), LABELS["OTHER"])
    assert choice.threshold == pytest.approx(0.6, abs=0.001)


def test_ptb_xl_sinus_counts_as_free_of_vt():
    windows = scored("VT", np.full(2000, 0.5), np.zeros(2000, bool), name="ptb-xl.II")
    windows.known[:, INDEX["VT"]] = 0
    assert choose(merge_groups([windows]), LABELS["VT"]).threshold > 0.5
    assert windows.known[:, INDEX["VT"]].sum() == 0, "the windows themselves are left as they were"
