"""QRS detection in a feature signal, by the rules of Hamilton 2002.

A candidate is the highest point within 200 ms on both sides. It is a beat when it is over a threshold between the
heights of the last noise and of the last beats. Within 360 ms of a beat, a candidate of less than half its height is a
T wave. When no beat came for one and a half mean intervals, the search goes back: the highest candidate over half of
the threshold is a beat after all. After ten seconds without a beat the heights are learned again.

Sources: P. S. Hamilton, Open source ECG analysis, Computers in Cardiology 2002;29:101-104 (rules); J. Pan and W. J.
Tompkins, IEEE Trans Biomed Eng 1985;32:230-236 (search back). Times are sample indices.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from statistics import fmean, median

NEAR_S = 0.2  # two beats are not nearer: the refractory period
_T_WAVE_S = 0.36
_T_HEIGHT = 0.5
_THRESHOLD = 0.35  # of the way from the height of noise to that of beats
_BACK_RR = 1.5
_BACK_THRESHOLD = 0.5
_MAX_GROWTH = 2.0  # a height counts as this many median heights at most, so that a burst does not hide later beats
_LEARN_S = 2.0
_FORGET_S = 10.0
_KEPT = 8  # heights and intervals


class BeatFinder:
    """Picks the beats from the candidates of one feature signal.

    Parameters
    ----------
    sample_rate_hz : of the feature
    floor : lower candidates are ignored, neither beat nor noise
    """

    def __init__(self, sample_rate_hz: float, floor: float = 0.0) -> None:
        self._rate_hz = sample_rate_hz
        self._floor = floor
        self._beat_heights: deque[float] = deque(maxlen=_KEPT)
        self._noise_heights: deque[float] = deque(maxlen=_KEPT)
        self._intervals: deque[int] = deque(maxlen=_KEPT)
        self._last: tuple[int, float] | None = None  # time and height of the last beat
        self._rejected: tuple[int, float] | None = None  # the highest rejected candidate since then
        self._learning: list[tuple[int, float]] | None = []  # candidates so far; None when not learning
        self._began = 0  # when the learning began
        self.highest_since = 0.0  # height of the highest candidate after the last beat, T waves excluded

    @property
    def height(self) -> float | None:
        """Median height of the last beats; None until there are some."""
        return median(self._beat_heights) if self._beat_heights else None

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
                found += self._classify(time, height)
        if self._learning is not None and end - self._began >= _LEARN_S * self._rate_hz:
            found += self._learn(end)
        elif self._learning is None and end - self._last_time() >= _FORGET_S * self._rate_hz:
            self._restart(end)
        return found

    def interrupt(self, end: int) -> None:
        """Note a gap from the last beat to `end`: no interval spans it."""
        self.highest_since = 0.0
        self._forget_times(end)

    def _forget_times(self, end: int) -> None:
        self._last = self._rejected = None
        self._intervals.clear()
        self._began = max(self._began, end)
        if self._learning is not None:
            self._learning = []

    def scale(self, factor: float) -> None:
        """Expect heights that differ by a factor from now on."""
        self._beat_heights = deque((height * factor for height in self._beat_heights), _KEPT)
        self._noise_heights = deque((height * factor for height in self._noise_heights), _KEPT)
        self.highest_since *= factor
        if self._last is not None:
            self._last = self._last[0], self._last[1] * factor
        if self._rejected is not None:
            self._rejected = self._rejected[0], self._rejected[1] * factor

    def _last_time(self) -> int:
        """Return the time of the last beat, or of the end of the last gap where that is later."""
        return self._began if self._last is None else max(self._began, self._last[0])

    def _restart(self, end: int) -> None:
        self._forget_times(end)
        self._learning = []
        self._noise_heights.clear()

    def _learn(self, end: int) -> Iterator[int]:
        """Take the highest candidate of the learning time as the height of a beat, and classify them all."""
        candidates, self._learning = self._learning or [], None
        if not candidates:
            self._restart(end)
            return
        self._beat_heights = deque([max(height for _, height in candidates)], _KEPT)
        for time, height in candidates:
            yield from self._classify(time, height)

    def _threshold(self) -> float:
        noise = median(self._noise_heights) if self._noise_heights else 0.0
        return noise + _THRESHOLD * (median(self._beat_heights) - noise)

    def _classify(self, time: int, height: float) -> Iterator[int]:
        """Yield the time of a beat that the search back finds, and the candidate's own if it is a beat."""
        threshold = self._threshold()
        if self._rejected is not None and self._overdue(time) and self._rejected[1] > _BACK_THRESHOLD * threshold:
            yield self._accept(*self._rejected)
            threshold = self._threshold()
        near = self._last is not None and time - self._last[0] < _T_WAVE_S * self._rate_hz
        if height > threshold and not (near and self._last and height < _T_HEIGHT * self._last[1]):
            yield self._accept(time, height)
            return
        self._noise_heights.append(height)
        if not near:
            self.highest_since = max(self.highest_since, height)
        if not near and (self._rejected is None or height > self._rejected[1]):
            self._rejected = time, height

    def _overdue(self, time: int) -> bool:
        return bool(self._last and self._intervals) and time - self._last_time() > _BACK_RR * fmean(self._intervals)

    def _accept(self, time: int, height: float) -> int:
        if self._last is not None:
            self._intervals.append(time - self._last[0])
        self._beat_heights.append(min(height, _MAX_GROWTH * median(self._beat_heights)))
        self._last, self._rejected, self.highest_since = (time, height), None, 0.0
        return time


def agreement(one: Iterable[int], other: Iterable[int], reach: float) -> float | None:
    """Return the share of the beats of two detectors that both found (bSQI); None when neither found any.

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
    total = len(first) + len(second) - matched
    return matched / total if total else None
