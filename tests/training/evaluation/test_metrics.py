"""The figures, against torchmetrics and by hand."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_auroc

from training.evaluation.metrics import auc, f1, label_aucs, macro


@pytest.mark.parametrize("ties", [False, True])
def test_auc_equals_torchmetrics(ties):
    random = np.random.default_rng(0)
    target = random.random(500) < 0.1
    scores = random.random(500) + 0.3 * target
    if ties:
        scores = np.round(scores, 1)
    expected = binary_auroc(torch.from_numpy(scores), torch.from_numpy(target).long()).item()
    assert auc(scores, target) == pytest.approx(expected, abs=1e-6)


def test_labels_without_both_classes_fall_out_of_the_mean():
    scores = np.array([[0.1, 0.5], [0.9, 0.5]])
    target = np.array([[0, 0], [1, 0]], np.uint8)
    values = label_aucs(scores, target)
    assert values[0] == 1.0
    assert np.isnan(values[1])
    assert macro(values) == 1.0
    assert np.isnan(macro(values[1:]))


def test_unknown_windows_are_left_out():
    scores = np.array([[0.9], [0.1], [0.2], [0.8]])
    target = np.array([[1], [1], [0], [0]], np.uint8)
    known = np.array([[1], [0], [1], [1]], np.uint8)
    assert label_aucs(scores, target, known)[0] == 1.0


def test_f1():
    assert f1(np.array([True, True, False]), np.array([True, False, True])) == 0.5
    assert np.isnan(f1(np.zeros(3, bool), np.zeros(3, bool)))
