"""Combines the last outputs of a stream before the alarms see them. Pure; training and scoring use it as well."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Pooling


class Pooler:
    """Averages the probabilities of the last windows of one stream, as the bundle's `pooling` says."""

    def __init__(self, pooling: Pooling) -> None:
        self._last: deque[NDArray[np.float32] | None] = deque(maxlen=1 if pooling.kind == "none" else pooling.windows)

    def push(self, probabilities: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        """Take the (labels,) output of the next window, None for one that was not good; return the mean of the good.

        A window that was not good has no result of its own, and takes its turn in the sequence all the same, so
        that an output never reaches further back than the pooling says.
        """
        self._last.append(probabilities)
        if probabilities is None:
            return None
        good = [output for output in self._last if output is not None]
        mean: NDArray[np.float32] = good[0] if len(good) == 1 else np.mean(good, axis=0, dtype=np.float32)
        return mean
