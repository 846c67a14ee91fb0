"""Quality and heart beats of one stream at its native rate, second by second, for any cut of the stream into blocks.

Each lead has two beat detectors; how well they agree is one sign of its quality. The beats that count come from a
detector on the sum of all good leads. When that one has found nothing for long, beats that both detectors of a single
lead found count as well: the sum follows its highest lead, and when a lead of 4 mV fades, another of 1 mV is too low
for it.
"""

import itertools
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import fmean, median

import numpy as np
import scipy  # not `scipy.ndimage`: scipy imports it on first use, as it takes half a second
from numpy.typing import NDArray

from edge.core.samples import Cause
from edge.signal.conditioning import LIMIT_MV
from edge.signal.native import Array, NativeFilters
from edge.signal.qrs import NEAR_S, BeatFinder
from edge.signal.quality import FLAT_MV, MIN_PRESENT, QualityAssessor, QualityIssue

FLOOR_MV = 0.15  # IEC 60601-2-27, 201.12.1.101.15: nothing lower may be counted as a QRS complex
_RATE_INTERVALS = 5
_DELAY_S = 0.11  # of the feature's peak behind the complex
_REFERENCE_SECONDS = 60  # seconds with beats from which the usual height of a complex is taken
_QUIET = 0.35  # of that height: while nothing is higher, a line without beats is a pause and not noise
_OVERDUE_RR = 3.0  # mean intervals without a beat, after which beats of a single lead count
_OVERDUE_S = 3.0  # the same at the latest: shorter than the pause that raises an alarm by default
_PAIR_S = 0.15  # two detections so close are the same beat, as in EC57
_LEVEL_JUMP_MV = 1.0  # a flat line so far from the signal before it is not a heart that stopped


@dataclass(frozen=True, slots=True)
class HeartRate:
    """Rate and pause at some instant; None where they are not known."""

    rate_bpm: float | None = None  # over the last five intervals
    pause_s: float | None = None  # since the last beat, or since the signal came back after a gap


UNKNOWN_RATE = HeartRate()


@dataclass(frozen=True, slots=True)
class AnalyzedSecond:
    """What was found in one second of the stream."""

    end_sample: int
    issues: tuple[QualityIssue, ...]  # of each lead
    heart_rate: HeartRate  # at its end
    beats: tuple[int, ...] = ()  # native indices of the QRS complexes found in it, the oldest first
    confirmed_sample: int = 0  # every beat before this instant has been found
    unbroken_since: int | None = None  # the signal has no gap from here on; None during a gap

    def shifted(self, samples: int) -> "AnalyzedSecond":
        """Return the same second for a count that began so many samples earlier."""
        return replace(
            self,
            end_sample=self.end_sample + samples,
            beats=tuple(beat + samples for beat in self.beats),
            confirmed_sample=self.confirmed_sample + samples,
            unbroken_since=None if self.unbroken_since is None else self.unbroken_since + samples,
        )


_NOTHING = AnalyzedSecond(0, (), UNKNOWN_RATE)


