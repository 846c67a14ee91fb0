"""Windows that the training device cuts and conditions, beside those that the edge does."""

import numpy as np
import pytest
import torch

from training.data.cache import WindowSet
from training.data.labels import NAMES
from training.data.stores import Store
from training.data.windows import cut_windows

ROWS, PLACES = np.array([4, 0, 2]), np.array([0, 100, 488])


@pytest.fixture
def windows():
    random = np.random.default_rng(0)
    signal = random.normal(0, 0.5, (6, 12, 1000)) + 3 * np.sin(np.arange(1000) / 300)
    signal[0, :, ::97] = 40  # beyond the limit
    signal[2, 3:] = 0  # leads that are not there
    labels = random.integers(0, 2, (2, 6, len(NAMES))).astype(np.uint8)
    names = np.array([str(i) for i in range(6)])
    keep = (np.abs(signal).max(axis=2) > 0).astype(np.uint8)
    return WindowSet("ptb-xl", signal.astype(np.float16), keep, *labels, np.full(6, -1, np.int16), names, names, 0.0)


def test_a_window_is_what_the_edge_would_see(windows):
    store = Store(windows, "cpu")
    seen = store.windows(ROWS, PLACES).numpy()
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, cut_windows(windows.signal[ROWS], PLACES), atol=2e-5)
    assert np.abs(seen).max() == 10.0
    assert (seen[2, 3:] == 0).all()


def test_labels_are_those_of_the_rows(windows):
    for mine, theirs in zip(
        Store(windows, "cpu").labels(ROWS), (windows.keep, windows.target, windows.known), strict=True
    ):
        assert mine.dtype == torch.float32
        np.testing.assert_array_equal(mine.numpy(), theirs[ROWS])
