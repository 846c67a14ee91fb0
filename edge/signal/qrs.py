"""QRS complexes in a feature signal, by the rules of Hamilton 2002, one candidate after the other.

A candidate is the highest point within 200 ms on both sides. It is a beat when it is over a threshold between the
last heights of noise and of beats; when no beat came for one and a half mean intervals, the highest candidate over
half of the threshold is one after all. Within 360 ms of a beat a candidate of less than half its height is a T wave.
Ten seconds without a beat begin the learning anew, from heights that a QRS complex must have at least.

Source: P. S. Hamilton, Open source ECG analysis, Computers in Cardiology 2002;29:101-104 (rules); J. Pan and W. J.
Tompkins, IEEE Trans Biomed Eng 1985;32:230-236 (search back). Knows no filters; times are sample indices.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from statistics import fmean, median

NEAR_S = 0.2  # two beats are not nearer
_T_WAVE_S = 0.36
_T_HEIGHT = 0.5
_LEVEL = 0.35  # of the way from noise to beats
_BACK_RR = 1.5
_BACK_LEVEL = 0.5
_LEAP = 2.0  # a height counts for the level as so many times the level at most: a burst does not deafen
_LEARN_S = 2.0
_FORGET_S = 10.0
_KEPT = 8  # heights and intervals


class BeatFinder:
    """Picks the beats out of the candidates of one feature signal.

    Parameters
    ----------
    sample_rate_hz : of the feature
    floor : what is lower is neither beat nor noise
    """

    def __init__(self, sample_rate_hz: float, floor: float = 0.0) -> None:
        self._rate_hz = sample_rate_hz
        self._floor = floor
        self._beats: deque[float] = deque(maxlen=_KEPT)  # heights
        self._noise: deque[float] = deque(maxlen=_KEPT)
        self._intervals: deque[int] = deque(maxlen=_KEPT)
        self._last: tuple[int, float] | None = None  # time and height of the last beat
        self._passed: tuple[int, float] | None = None  # the highest candidate since, that was no beat
        self._learning: list[tuple[int, float]] | None = []
        self._since = 0  # when the learning began
        self.highest_since = 0.0  # height of the highest candidate after the last beat, T waves apart

    @property
    def height(self) -> float | None:
        """Median height of the last beats; None until there are some."""
        return median(self._beats) if self._beats else None

    def push(self, candidates: Iterable[tuple[int, float]], end: int) -> list[int]:
        """Take the next candidates, (time, height) each, all before `end`, and return the times of new beats."""
        found: list[int] = []
        for time, height in candidates:
            if height <= self._floor:
                continue
            if self._learning is not None:
                self._learning.append((time, height))
                self.highest_since = max(self.highest_since, height)
            else:
                found += self._judge(time, height)
        if self._learning is not None and end - self._since >= _LEARN_S * self._rate_hz:
            found += self._learn(end)
        elif self._learning is None and end - self._heard_at() >= _FORGET_S * self._rate_hz:
            self._restart(end)
        return found

    def interrupt(self, end: int) -> None:
        """Note that nothing is known from the last beat up to `end`: no interval leads across."""
        self.highest_since = 0.0
        self._break(end)

    def _break(self, end: int) -> None:
        self._last = self._passed = None
        self._intervals.clear()
        self._since = max(self._since, end)
        if self._learning is not None:
            self._learning = []

    def scale(self, factor: float) -> None:
        """Expect heights that are different by a factor from now on."""
        self._beats = deque((height * factor for height in self._beats), _KEPT)
        self._noise = deque((height * factor for height in self._noise), _KEPT)
        self.highest_since *= factor
        if self._last is not None:
            self._last = self._last[0], self._last[1] * factor
        if self._passed is not None:
            self._passed = self._passed[0], self._passed[1] * factor

    def _heard_at(self) -> int:
        return self._since if self._last is None else max(self._since, self._last[0])

    def _restart(self, end: int) -> None:
        self._break(end)
        self._learning = []
        self._noise.clear()

    def _learn(self, end: int) -> Iterator[int]:
        """Take the highest candidate of the learning time for a beat's height, and judge them all."""
        held, self._learning = self._learning or [], None
        if not held:
            self._restart(end)
            return
        self._beats = deque([max(height for _, height in held)], _KEPT)
        for time, height in held:
            yield from self._judge(time, height)

    def _threshold(self) -> float:
        noise = median(self._noise) if self._noise else 0.0
        return noise + _LEVEL * (median(self._beats) - noise)

    def _judge(self, time: int, height: float) -> Iterator[int]:
        threshold = self._threshold()
        if self._passed is not None and self._overdue(time) and self._passed[1] > _BACK_LEVEL * threshold:
            yield self._accept(*self._passed)
            threshold = self._threshold()
        near = self._last is not None and time - self._last[0] < _T_WAVE_S * self._rate_hz
        if height > threshold and not (near and self._last and height < _T_HEIGHT * self._last[1]):
            yield self._accept(time, height)
            return
        self._noise.append(height)
        if not near:
            self.highest_since = max(self.highest_since, height)
        if not near and (self._passed is None or height > self._passed[1]):
            self._passed = time, height

    def _overdue(self, time: int) -> bool:
        return bool(self._last and self._intervals) and time - self._heard_at() > _BACK_RR * fmean(self._intervals)

    def _accept(self, time: int, height: float) -> int:
        if self._last is not None:
            self._intervals.append(time - self._last[0])
        self._beats.append(min(height, _LEAP * median(self._beats)))
        self._last, self._passed, self.highest_since = (time, height), None, 0.0
        return time


def agreement(one: Iterable[int], other: Iterable[int], reach: float) -> float | None:
    """Return the share of the beats of two detectors that both found (bSQI); None where neither found any.

    Source: Q. Li, R. G. Mark and G. D. Clifford, Physiol Meas 2008;29:15-32.
    """
    first, second = list(one), list(other)
    matched = at = 0
    for time in first:
        while at < len(second) and second[at] < time - reach:
            at += 1
        if at < len(second) and second[at] <= time + reach:
            matched += 1
            at += 1
    everything = len(first) + len(second) - matched
    return matched / everything if everything else None
