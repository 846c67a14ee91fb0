"""Which windows are given up while more come than the classifier can take: of every stream the same share.

    a window waited longer than half a hop   ──► a smaller share of the windows is classified
    windows wait for less than a tenth of it ──► the share grows again, until it is the whole

Each stream has a credit that grows by the share with each of its windows; when it reaches 1 the window is classified.
So all streams lose alike, whatever their phase and whoever came first, and what a stream loses is spread evenly over
time, as if its hop were longer. Where the queue is full nonetheless, a window is given up and its stream keeps its
credit. Time is handed in; knows nothing of threads or models.
"""

import logging
from collections.abc import Hashable

_LOG = logging.getLogger(__name__)
_LONG, _SHORT = 0.5, 0.1  # waits, in hops
_SHRINK, _GROW = 0.8, 0.05  # of the share: by a factor when windows wait long, and by steps when they do not
_SMALLEST = 0.01
_GOLDEN = 0.618034  # spreads the first credits, so that streams that begin together take turns
_MOST = 2.0  # credit of a stream that lost windows to a full queue


class Shedder:
    """Measures how long windows wait, and says which to classify.

    Parameters
    ----------
    hop_s : of the windows; the share changes once in such a time at most, as a change needs time to show
    """

    def __init__(self, hop_s: float) -> None:
        self.share = 1.0  # of the windows of each stream that is classified
        self._hop_s = hop_s
        self._next_s = float("-inf")
        self._credits: dict[Hashable, float] = {}
        self._begun = 0

    @property
    def overloaded(self) -> bool:
        """Whether windows are given up now."""
        return self.share < 1.0

    def observe(self, waited_s: float, now_s: float) -> None:
        """Note how long a window had waited when the classifier took it."""
        if now_s < self._next_s:
            return
        before = self.share
        if waited_s > _LONG * self._hop_s:
            self.share = max(before * _SHRINK, _SMALLEST)
        elif waited_s < _SHORT * self._hop_s:
            self.share = min(before + _GROW, 1.0)
        if self.share != before:
            self._next_s = now_s + self._hop_s
            self._tell(before)

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

    def _tell(self, before: float) -> None:
        if before == 1.0:
            _LOG.warning("overload: more windows come than can be classified; all streams lose the same share of them")
        elif self.share == 1.0:
            _LOG.warning("overload is over: every window is classified again")
