"""Pooling of the last outputs of a stream."""

import numpy as np

from edge.bundle.manifest import Pooling
from edge.monitor.pooling import Pooler, pool_windows


def run(pooling, outputs):
    pooler = Pooler(pooling, ["AF"])
    return [
        None if (got := pooler.push(None if x is None else np.array([x], np.float32))) is None else float(got[0])
        for x in outputs
    ]


def test_none_passes_outputs_on():
    assert run(Pooling(), [0.25, None, 0.75]) == [0.25, None, 0.75]


def test_mean_reaches_back_as_far_as_it_says():
    assert run(Pooling("mean", 3), [0.0, 0.5, 1.0, 1.0]) == [0.0, 0.25, 0.5, np.float32(2.5 / 3)]


def test_a_bad_window_has_no_result_and_takes_its_turn():
    assert run(Pooling("mean", 2), [1.0, None, 0.5, 0.0]) == [1.0, None, 0.5, 0.25]


def test_a_label_may_be_pooled_over_another_number_of_windows():
    pooler = Pooler(Pooling("mean", 3, {"PVC": 1, "VT": 2}), ["PVC", "AF", "VT"])
    pooled = [pooler.push(np.full(3, value, np.float32)).tolist() for value in (0.0, 0.5, 1.0)]
    assert pooled == [[0.0, 0.0, 0.0], [0.5, 0.25, 0.25], [1.0, 0.5, 0.75]]


def test_a_recording_is_pooled_like_a_stream():
    outputs = np.array([[1.0, 0.0], [np.nan, np.nan], [0.5, 0.5]], np.float32)
    pooled = pool_windows(outputs, Pooling("mean", 3, {"AF": 1}), ["PVC", "AF"])
    np.testing.assert_array_equal(pooled, [[1.0, 0.0], [np.nan, np.nan], [0.75, 0.5]])
