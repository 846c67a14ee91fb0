"""The account of one stream: every sample instant is classified, missing with its cause, or pending.

    samples_in = classified + sum(missing.values()) + pending        at any moment

Pure; knows instants by their index and nothing of their values.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from edge.samples import Cause

_CLASSIFIED = 255
_AS_CLASSIFIED = bytes([_CLASSIFIED, *range(1, 256)])  # a table for bytes.translate: only 0 changes


class Ledger:
    """Keeps one byte for each instant that may still change: 0 pending, a `Cause`, or classified."""

    def __init__(self) -> None:
        self.classified = 0
        self.missing: Counter[Cause] = Counter()
        self._settled = 0  # instants before this one are final
        self._codes = bytearray()

    @property
    def samples_in(self) -> int:
        """How many instants should exist so far."""
        return self._settled + len(self._codes)

    @property
    def pending(self) -> int:
        """How many of them arrived and are not decided yet."""
        return self._codes.count(0)

    def arrive(self, causes: NDArray[np.uint8]) -> None:
        """Take the next instants: (instants,) uint8, a `Cause` each, 0 for those that arrived."""
        self._codes += causes.tobytes()
        if causes.any():
            codes, counts = np.unique(causes[causes != Cause.PRESENT], return_counts=True)
            self.missing.update(dict(zip(map(Cause, codes.tolist()), counts.tolist(), strict=True)))

    def classify(self, first: int, end: int) -> None:
        """Count as classified what arrived of the instants from `first` up to `end` and is not counted yet."""
        begin, stop = max(first - self._settled, 0), max(end - self._settled, 0)
        part = self._codes[begin:stop]
        self.classified += part.count(0)
        self._codes[begin:stop] = part.translate(_AS_CLASSIFIED)

    def settle(self, end: int, cause: Cause) -> None:
        """Declare final what lies before `end`: what is still pending there was lost to `cause`."""
        stop = max(end - self._settled, 0)
        lost = self._codes.count(0, 0, stop)
        if lost:
            self.missing[cause] += lost
        del self._codes[:stop]
        self._settled = max(end, self._settled)
