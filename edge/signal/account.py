"""The account of one stream: every sample instant is classified, missing with its cause, or pending.

    samples_in = classified + sum(missing.values()) + pending        at any moment

Pure; knows instants by their index and nothing of their values.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from edge.core.samples import Cause

_CLASSIFIED = 255
_MAY_COME_LATE = frozenset({Cause.SEQUENCE_GAP, Cause.OVERRUN, Cause.SILENT})  # causes of what was never seen
_RUNS_KEPT = 64
_AS_CLASSIFIED = bytes([_CLASSIFIED, *range(1, 256)])  # a table for bytes.translate: only 0 changes


class Ledger:
    """Keeps one byte for each instant that may still change: 0 pending, a `Cause`, or classified."""

    def __init__(self) -> None:
        self.classified = 0
        self.missing: Counter[Cause] = Counter()
        self._settled = 0  # instants before this one are final
        self._codes = bytearray()
        self._lost: list[tuple[int, int, Cause]] = []  # latest runs (first, end, cause) of what may still come late

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
        first = self.samples_in
        self._codes += causes.tobytes()
        if causes.any():
            codes, counts = np.unique(causes[causes != Cause.PRESENT], return_counts=True)
            self.missing.update(dict(zip(map(Cause, codes.tolist()), counts.tolist(), strict=True)))
            if counts[0] == causes.size and codes[0] in _MAY_COME_LATE:
                self._lose(first, self.samples_in, Cause(codes[0]))

    def come_late(self, first: int, end: int) -> int:
        """Count as late what was missing of the instants from `first` up to `end`; return how many that are."""
        before, runs, self._lost = self.missing[Cause.LATE], self._lost, []
        for run_first, run_end, cause in runs:
            begin, stop = max(run_first, first), min(run_end, end)
            if begin >= stop:
                self._lost.append((run_first, run_end, cause))
                continue
            self.missing[cause] -= stop - begin
            self.missing[Cause.LATE] += stop - begin
            self._lost += [rest for rest in ((run_first, begin, cause), (stop, run_end, cause)) if rest[0] < rest[1]]
        self._lost = self._lost[-_RUNS_KEPT:]
        self.missing = +self.missing
        return self.missing[Cause.LATE] - before

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

    def _lose(self, first: int, end: int, cause: Cause) -> None:
        """Keep a run that may still come late; one that goes on the last one makes it longer."""
        if self._lost and self._lost[-1][1:] == (first, cause):
            first = self._lost.pop()[0]
        self._lost = [*self._lost[1 - _RUNS_KEPT :], (first, end, cause)]