class SignalAnalyzer:
    """Assesses the leads of one stream and finds its beats.

    Parameters
    ----------
    leads : number of leads
    sample_rate_hz : native rate
    keep_s : how far back results can be asked for
    """

    def __init__(self, leads: int, sample_rate_hz: float, keep_s: float) -> None:
        self._rate_hz = sample_rate_hz
        self._filters = NativeFilters(leads, sample_rate_hz, LIMIT_MV)
        self.step = self._filters.samples  # samples in a second
        self._samples = np.zeros((leads, self.step), np.float32)  # of the second that is being filled
        self._missing = np.zeros((leads, self.step), np.bool_)
        self._filled = 0
        self._end = 0  # native index after the last whole second
        self._reach = round(NEAR_S * sample_rate_hz)  # a beat is the highest point within this on both sides
        # Features of this second behind the end of the one before: two of each lead, then the sum over good leads.
        self._features = np.zeros((2 * leads + 1, 2 * self._reach + self.step))
        self._lead_finders = [BeatFinder(sample_rate_hz) for _ in range(2 * leads)]
        self._sum_finder = BeatFinder(sample_rate_hz, FLOOR_MV)
        self._quality = [QualityAssessor(sample_rate_hz) for _ in range(leads)]
        self._summed_leads: tuple[int, ...] = ()  # in the last second with a good lead
        self._level = np.zeros(leads)  # mean of the last good second with a signal
        self._last = np.zeros((leads, 1), np.float32)  # last value that was present
        self._beats: deque[int] = deque(maxlen=_RATE_INTERVALS + 1)  # without a gap between them
        self._candidates: deque[int] = deque(maxlen=_RATE_INTERVALS)  # of single leads, after the last beat
        self._unbroken_since: int | None = None  # the signal has no gap from here on; None during a gap
        self._had_beats = False  # in this epoch
        self._heights: deque[float] = deque(maxlen=_REFERENCE_SECONDS)  # of the beats of good seconds
        self._new_seconds: deque[AnalyzedSecond] = deque()  # not taken yet
        self._seconds: deque[AnalyzedSecond] = deque(maxlen=math.ceil(keep_s) + 3)

    def push(self, samples: NDArray[np.float32], missing: NDArray[np.uint8]) -> None:
        """Take the next (leads, n) samples in mV, with a `Cause` for each."""
        taken = 0
        while taken < samples.shape[1]:
            room = min(samples.shape[1] - taken, self.step - self._filled)
            part = slice(self._filled, self._filled + room)
            self._samples[:, part] = samples[:, taken : taken + room]
            self._missing[:, part] = missing[:, taken : taken + room] != Cause.PRESENT
            self._filled += room
            taken += room
            if self._filled == self.step:
                self._filled = 0
                self._end += self.step
                second = self._analyze()
                self._seconds.append(second)
                self._new_seconds.append(second)

    def seconds_until(self, end_sample: int) -> Iterator[AnalyzedSecond]:
        """Yield the kept seconds that end at `end_sample`, a native index, or before."""
        return (second for second in self._seconds if second.end_sample <= end_sample)

    def heart_rate(self, end_sample: int) -> HeartRate:
        """Return what was known at `end_sample`, a native index."""
        seconds = self.seconds_until(end_sample)
        return max(seconds, key=lambda second: second.end_sample, default=_NOTHING).heart_rate

    def take_seconds(self, end_sample: int) -> tuple[AnalyzedSecond, ...]:
        """Return the seconds that end at `end_sample`, a native index, or before, each once."""
        taken = []
        while self._new_seconds and self._new_seconds[0].end_sample <= end_sample:
            taken.append(self._new_seconds.popleft())
        return tuple(taken)

    def _analyze(self) -> AnalyzedSecond:
        gap = self._missing.mean(axis=1) > 1 - MIN_PRESENT
        measures = self._filters.push(self._hold_last_values().astype(np.float64))
        leads = len(gap)
        self._features[: 2 * leads, 2 * self._reach :] = measures.features
        peaks = self._peaks(self._features[: 2 * leads])
        confirmed = self._end - self._reach  # a peak up to here has been compared with all its neighbours
        beats = [finder.push(row, confirmed) for finder, row in zip(self._lead_finders, peaks, strict=True)]
        issues = tuple(
            QualityIssue.GAP
            if gap[lead]
            else self._quality[lead].assess(
                lead, measures, self._lead_finders[lead].height, (beats[lead], beats[leads + lead])
            )
            for lead in range(leads)
        )
        near = np.abs(measures.level - self._level) < _LEVEL_JUMP_MV
        # A signal that repeats one value to the bit is no ECG of a stopped heart: an electrode always has some noise.
        near &= np.ptp(self._samples, axis=1) > 0
        alive = (measures.extent >= FLAT_MV) & [issue is QualityIssue.NONE for issue in issues]
        self._level = np.where(alive, measures.level, self._level)
        agreed = [_agreed(beats[lead], beats[leads + lead], _PAIR_S * self._rate_hz) for lead in range(leads)]
        beats_found = self._find_beats(measures.features[:leads], agreed, issues, near, confirmed)
        return AnalyzedSecond(
            self._end, issues, self._current_rate(confirmed), beats_found, confirmed, self._unbroken_since
        )

    def _find_beats(
        self,
        features: Array,
        agreed: list[list[int]],
        issues: tuple[QualityIssue, ...],
        near: NDArray[np.bool_],
        confirmed: int,
    ) -> tuple[int, ...]:
        """Find the beats of the good leads and return their native indices.

        `agreed` are those that both detectors of a lead found.

        Without a good lead the signal has a gap here. A flat line `near` the signal before it is none: after beats it
        may be a heart that stopped.
        """
        good = tuple(lead for lead, issue in enumerate(issues) if issue is QualityIssue.NONE)
        pairs = zip(issues, near.tolist(), strict=True)
        flat = any(issue is QualityIssue.FLAT and is_near for issue, is_near in pairs)
        self._features[-1, 2 * self._reach :] = features[list(good)].sum(axis=0)
        self._scale_to(good)
        summed = self._sum_finder.push(self._peaks(self._features[-1:])[0], confirmed)
        self._features[:, : 2 * self._reach] = self._features[:, -2 * self._reach :]
        if not good and not (flat and self._had_beats):
            self._begin_gap()
            return ()
        if self._unbroken_since is None:
            self._unbroken_since = self._end - self.step
        delay = round(_DELAY_S * self._rate_hz)
        single = [time for lead in good if self._is_high(lead) for time in agreed[lead]]
        new = self._accept(summed, single)
        if summed and len(good) == len(issues):
            self._heights.append(self._sum_finder.height or 0.0)
        self._had_beats = self._had_beats or bool(new)
        return tuple(max(time - delay, 0) for time in new)

    def _begin_gap(self) -> None:
        """Forget the last beats: no interval and no pause may span a gap."""
        self._sum_finder.interrupt(self._end)
        self._beats.clear()
        self._candidates.clear()
        self._unbroken_since = None

    def _is_high(self, lead: int) -> bool:
        return (self._lead_finders[lead].height or 0.0) >= FLOOR_MV

    def _accept(self, summed: list[int], single: list[int]) -> list[int]:
        """Return the times that count as beats, in order: those of the sum, and of single leads when one is overdue."""
        accepted, near = [], NEAR_S * self._rate_hz
        for time in sorted({*summed, *single}):
            self._candidates.append(time)
            # One detection of a single lead may be noise, so it takes two of them.
            overdue = len(self._candidates) > (time in summed) + 1 and self._overdue(time)
            if not overdue and time not in summed:
                continue
            for beat in self._candidates if overdue else (time,):
                if not self._beats or beat - self._beats[-1] >= near:
                    self._beats.append(beat)
                    accepted.append(beat)
            self._candidates.clear()
        return accepted

    def _overdue(self, time: int) -> bool:
        if len(self._beats) < 2:
            return False
        intervals = [after - before for before, after in itertools.pairwise(self._beats)]
        return time - self._beats[-1] > min(_OVERDUE_RR * fmean(intervals), _OVERDUE_S * self._rate_hz)

    def _scale_to(self, good: tuple[int, ...]) -> None:
        """Scale the heights that the sum's detector expects, when other leads are summed than before."""
        if good and good != self._summed_leads:
            before, now = (
                sum(self._lead_finders[lead].height or 0.0 for lead in leads) for leads in (self._summed_leads, good)
            )
            if before and now:
                self._sum_finder.scale(now / before)
            self._summed_leads = good

    def _current_rate(self, confirmed: int) -> HeartRate:
        if self._unbroken_since is None:
            return UNKNOWN_RATE
        beats = self._beats
        rate = None
        if len(beats) > _RATE_INTERVALS:
            rate = 60.0 * _RATE_INTERVALS * self._rate_hz / (beats[-1] - beats[0])
        pause_s = None
        # A higher point that is no beat may be a beat that was missed, so then the pause is not known.
        if self._had_beats and self._sum_finder.highest_since < _QUIET * median(self._heights or [0.0]):
            pause_s = max(confirmed - max([self._unbroken_since, *list(beats)[-1:]]), 0) / self._rate_hz
        return HeartRate(rate, pause_s)

    def _hold_last_values(self) -> NDArray[np.float32]:
        """Return the second with missing samples replaced by the last value that was present."""
        values = self._samples
        if self._missing.any():
            for lead in np.flatnonzero(self._missing.any(axis=1)):
                at = np.maximum.accumulate(np.where(self._missing[lead], -1, np.arange(self.step)))
                values[lead] = np.where(at >= 0, values[lead, np.maximum(at, 0)], self._last[lead])
        self._last = values[:, -1:].copy()
        return values

    def _peaks(self, rows: Array) -> list[list[tuple[int, float]]]:
        """Return time and height of each row's points that are highest within reach, up to `reach` before the end."""
        inner = slice(self._reach, -self._reach)
        highest = scipy.ndimage.maximum_filter1d(rows, 2 * self._reach + 1, axis=1)[:, inner]
        middle = rows[:, inner]
        row_of, at = np.nonzero((middle == highest) & (middle > 0))
        heights = middle[row_of, at].tolist()
        result: list[list[tuple[int, float]]] = [[] for _ in rows]
        first = self._end - self.step - self._reach
        for row, time, height in zip(row_of.tolist(), at.tolist(), heights, strict=True):
            result[row].append((first + time, height))
        return result


def _agreed(one: list[int], other: list[int], reach: float) -> list[int]:
    """Return the beats of one detector that the other found as well."""
    return [time for time in one if any(abs(time - again) <= reach for again in other)]
