"""Quality and beats of one stream at its native rate, second by second; any cut into blocks gives the same.

Each lead has two beat detectors, whose agreement is one sign of its quality; the beats that count for the rate come
from the leads together that are good. Where these have been without a beat for long, what both detectors of one lead
found is one: a lead of 4 mV that fades leaves another of 1 mV unheard. Knows nothing of windows, models or alarms.
"""

import itertools
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
import scipy  # not `scipy.ndimage`: scipy imports it on first use, as it takes half a second
from numpy.typing import NDArray

from edge.core.samples import Cause
from edge.signal.conditioning import LIMIT_MV
from edge.signal.native import Array, NativeFilters
from edge.signal.qrs import NEAR_S, BeatFinder
from edge.signal.quality import FLAT_MV, MIN_PRESENT, LeadQuality, QualityIssue

FLOOR_MV = 0.15  # IEC 60601-2-27, 201.12.1.101.15: no QRS complex is as low as this
_RATE_INTERVALS = 5
_DELAY_S = 0.11  # of the feature's peak behind the complex
_REFERENCE = 60  # seconds with beats that say how high a complex is
_QUIET = 0.35  # of that: as long as nothing is higher, nothing but a stopped heart is without beats
_OVERDUE_RR = 3.0  # mean intervals without a beat of all leads, after which two or more of one lead count
_OVERDUE_S = 3.0  # at the latest: below any pause that is an alarm by default
_PAIR_S = 0.15  # EC57's match window
_LEVEL_JUMP_MV = 1.0  # a flat line so far from where the signal stood is no heart that stopped


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the beats say at some instant; None where nobody can tell."""

    rate_bpm: float | None = None  # over the last five intervals
    pause_s: float | None = None  # since the last beat, or since the watch began anew after a gap


UNKNOWN = Pulse()


@dataclass(frozen=True, slots=True)
class Second:
    """What is known when a second has passed."""

    end_sample: int
    issues: tuple[QualityIssue, ...]  # of each lead
    pulse: Pulse


_NOTHING = Second(0, (), UNKNOWN)


class SignalWatch:
    """Watches the leads of one stream.

    Parameters
    ----------
    leads : number of leads
    sample_rate_hz : native rate
    keep_s : how much of the past can be asked for
    """

    def __init__(self, leads: int, sample_rate_hz: float, keep_s: float) -> None:
        self._rate_hz = sample_rate_hz
        self._filters = NativeFilters(leads, sample_rate_hz, LIMIT_MV)
        self.step = self._filters.samples
        self._samples = np.zeros((leads, self.step), np.float32)
        self._missing = np.zeros((leads, self.step), np.bool_)
        self._filled = 0
        self._end = 0  # native index after the last whole second
        self._reach = round(NEAR_S * sample_rate_hz)
        self._rows = np.zeros((2 * leads + 1, 2 * self._reach + self.step))
        self._finders = [BeatFinder(sample_rate_hz) for _ in range(2 * leads)]
        self._beats = BeatFinder(sample_rate_hz, FLOOR_MV)
        self._quality = [LeadQuality(sample_rate_hz) for _ in range(leads)]
        self._heard: tuple[int, ...] = ()  # leads that the beats came from in the last second
        self._level = np.zeros(leads)
        self._last = np.zeros((leads, 1), np.float32)  # last value that was there
        self._times: deque[int] = deque(maxlen=_RATE_INTERVALS + 1)  # of beats without a gap between
        self._passed: deque[int] = deque(maxlen=_RATE_INTERVALS)  # beats of one lead since, that did not count
        self._since: int | None = None  # the watch is unbroken from here on; None while there is nothing to see
        self._monitored = False  # beats were seen in this epoch
        self._heights: deque[float] = deque(maxlen=_REFERENCE)  # of the beats of good seconds
        self._found: deque[tuple[int, int]] = deque()  # beats nobody asked for yet, and when they were found
        self._seconds: deque[Second] = deque(maxlen=math.ceil(keep_s) + 3)

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
                self._seconds.append(self._judge())

    def past(self, end_sample: int) -> Iterator[Second]:
        """Yield the last seconds that had passed at `end_sample`, a native index."""
        return (second for second in self._seconds if second.end_sample <= end_sample)

    def pulse(self, end_sample: int) -> Pulse:
        """Return what was known at `end_sample`, a native index."""
        return max(self.past(end_sample), key=lambda second: second.end_sample, default=_NOTHING).pulse

    def take_beats(self, end_sample: int) -> tuple[int, ...]:
        """Return the native indices of the beats that were found up to `end_sample`, each once."""
        beats = []
        while self._found and self._found[0][1] <= end_sample:
            beats.append(self._found.popleft()[0])
        return tuple(beats)

    def _judge(self) -> Second:
        gone = self._missing.mean(axis=1) > 1 - MIN_PRESENT
        measures = self._filters.push(self._hold().astype(np.float64))
        leads = len(gone)
        self._rows[: 2 * leads, 2 * self._reach :] = measures.features
        candidates = self._candidates(self._rows[: 2 * leads])
        confirmed = self._end - self._reach
        beats = [finder.push(row, confirmed) for finder, row in zip(self._finders, candidates, strict=True)]
        issues = tuple(
            QualityIssue.GAP
            if gone[lead]
            else self._quality[lead].judge(
                lead, measures, self._finders[lead].height, (beats[lead], beats[leads + lead])
            )
            for lead in range(leads)
        )
        still = np.abs(measures.level - self._level) < _LEVEL_JUMP_MV
        alive = (measures.extent >= FLAT_MV) & [issue is QualityIssue.NONE for issue in issues]
        self._level = np.where(alive, measures.level, self._level)
        own = [_agreed(beats[lead], beats[leads + lead], _PAIR_S * self._rate_hz) for lead in range(leads)]
        self._listen(measures.features[:leads], own, issues, still, confirmed)
        return Second(self._end, issues, self._pulse(confirmed))

    def _listen(
        self,
        features: Array,
        own: list[list[int]],
        issues: tuple[QualityIssue, ...],
        still: NDArray[np.bool_],
        confirmed: int,
    ) -> None:
        """Look for beats in the leads that are good; where none is, a flat line may be a heart that stopped."""
        good = tuple(lead for lead, issue in enumerate(issues) if issue is QualityIssue.NONE)
        flat = any(issue is QualityIssue.FLAT and near for issue, near in zip(issues, still.tolist(), strict=True))
        self._rows[-1, 2 * self._reach :] = features[list(good)].sum(axis=0)
        self._expect(good)
        together = self._beats.push(self._candidates(self._rows[-1:])[0], confirmed)
        self._rows[:, : 2 * self._reach] = self._rows[:, -2 * self._reach :]
        if not good and not (flat and self._monitored):
            self._beats.interrupt(self._end)
            self._times.clear()
            self._passed.clear()
            self._since = None
            return
        if self._since is None:
            self._since = self._end - self.step
        delay = round(_DELAY_S * self._rate_hz)
        new = self._take(together, [time for lead in good if self._is_high(lead) for time in own[lead]])
        if together and len(good) == len(issues):
            self._heights.append(self._beats.height or 0.0)
        self._found.extend((max(time - delay, 0), self._end) for time in new)
        self._monitored = self._monitored or bool(new)

    def _is_high(self, lead: int) -> bool:
        return (self._finders[lead].height or 0.0) >= FLOOR_MV

    def _take(self, together: list[int], own: list[int]) -> list[int]:
        """Put the beats of all leads and those of one lead in order; return the times of those that count."""
        taken, near = [], NEAR_S * self._rate_hz
        for time in sorted({*together, *own}):
            self._passed.append(time)
            overdue = len(self._passed) > (time in together) + 1 and self._overdue(time)
            if not overdue and time not in together:
                continue
            for beat in self._passed if overdue else (time,):
                if not self._times or beat - self._times[-1] >= near:
                    self._times.append(beat)
                    taken.append(beat)
            self._passed.clear()
        return taken

    def _overdue(self, time: int) -> bool:
        if len(self._times) < 2:
            return False
        intervals = [after - before for before, after in itertools.pairwise(self._times)]
        return time - self._times[-1] > min(_OVERDUE_RR * fmean(intervals), _OVERDUE_S * self._rate_hz)

    def _expect(self, good: tuple[int, ...]) -> None:
        """Let the beats' heights follow when other leads are heard than before."""
        if good and good != self._heard:
            before, now = (sum(self._finders[lead].height or 0.0 for lead in heard) for heard in (self._heard, good))
            if before and now:
                self._beats.scale(now / before)
            self._heard = good

    def _pulse(self, confirmed: int) -> Pulse:
        if self._since is None:
            return UNKNOWN
        times = self._times
        rate = None
        if len(times) > _RATE_INTERVALS:
            rate = 60.0 * _RATE_INTERVALS * self._rate_hz / (times[-1] - times[0])
        pause_s = None
        if self._monitored and self._beats.highest_since < _QUIET * median(self._heights or [0.0]):
            pause_s = max(confirmed - max([self._since, *list(times)[-1:]]), 0) / self._rate_hz
        return Pulse(rate, pause_s)

    def _hold(self) -> NDArray[np.float32]:
        """Give missing samples the last value that was there."""
        values = self._samples
        if self._missing.any():
            for lead in np.flatnonzero(self._missing.any(axis=1)):
                at = np.maximum.accumulate(np.where(self._missing[lead], -1, np.arange(self.step)))
                values[lead] = np.where(at >= 0, values[lead, np.maximum(at, 0)], self._last[lead])
        self._last = values[:, -1:].copy()
        return values

    def _candidates(self, rows: Array) -> list[list[tuple[int, float]]]:
        """Return time and height of what is highest within reach, of each row, up to `reach` before the end."""
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
    """Return the beats of one detector that another found as well."""
    return [time for time in one if any(abs(time - again) <= reach for again in other)]
