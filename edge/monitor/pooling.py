"""Averages the last outputs of a stream before the alarms see them. Calibration pools with the same code."""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Pooling


class Pooler:
    """Averages the probabilities of the last windows of one stream, as the bundle's `pooling` says.

    Parameters
    ----------
    pooling : number of windows for each label
    labels : abbreviations, in the order of the outputs
    """

    def __init__(self, pooling: Pooling, labels: Sequence[str]) -> None:
        lengths = np.array([pooling.of(label) for label in labels])
        # Columns that are averaged over the same number of windows are handled at once.
        self._columns = [(int(length), np.flatnonzero(lengths == length)) for length in np.unique(lengths)]
        self._last: deque[NDArray[np.float32] | None] = deque(maxlen=int(lengths.max(initial=1)))

    def push(self, probabilities: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        """Add the (labels,) output of the next window, None for a bad window, and return the mean of the good ones.

        A bad window gives None. It still takes its place among the last windows, so that a mean never reaches further
        back in time than the pooling says.
        """
        self._last.append(probabilities)
        if probabilities is None or self._last.maxlen == 1:
            return probabilities
        last = list(self._last)
        pooled: NDArray[np.float32] = probabilities.copy()
        for length, columns in self._columns:
            good = [output[columns] for output in last[-length:] if output is not None]
            pooled[columns] = np.mean(good, axis=0, dtype=np.float32)
        return pooled


def pool_windows(outputs: NDArray[np.float32], pooling: Pooling, labels: Sequence[str]) -> NDArray[np.float32]:
    """Pool the (windows, labels) outputs of a whole recording as a stream does; a bad window is a row of NaN."""
    pooler = Pooler(pooling, labels)
    pooled: NDArray[np.float32] = outputs.copy()
    for row, output in enumerate(outputs):
        mean = pooler.push(None if np.isnan(output).any() else output)
        if mean is not None:
            pooled[row] = mean
    return pooled
