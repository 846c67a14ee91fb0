"""Windows that are cut and conditioned on the training device, beside those of the edge."""

import numpy as np
import pytest
import torch

from training.data.cache import StretchSet
from training.data.labels import NAMES
from training.data.training_set import TrainingSet
from training.data.windows import cut_windows

ROWS, STARTS = np.array([4, 0, 2]), np.array([0, 100, 488])


@pytest.fixture
def stretches():
    random = np.random.default_rng(0)
    signal = random.normal(0, 0.5, (6, 12, 1000)) + 3 * np.sin(np.arange(1000) / 300)
    signal[0, :, ::97] = 40  # beyond the limit
    signal[2, 3:] = 0  # leads that are not there
    labels = random.integers(0, 2, (2, 6, len(NAMES))).astype(np.uint8)
    names = np.array([str(i) for i in range(6)])
    keep = (np.abs(signal).max(axis=2) > 0).astype(np.uint8)
    return StretchSet("ptb-xl", signal.astype(np.float16), keep, *labels, np.full(6, -1, np.int16), names, names, 0.0)


@pytest.fixture
def training_set(stretches):
    return TrainingSet(stretches, np.arange(6), np.arange(0), 1.0)


def test_a_window_equals_that_of_the_edge(stretches, training_set):
    signal = training_set.windows(ROWS, STARTS).signal.numpy()
    assert signal.dtype == np.float32
    np.testing.assert_allclose(signal, cut_windows(stretches.signal[ROWS], STARTS), atol=2e-5)
    assert np.abs(signal).max() == 10.0
    assert (signal[2, 3:] == 0).all()


def test_labels_are_those_of_the_rows(stretches, training_set):
    _, *labels = training_set.windows(ROWS, STARTS).tensors()
    for drawn, expected in zip(labels, (stretches.keep, stretches.target, stretches.known), strict=True):
        assert drawn.dtype == torch.float32
        np.testing.assert_array_equal(drawn.numpy(), expected[ROWS])
