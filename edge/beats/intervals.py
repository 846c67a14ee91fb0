"""RR intervals as features of a beat: how early it came, how the beats before it came, how irregular the rhythm is.

An interval that a gap breaks is not known, and a feature that would need it is 0. Source of the idea: P. de Chazal,
M. O'Dwyer and R. B. Reilly, IEEE Trans Biomed Eng 2004;51:1196-1206.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice, pairwise
from math import log
from statistics import fmean, median

from edge.beats.irregularity import FEWEST, INTERVALS, probability
from edge.beats.irregularity import features as irregularity_features

LONGEST_S = 2.0  # a next interval is not waited for longer; what is longer counts as this
_SHORTEST_S = 0.15
_SPAN_S = 60.0
_NEAR = 10  # intervals of the local median
_IRREGULAR = 30
EARLY = 0.85  # of the local median
_LONG_SPAN_S = 300.0
_RENEW_QUANTILES, _RENEW_IRREGULARITY = 5, 3  # beats
_USUAL_S = 0.8  # as long as nothing is known


class Intervals:
    """The last minute of RR intervals of one stream."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, float]] = deque()  # time of the beat, interval before it, s
        self._before: float | None = None

    def interrupt(self) -> None:
        """Forget the last interval: a gap lies behind it."""
        self._before = None

    def usual(self) -> float:
        """Return the median of the last intervals, s; 0.8 where none is known."""
        near = self._last(_NEAR)
        return median(near) if near else _USUAL_S

    def _last(self, count: int) -> list[float]:
        return [rr for _, rr in islice(self._past, max(len(self._past) - count, 0), None)]

    def take(self, time_s: float, before_s: float | None) -> None:
        """Add the interval that ends at a beat, None where a gap broke it."""
        self._before = before_s
        if before_s is not None:
            self._past.append((time_s, _limited(before_s)))
        while self._past and self._past[0][0] < time_s - _SPAN_S:
            self._past.popleft()

    def features(self, before_s: float | None, after_s: float | None) -> list[float]:
        """Return the features of a beat that is not taken yet; `after_s` is None where no beat follows in 2 s."""
        usual = self.usual()
        past = [rr for _, rr in self._past] or [usual]
        ranked = sorted(past)
        low, middle, high = (_quantile(ranked, part) for part in (0.1, 0.5, 0.9))
        before = usual if before_s is None else _limited(before_s)
        after = LONGEST_S if after_s is None else _limited(after_s)
        earlier = before if self._before is None else _limited(self._before)
        mean, near = fmean(past), past[-_NEAR:]
        return [
            log(before / usual),
            log(after / usual),
            log(before / mean),
            log(after / mean),
            log(before / low),
            log(before / middle),
            log(before / high),
            log(after / middle),
            log(before / earlier),
            log(after / before),
            before,
            after,
            usual,
            _irregularity(past[-_IRREGULAR:]),
            _irregularity(near),
            sum(rr < EARLY * middle for rr in past) / len(past),
            float(before_s is not None),
            float(after_s is not None),
            log(1.0 + len(past)) / 4,
            (max(near) - min(near)) / usual,
        ]


COUNT = 20  # features of `Intervals.features`


class LongIntervals:
    """The last five minutes of RR intervals: what is usual through runs and irregular stretches.

    Its quantiles are renewed every few beats, and so is the evidence for atrial fibrillation.
    """

    COUNT = 6

    def __init__(self) -> None:
        self._past: deque[tuple[float, float]] = deque()
        self._last: deque[float] = deque(maxlen=INTERVALS)
        self._quantiles: tuple[float, ...] | None = None
        self._irregular = 0.0
        self._beats = 0

    def features(self, before_s: float | None) -> list[float]:
        """Return the features of the next beat, which is not taken yet."""
        if self._past and (self._beats % _RENEW_QUANTILES == 0 or self._quantiles is None):
            ranked = sorted(rr for _, rr in self._past)
            self._quantiles = tuple(_quantile(ranked, part) for part in (0.25, 0.5, 0.75, 0.9))
        if self._beats % _RENEW_IRREGULARITY == 0:
            enough = len(self._last) >= FEWEST
            self._irregular = probability(irregularity_features(list(self._last))) if enough else 0.0
        if before_s is None or self._quantiles is None:
            return [0.0] * 5 + [self._irregular]
        early = [log(max(before_s, _SHORTEST_S) / usual) for usual in self._quantiles]
        return [*early, log(self._quantiles[3] / self._quantiles[0]), self._irregular]

    def take(self, time_s: float, before_s: float | None) -> None:
        """Add the interval that ends at a beat, None where a gap broke it."""
        self._beats += 1
        if before_s is not None:
            self._last.append(before_s)
            self._past.append((time_s, min(before_s, LONGEST_S)))
        while self._past and self._past[0][0] < time_s - _LONG_SPAN_S:
            self._past.popleft()


def _limited(rr_s: float) -> float:
    return min(max(rr_s, _SHORTEST_S), LONGEST_S)


def _quantile(ranked: Sequence[float], part: float) -> float:
    """Return a quantile of ranked values, between two of them where it lies there."""
    at = part * (len(ranked) - 1)
    below = int(at)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (at - below) * (ranked[above] - ranked[below])


def _irregularity(intervals: Sequence[float]) -> float:
    """Return the median change from one interval to the next, of the median interval."""
    if len(intervals) < 3:
        return 0.0
    return median(abs(after - before) for before, after in pairwise(intervals)) / median(intervals)
