"""Combines the last outputs of a stream before the alarms see them. Pure; training and scoring use it as well."""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Pooling


class Pooler:
    """Averages the probabilities of the last windows of one stream, as the bundle's `pooling` says.

    Parameters
    ----------
    pooling : over how many windows
    labels : abbreviations, in the order of the outputs
    """

    def __init__(self, pooling: Pooling, labels: Sequence[str]) -> None:
        windows = np.array([pooling.of(label) for label in labels])
        self._columns = [(int(length), np.flatnonzero(windows == length)) for length in np.unique(windows)]
        self._last: deque[NDArray[np.float32] | None] = deque(maxlen=int(windows.max(initial=1)))

    def push(self, probabilities: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        """Take the (labels,) output of the next window, None for one that was not good; return the mean of the good.

        A window that was not good has no result of its own, and takes its turn in the sequence all the same, so
        that an output never reaches further back than the pooling says.
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
