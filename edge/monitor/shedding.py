"""Which windows are given up while more come than the classifier can take: of every stream the same share.

Looked at once a hop, by the least that any window waited in it, which a burst or a short stall does not raise: a queue
that stands (CoDel; Nichols & Jacobson 2012, doi 10.1145/2209249.2209264).

    longer than a quarter of it twice, and not falling  ──► overload: a smaller share of the windows is classified
    shorter, and the classifier has time to spare       ──► the share grows by as much as that time allows
    shorter than a tenth of a hop                       ──► the share grows by a step, to see whether it may
    every window was classified for `_CALM` such hops   ──► the overload is over

A hop in which a fifth of the time was to spare counts six times towards the calm; so after a load that fell for good
the overload is over within fifteen hops, and a load that is just too high does not make it come and go.

Each stream has a credit that grows by the share with each of its windows; when it reaches 1 the window is classified.
So all streams lose alike, whatever their phase and whoever came first, and what a stream loses is spread evenly over
time, as if its hop were longer. Where the queue is full nonetheless, a window is given up and its stream keeps its
credit. Time is handed in; knows nothing of threads or models.
"""

import logging
import math
from collections.abc import Hashable

_LOG = logging.getLogger(__name__)
_LONG, _SHORT = 0.25, 0.1  # waits, in hops
_FALLING = 0.95  # of the wait in the hop before
_SHRINK, _STEP = 0.8, 0.05  # of the share: by a factor, and by steps
_MOST_GROWTH = 2.0  # a hop
_FULL, _SPARE = 0.9, 0.8  # how busy the classifier may get, and is at most where it has time to spare
_CALM, _SPARE_COUNTS = 30, 6  # hops
_SMALLEST = 0.01
_GOLDEN = 0.618034  # spreads the first credits, so that streams that begin together take turns
_MOST = 8.0  # credit of a stream that lost windows to a full queue


class Shedder:
    """Measures how long windows wait, and says which to classify.

    Parameters
    ----------
    hop_s : of the windows; the share changes once in such a time at most, as a change needs time to show
    """

    def __init__(self, hop_s: float) -> None:
        self.share = 1.0  # of the windows of each stream that is classified
        self.overloaded = False
        self._hop_s = hop_s
        self._begun_s: float | None = None  # of the time that is judged next
        self._busy_s, self._waited_s = 0.0, math.inf  # in it: all that was, and the least
        self._last = 0.0  # least wait in the time before, in hops
        self._calm = 0
        self._credits: dict[Hashable, float] = {}
        self._begun = 0

    def observe(self, arrived_s: float, taken_s: float, decided_s: float) -> None:
        """Note a batch: when its first window arrived, was taken by the classifier, and was decided."""
        if self._begun_s is None:
            self._begun_s = taken_s
        self._busy_s += decided_s - taken_s
        self._waited_s = min(self._waited_s, taken_s - arrived_s)
        passed_s = decided_s - self._begun_s
        if passed_s >= self._hop_s:
            self._judge(self._waited_s / self._hop_s, self._busy_s / passed_s)
            self._begun_s, self._busy_s, self._waited_s = decided_s, 0.0, math.inf

    def keeps(self, stream: Hashable, *, full: bool) -> bool:
        """Say whether the next window of a stream is classified; `full`: there is no room for it."""
        credit = self._credits.get(stream)
        if credit is None:
            self._begun += 1
            credit = self._begun * _GOLDEN % 1.0
        credit = min(credit + self.share, _MOST)
        kept = credit >= 1.0 and not full
        self._credits[stream] = credit - kept
        return kept

    def forget(self, stream: Hashable) -> None:
        """Note that a stream has ended."""
        self._credits.pop(stream, None)

    def _judge(self, wait: float, busy: float) -> None:
        """Take the least wait of a while, in hops, and the part of it that the classifier was busy."""
        stands = min(wait, self._last) > _LONG and wait > _FALLING * self._last
        self._last = wait
        if stands:
            self._begin()
            self.share = max(self.share * _SHRINK, _SMALLEST)
        elif wait <= _LONG and self.share < 1.0:
            self._grow(wait, busy)
        elif wait <= _LONG and self.overloaded:
            self._calm += _SPARE_COUNTS if busy < _SPARE else 1
            if self._calm >= _CALM:
                self._end()

    def _grow(self, wait: float, busy: float) -> None:
        grown = self.share * min(_FULL / max(busy, 0.01), _MOST_GROWTH)
        if wait < _SHORT:
            grown = max(grown, self.share + _STEP)
        self.share = min(max(grown, self.share), 1.0)

    def _begin(self) -> None:
        if not self.overloaded:
            _LOG.warning("overload: more windows come than can be classified; all streams lose the same share of them")
        self.overloaded, self._calm = True, 0

    def _end(self) -> None:
        self.overloaded = False
        _LOG.warning("overload is over: every window is classified again")
