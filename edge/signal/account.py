"""The account of one stream: every sample instant is classified, missing with its cause, or pending.

    samples_in = classified + sum(missing.values()) + pending        at any moment

An instant is named by its index, from the first instant of the stream on.
"""

from collections import Counter
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edge.core.samples import Cause

_CLASSIFIED = 255  # the state of a classified instant; no `Cause` is as high
_MAY_ARRIVE_LATE = frozenset({Cause.SEQUENCE_GAP, Cause.OVERRUN, Cause.SILENT})  # the instant itself never arrived
_KEPT_RUNS = 64
_AS_CLASSIFIED = bytes([_CLASSIFIED, *range(1, 256)])  # a table for bytes.translate: only 0, pending, changes


class SampleCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Where the sample instants went. Base of everything that reports it: samples_in = classified + missing + pending.

    Counts of several streams can be added, see `edge.monitor.totals`.
    """

    samples_in: Annotated[int, Meta(description="Sample instants that should exist: classified + missing + pending.")]
    classified: Annotated[int, Meta(description="Instants covered by a classified window.")]
    pending: Annotated[int, Meta(description="Instants that wait for their window.")]
    missing: Annotated[dict[str, int], Meta(description="Instants that could not be classified, by cause.")]

    def fields_for(self, report: type["SampleCounts"]) -> dict[str, Any]:
        """Return the counters that a report has too, as arguments of its constructor."""
        shared = [name for name in self.__struct_fields__ if name in report.__struct_fields__]
        return {name: getattr(self, name) for name in shared}

    def equation(self) -> str:
        """Return the account as one line for people."""
        missing = ", ".join(f"{cause} {count}" for cause, count in sorted(self.missing.items())) or "none"
        return (
            f"samples {self.samples_in} = classified {self.classified} + missing ({missing}) + pending {self.pending}"
        )


class SampleAccount:
    """Counts the instants of one stream.

    It keeps one byte for each instant that may still change: 0 is pending, `_CLASSIFIED`, or else a `Cause`. Settled
    instants are only counted, so the memory is bounded by the length of a window.
    """

    def __init__(self) -> None:
        self.classified = 0
        self.missing: Counter[Cause] = Counter()
        self._settled = 0  # instants before this one are final
        self._states = bytearray()  # of the instants from `_settled` on
        self._lost_runs: list[tuple[int, int, Cause]] = []  # latest (first, end, cause) that may still arrive late

    @property
    def samples_in(self) -> int:
        """Number of instants that should exist so far."""
        return self._settled + len(self._states)

    @property
    def pending(self) -> int:
        """Number of instants that arrived and are not decided yet."""
        return self._states.count(0)

    @property
    def counts(self) -> SampleCounts:
        """The account at this moment."""
        return SampleCounts(
            samples_in=self.samples_in,
            classified=self.classified,
            pending=self.pending,
            missing={cause.key: count for cause, count in sorted(self.missing.items())},
        )

    def add(self, causes: NDArray[np.uint8]) -> None:
        """Add the next instants: (instants,) uint8, a `Cause` each, 0 for those that arrived."""
        first = self.samples_in
        self._states += causes.tobytes()
        if causes.any():
            codes, counts = np.unique(causes[causes != Cause.PRESENT], return_counts=True)
            self.missing.update(dict(zip(map(Cause, codes.tolist()), counts.tolist(), strict=True)))
            if counts[0] == causes.size and codes[0] in _MAY_ARRIVE_LATE:
                self._add_lost_run(first, self.samples_in, Cause(codes[0]))

    def arrive_late(self, first: int, end: int) -> int:
        """Change the cause of what was lost from `first` up to `end` to late; return how many instants that are."""
        before, runs, self._lost_runs = self.missing[Cause.LATE], self._lost_runs, []
        for run_first, run_end, cause in runs:
            begin, stop = max(run_first, first), min(run_end, end)
            if begin >= stop:
                self._lost_runs.append((run_first, run_end, cause))
                continue
            self.missing[cause] -= stop - begin
            self.missing[Cause.LATE] += stop - begin
            # What is left of the run on either side may still arrive.
            sides = (run_first, begin, cause), (stop, run_end, cause)
            self._lost_runs += [side for side in sides if side[0] < side[1]]
        self._lost_runs = self._lost_runs[-_KEPT_RUNS:]
        self.missing = +self.missing  # drops causes whose count fell to 0
        return self.missing[Cause.LATE] - before

    def classify(self, first: int, end: int) -> None:
        """Count as classified what is pending from `first` up to `end`.

        Windows overlap, so most instants are classified several times; each is counted once.
        """
        begin, stop = max(first - self._settled, 0), max(end - self._settled, 0)
        part = self._states[begin:stop]
        self.classified += part.count(0)
        self._states[begin:stop] = part.translate(_AS_CLASSIFIED)

    def settle(self, end: int, cause: Cause) -> None:
        """Make final what lies before `end`: what is still pending there was lost to `cause`."""
        stop = max(end - self._settled, 0)
        lost = self._states.count(0, 0, stop)
        if lost:
            self.missing[cause] += lost
        del self._states[:stop]
        self._settled = max(end, self._settled)

    def _add_lost_run(self, first: int, end: int, cause: Cause) -> None:
        """Keep a run that may still arrive late; it is joined to the last one where it continues that."""
        if self._lost_runs and self._lost_runs[-1][1:] == (first, cause):
            first = self._lost_runs.pop()[0]
        self._lost_runs = [*self._lost_runs[1 - _KEPT_RUNS :], (first, end, cause)]
